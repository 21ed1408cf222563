"""The recovery ladder: from the gentlest rung to the harshest, with evidence at each, until the device is well."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from hil.bench.supplies import DISCHARGE_SECONDS
from hil.control.sleep import GRACE
from hil.errors import BenchFault, HilError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hil.bench.device import Device

SLEEP_SECONDS = 15
"""Long enough for a host to be asleep before it wakes."""
EVIDENCE_DEADLINE = 10.0
"""Seconds on the host's clock for reading registers, or the kernel log (on a Mac a command that takes seconds)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One attempt at making a device well."""

    name: str
    ok: bool
    sentence: str
    """What was done and what came of it."""
    tried: bool = True
    """False where it was not allowed or not possible."""
    within: float = 0.0
    """Seconds on the host's clock that its steps may take by their deadlines, without the looking."""
    seconds: float = 0.0
    """That it took."""
    before: Mapping[str, str] = field(default_factory=dict)
    """What was read of the device: registers, link, what the driver answers."""
    after: Mapping[str, str] = field(default_factory=dict)
    log: tuple[str, ...] = ()
    """What the kernel logged meanwhile about GPUs and the way to them."""


@dataclass(frozen=True, slots=True)
class Step:
    """A rung of the ladder as it stands there, not yet climbed."""

    name: str
    forbidden: Callable[[Device], str]
    """Why it cannot be climbed here; empty if it can."""
    act: Callable[[Device], object]
    within: Callable[[Device], float]
    """Seconds on the host's clock, see `Rung.within`."""
    shakes: Literal["none", "chain", "all"] = "chain"
    """Which other devices may have been lost by it: those in the same enclosure or behind it, or all."""


def recover(device: Device, wrong: str) -> list[Rung]:
    """Climb the ladder until the health probe is content; `wrong` is what it complained of.

    Returns:
        The rungs climbed, in order; only the last can be `ok`.

    """
    climbed: list[Rung] = []
    before: Mapping[str, str] = _look(device, wrong)
    for step in LADDER:
        reason = _forbidden(step, device)
        if reason:
            climbed.append(Rung(name=step.name, ok=False, tried=False, sentence=f"not tried: {reason}"))
            continue
        rung = _climb(step, device, wrong, before)
        climbed.append(rung)
        if rung.ok:
            break
        before = rung.after
    return climbed


def told(rungs: list[Rung]) -> str:
    """All that was seen on the way up, for people."""
    return "\n".join(line for rung in rungs for line in _lines(rung))


def _forbidden(step: Step, device: Device) -> str:
    try:
        return step.forbidden(device)
    except HilError as error:  # asking the host failed: nothing harsh is done on a guess
        return str(error)


def _climb(step: Step, device: Device, wrong: str, before: Mapping[str, str]) -> Rung:
    bench = device.bench
    began, still = 0.0, ""
    try:
        bench.host_call("evidence:watch", deadline=EVIDENCE_DEADLINE)
        began = bench.now()
    except HilError as error:
        still = str(error)
    try:
        step.act(device)
        device.process()
        still = device.probe()
    except HilError as error:
        still = str(error)
    if step.shakes != "none":
        _find_others(device, everywhere=step.shakes == "all")
    seconds, log = 0.0, ()
    with suppress(HilError):  # the rung itself has told what was wrong with the host's process
        seconds = bench.now() - began
        log = tuple(bench.host_call("evidence:seen", deadline=EVIDENCE_DEADLINE))
    return Rung(
        name=step.name,
        ok=not still,
        sentence=still or f"well again after: {wrong}",
        within=step.within(device) + bench.deadlines.open,
        seconds=seconds,
        before=before,
        after=_look(device, still),
        log=log,
    )


def _look(device: Device, wrong: str) -> dict[str, str]:
    found = {"health probe": wrong or "well"}
    if device.facts.gpu is not None:
        try:
            found |= device.bare_call("evidence:look", deadline=EVIDENCE_DEADLINE, gpu=device.gpu_facts())
        except HilError as error:
            found["registers"] = f"cannot be reached: {error}"
    return found


def _find_others(device: Device, *, everywhere: bool) -> None:
    bench, enclosure = device.bench, device.facts.enclosure
    with suppress(HilError):  # each of them is probed before it is used
        inventory = bench.refresh()
        chain = {router.uid for router in inventory.behind(enclosure)} if enclosure else set()
        for other in bench.devices:
            near = other.facts.enclosure is not None and other.facts.enclosure.uid in chain
            if other is not device and (near or everywhere):
                with suppress(HilError):
                    other.relocate(inventory)
                    other.renew()


def _lines(rung: Rung) -> list[str]:
    lines = [f"{rung.name}: {'ok' if rung.ok else 'no'}: {rung.sentence}"]
    if not rung.tried:
        return lines
    lines.append(f"    took {rung.seconds:.3f} s of at most {rung.within:g} s")
    for name in dict.fromkeys([*rung.before, *rung.after]):
        was, now = rung.before.get(name, "not read"), rung.after.get(name, "not read")
        lines.append(f"    {name}: {now}" if was == now else f"    {name}: {was} → {now}")
    return lines + [f"    kernel: {line}" for line in rung.log]


def _reopen(device: Device) -> None:
    device.stop()
    device.relocate(device.bench.refresh())


def _reset(device: Device) -> None:
    device.bench.require("reset", device)
    device.stop()
    within = device.bench.deadlines.reset
    gpu, saved = device.gpu_facts(), device.saved_config
    device.bare_call("mending:revive", deadline=within + 5.0, gpu=gpu, saved=saved, ready_within=within)


def _rebind(device: Device) -> None:
    device.stop()
    removals = device.bench.removals
    complaints = removals.restore(device)
    if complaints:
        raise BenchFault("; ".join(complaints), device=device.alias, operation="driver rebind")
    device.relocate(device.bench.refresh())
    removals.take("unbind", device)
    removals.give("unbind", device)


def _sleep(device: Device) -> None:
    device.stop()
    device.bench.sleep(SLEEP_SECONDS)


def _replug(device: Device) -> None:
    device.stop()
    device.bench.plugs.replug(device)


def _cold_cycle(device: Device) -> None:
    device.stop()
    device.bench.supplies.cycle(device)


def _may_reopen(_: Device) -> str:
    return ""


def _may_reset(device: Device) -> str:
    return device.bench.cannot_reset(device)


def _may_rebind(device: Device) -> str:
    return device.bench.removals.cannot("unbind", device)


def _may_sleep(device: Device) -> str:
    return "it is no GPU of the inventory" if device.facts.gpu is None else device.bench.cannot_sleep()


def _may_replug(device: Device) -> str:
    return device.bench.plugs.cannot_unplug(device)


def _may_cycle(device: Device) -> str:
    return device.bench.supplies.cannot_cycle(device)


def _for_nothing(_: Device) -> float:
    return 0.0


def _for_reset(device: Device) -> float:
    return device.bench.deadlines.reset


def _for_sleep(_: Device) -> float:
    return SLEEP_SECONDS + 2 * GRACE


def _for_plugging(device: Device) -> float:
    return device.bench.deadlines.detach + device.bench.deadlines.attach


def _for_cycle(device: Device) -> float:
    return _for_plugging(device) + DISCHARGE_SECONDS


LADDER: tuple[Step, ...] = (
    Step("reopen", _may_reopen, _reopen, _for_nothing, "none"),
    Step("reset", _may_reset, _reset, _for_reset),
    Step("driver rebind", _may_rebind, _rebind, _for_plugging, "none"),
    Step("sleep and wake", _may_sleep, _sleep, _for_sleep, "all"),
    Step("replug", _may_replug, _replug, _for_plugging),
    Step("cold cycle", _may_cycle, _cold_cycle, _for_cycle),
)
"""From the gentlest rung to the harshest."""
