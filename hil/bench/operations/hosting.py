"""What the host's own process does: discovery, actuators, waiting for what comes and goes, watching, locks."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hil.bench.locks import DeviceLock, with_state
from hil.control import (
    Actuator,
    PowerActuator,
    actuator,
    names_on_buses,
    wait_functions,
    wait_gone,
    wait_present,
)
from hil.discovery import discover
from hil.errors import BenchFault, NotSupported
from hil.model import Gpu, Router, from_dict, to_dict
from hil.watch import Mark, Window, begin, looked, opened, ratings, since, turned
from hil.watch.settings import settings
from hil.watch.telemetry import sample

if TYPE_CHECKING:
    from hil.bench.worker import Context


def inventory(context: Context) -> dict[str, Any]:
    """All that hangs on the host, an `Inventory` as a dict."""
    facts: dict[str, Any] = to_dict(discover(context.host))
    return facts


def lock(context: Context, *, device: str, folder: str, holder: dict[str, Any]) -> dict[str, Any]:
    """Take the lock of `device` for as long as this process lives.

    Returns:
        The state that a dead holder left behind; empty if it left in order.

    Raises:
        DeviceBusy: another run holds it; names its holder.

    """
    if f"lock {device}" in context.state:
        return {}  # taken by `left_behind`, and what it found could not be put right
    taken = DeviceLock.acquire(device, Path(folder), holder)
    context.state[f"lock {device}"] = taken
    return {} if taken.left_behind is None else dict(taken.left_behind.state)


def left_behind(context: Context, *, folder: str, holder: dict[str, Any]) -> list[dict[str, Any]]:
    """What runs that died have left to be put right: ``{device, state}`` each. Takes those devices' locks."""
    found = []
    for device in with_state(Path(folder)):
        with suppress(BenchFault):  # its holder lives, or its file is not ours to use
            state = lock(context, device=device, folder=folder, holder=holder)
            found.append({"device": device, "state": state})
    return found


def note(context: Context, *, device: str, state: dict[str, Any]) -> None:
    """Write beside the lock what a later run must put right if this one dies."""
    held = context.state.get(f"lock {device}")
    if isinstance(held, DeviceLock):
        held.note(state)


def unlock(context: Context, *, device: str) -> None:
    """Give the lock of `device` back."""
    held = context.state.pop(f"lock {device}", None)
    if isinstance(held, DeviceLock):
        held.release()


def detach(
    context: Context, *, enclosure: dict[str, Any], kind: str, options: dict[str, Any], after: float = 0.0
) -> None:
    """Let the actuator `kind` pull the enclosure's cable, `after` seconds from now."""
    hand = _hand(context, enclosure, kind, options)
    context.host.clock.sleep(after)
    hand.detach()


def attach(
    context: Context,
    *,
    enclosure: dict[str, Any],
    kind: str,
    options: dict[str, Any],
    port: int | None = None,
) -> None:
    """Let the actuator `kind` plug the enclosure in."""
    context.state["before attach"] = names_on_buses(context.host)
    hand = _hand(context, enclosure, kind, options)
    hand.attach(port)


def power(
    context: Context, *, enclosure: dict[str, Any], kind: str, options: dict[str, Any], on: bool, after: float
) -> None:
    """Let the actuator `kind` switch the enclosure's supply, `after` seconds from now."""
    switch = _opened(context, enclosure, kind, options)
    if not isinstance(switch, PowerActuator):
        raise NotSupported(f"{switch.name} cannot switch a supply", operation="power")
    context.host.clock.sleep(after)
    if on:
        switch.power_on()
    else:
        switch.power_off()


def await_gone(
    context: Context, *, enclosure: dict[str, Any], functions: list[str], router_too: bool, within: float
) -> float:
    """Seconds until neither the enclosure (unless `router_too` is false) nor `functions` are to be seen any more."""
    router = from_dict(Router, enclosure)
    return wait_gone(context.host, router, deadline=within, router_too=router_too, functions=functions)


def await_present(context: Context, *, enclosure: dict[str, Any], gpus: int, within: float) -> float:
    """Seconds until the enclosure and its `gpus` GPUs are to be seen."""
    found = context.state.get("before attach")
    before: frozenset[str] = found if isinstance(found, frozenset) else frozenset()
    return wait_present(context.host, from_dict(Router, enclosure), deadline=within, gpus=gpus, before=before)


def await_functions(context: Context, *, name: str, functions: list[str], there: bool, within: float) -> float:
    """Seconds until all of `functions` are to be seen, or none of them any more; `name` is whose they are."""
    return wait_functions(context.host, name, functions, there=there, deadline=within)


def ports_can_be_chosen(context: Context, *, enclosure: dict[str, Any], kind: str, options: dict[str, Any]) -> bool:
    """Whether the actuator `kind` can plug the enclosure into another receptacle of the host."""
    return "port" in _hand(context, enclosure, kind, options).capabilities


def now(context: Context) -> float:
    """Seconds on the host's clock."""
    return context.host.clock.now()


def telemetry(context: Context, *, gpu: dict[str, Any]) -> dict[str, Any]:
    """What the GPU's own sensors tell now: a `TelemetrySample` as a dict; raises as `hil.watch.telemetry.sample`."""
    facts: dict[str, Any] = to_dict(sample(context.host, from_dict(Gpu, gpu)))
    return facts


def gpu_settings(context: Context, *, gpu: dict[str, Any]) -> dict[str, Any] | None:
    """What the GPU is set to, a `GpuSettings` as a dict; `None` where there is no NVML to ask."""
    try:
        facts: dict[str, Any] = to_dict(settings(context.host, from_dict(Gpu, gpu)))
    except NotSupported:
        return None
    return facts


def rated(context: Context, *, gpu: dict[str, Any]) -> dict[str, Any]:
    """What the GPU is rated for: a `Ratings` as a dict; raises as `hil.watch.ratings.ratings`."""
    facts: dict[str, Any] = to_dict(ratings(context.host, from_dict(Gpu, gpu)))
    return facts


def watch_begin(context: Context, *, functions: list[str]) -> None:
    """Remember counters and the end of the kernel log as they are now."""
    context.state["watch"] = begin(context.host, functions)


def watch_end(context: Context) -> dict[str, Any]:
    """What was counted and logged since `watch_begin`: an `Observations` as a dict."""
    mark = context.state.pop("watch", None)
    facts: dict[str, Any] = to_dict(since(context.host, mark)) if isinstance(mark, Mark) else {}
    return facts


def window_open(context: Context, *, gpu: dict[str, Any]) -> None:
    """Open a window on what is counted and logged about a GPU."""
    context.state["window"] = opened(context.host, from_dict(Gpu, gpu))


def window_look(context: Context) -> None:
    """Look at the enclosure's link through the open window, if one is."""
    window = context.state.get("window")
    if isinstance(window, Window):
        context.state["window"] = looked(context.host, window)


def window_turn(context: Context) -> dict[str, Any]:
    """What was seen through the open window, an `Observations` as a dict; the next window begins. Empty = none was."""
    window = context.state.get("window")
    if not isinstance(window, Window):
        return {}
    seen, context.state["window"] = turned(context.host, window)
    facts: dict[str, Any] = to_dict(seen)
    return facts


def _hand(context: Context, enclosure: dict[str, Any], kind: str, options: dict[str, Any]) -> Actuator:
    hand = _opened(context, enclosure, kind, options)
    if not isinstance(hand, Actuator):
        raise NotSupported(f"{hand.name} cannot detach or attach", operation="plug")
    return hand


def _opened(
    context: Context, enclosure: dict[str, Any], kind: str, options: dict[str, Any]
) -> Actuator | PowerActuator:
    router = from_dict(Router, enclosure)
    key = f"actuator {kind} {router.uid}"
    if key not in context.state:
        context.state[key] = actuator(kind).open(context.host, router, options)
    found: Any = context.state[key]
    opened: Actuator | PowerActuator = found
    return opened
