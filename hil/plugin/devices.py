"""Devices as test parameters: by alias alone, behind the health gate."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from textwrap import shorten
from typing import Any

import pytest

from hil.bench.bench import Bench
from hil.bench.device import PROBE_DEADLINE, Device
from hil.bench.limits import over
from hil.bench.messages import STDERR
from hil.bench.recovery import told
from hil.errors import DeviceFault, DeviceHung, DriverError, HilError, LinkFault, NotSupported, says_enough
from hil.model import BANDS, to_dict
from hil.plugin.beside import show_link, show_log
from hil.plugin.run import OUTCOME, current
from hil.report import attach
from hil.watch import Observations, driver_alarms, inexcusable, link_alarms, summary, unexplained

__tracebackhide__ = says_enough
NONE = "none"
"""Stands for the device of a bench that has none: its tests are skipped, and named."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test that uses `device` once for each device of the bench."""
    if "device" not in metafunc.fixturenames or not _is_ours(metafunc):
        return
    bench = current(metafunc.config).bench
    names = [device.alias for device in bench.devices]
    if names:
        metafunc.parametrize("device", names, indirect=True)
        return
    nothing = pytest.mark.skip(reason=f"bench {bench.name} has no device")
    metafunc.parametrize("device", [pytest.param(NONE, marks=nothing)], indirect=True)


def _is_ours(metafunc: pytest.Metafunc) -> bool:
    # Not a parameter that the test has of its own, nor a fixture that hides ours without asking for it.
    for mark in metafunc.definition.iter_markers("parametrize"):
        names = mark.args[0] if mark.args else mark.kwargs.get("argnames", ())
        if "device" in (names.replace(",", " ").split() if isinstance(names, str) else names):
            return False
    # pytest has no public way to ask which fixture a name stands for.
    known: Any = getattr(metafunc, "_arg2fixturedefs", {}).get("device", ())
    for fixture in reversed(known):
        if fixture.func.__module__ == __name__:
            return True
        if "device" not in fixture.argnames:
            return False
    return False


@pytest.fixture(scope="session")
def hil_bench(request: pytest.FixtureRequest) -> Bench:
    """The open bench."""
    return current(request.config).bench


@pytest.fixture
def device(request: pytest.FixtureRequest, hil_bench: Bench) -> Iterator[Device]:
    """The device under test: what the test needs is there, and it is well before and after.

    A device that is not well climbs the recovery ladder; one that nothing helps is quarantined, and its tests end as
    broken. A device that a passing test leaves unwell fails that test; so does one that the test before left well.
    """
    chosen = hil_bench.device(request.param)
    # One in quarantine is not asked: it offers little, and a lab must see its tests broken, not skipped.
    needed = [] if chosen.quarantine else [n for marker in request.node.iter_markers("needs") for n in marker.args]
    missing = dict.fromkeys(f"{need}: {reason}" for need in needed if (reason := NEEDS[need](chosen)))
    if missing:
        pytest.skip(f"{chosen.alias}: " + "; ".join(missing))
    show_link(chosen, request.node)
    try:
        chosen.ensure_healthy()
    finally:
        made_well = bool(chosen.story)
        _tell_story(chosen, request.node, "before")
    fallen = chosen.complaint if made_well and chosen.left_well else ""
    chosen.left_well = False
    hil_bench.counting.begin(chosen, afresh=made_well)
    yield chosen
    show_link(chosen, request.node)
    if not chosen.quarantine and not current(request.config).interrupted:
        _check_after(chosen, request.node)
        chosen.left_well = True
        if fallen and request.node.stash.get(OUTCOME, "") == "passed":
            raise DeviceFault(
                f"{chosen.alias} was well after the test before this one, and not when this one began, with nobody "
                f"touching it: {fallen} (it was made well again)",
                device=chosen.alias,
                operation="health probe",
            )


def _check_after(chosen: Device, item: pytest.Item) -> None:
    # Before the probe: what the recovery ladder does is not the test's.
    seen = chosen.bench.counting.end(chosen)
    if seen is not None and (moved := summary(seen)):
        attach("error counters and kernel log", moved)
    wrong = chosen.examine()
    if seen is not None:
        show_log(seen, item, failed=bool(wrong) or item.stash.get(OUTCOME, "") != "passed")
    if not wrong:
        _hold_to_limits(chosen, item)
        if chosen.bench.counting.hung is not None and item.stash.get(OUTCOME, "") == "passed":
            raise chosen.bench.counting.hung
        if seen is not None:
            _hold_to_counts(chosen, item, seen)
        return
    printed = chosen.stderr_text()
    end = "it is well again"
    try:
        chosen.ensure_healthy()
    except HilError as error:
        end = str(error)
    _tell_story(chosen, item, "after")
    if item.stash.get(OUTCOME, "") == "passed":
        fault = DeviceFault(
            f"{chosen.alias} was well before this test and is not after it: {wrong} ({end})",
            device=chosen.alias,
            operation="health probe",
        )
        if printed:
            fault.evidence[STDERR] = printed
        raise fault


def _hold_to_limits(chosen: Device, item: pytest.Item) -> None:
    above, counting = tuple[str, ...](), chosen.bench.counting
    try:
        above = () if counting.stuck else over(chosen)
    except DeviceHung as error:
        counting.note_hang(error)
    except HilError:
        pass  # that they cannot be watched was said when the bench was opened
    if above and item.stash.get(OUTCOME, "") == "passed":
        raise DeviceFault(
            f"{chosen.alias} after this test: {'; '.join(above)}", device=chosen.alias, operation="limits"
        )


def _hold_to_counts(chosen: Device, item: pytest.Item, seen: Observations) -> None:
    """Fail a test that passed while its device's links counted errors or lost lanes, or its driver logged Xids."""
    if item.stash.get(OUTCOME, "") != "passed":
        return
    if item.get_closest_marker("provokes") is not None:
        seen = inexcusable(seen)
    else:
        # A pulled cable or a reset explains some errors, and no link that comes back narrower than it was.
        seen = unexplained(seen, chosen.bench.counting.provoked)
    address = chosen.require_gpu().function.address
    said, counted = driver_alarms(seen, address=address), link_alarms(seen, address=address)
    if said:
        code = next((xid.number for xid in seen.xids if xid.concerns(address)), None)
        text = f"{chosen.alias}: while this test ran {'; '.join([*said, *counted])}"
        raise DriverError(text, code=code, device=chosen.alias, operation="kernel log")
    if counted:
        text = f"{chosen.alias}: while this test ran {'; '.join(counted)}"
        raise LinkFault(text, device=chosen.alias, operation="error counters")


def _tell_story(chosen: Device, item: pytest.Item, when: str) -> None:
    if not chosen.story:
        return
    attach("recovery", told(chosen.story))
    attach("recovery as data", json.dumps(to_dict(chosen.story), indent=2), extension="json")
    last = chosen.story[-1]
    how = f"well again by {last.name}" if last.ok else "NOT well again"
    current(item.config).recoveries.append(
        f"{chosen.alias} {when} {item.name}: {how} ({shorten(chosen.complaint, 160)})"
    )
    chosen.story.clear()


def _band(device: Device) -> str:
    return "" if device.facts.link_kind in BANDS else f"no band is known for a link of kind {device.facts.link_kind}"


def _sensors(device: Device) -> str:
    if device.facts.gpu is None:
        return "it is no GPU of the inventory"
    try:
        device.bench.host_call("telemetry", gpu=device.gpu_facts())
    except NotSupported as error:
        return str(error)
    return ""


def _window(device: Device) -> str:
    missing = device.without_registers()
    if missing:
        return missing
    shown = device.bare_call("window:shown", deadline=PROBE_DEADLINE, name=device.facts.engine)
    return "" if shown else f"copy engine {device.facts.engine or 'none'} does not tell where memory shows in BAR 1"


def _pinning(device: Device) -> str:
    name = device.facts.engine
    staged = device.bare_call("promises:stages_pageable", deadline=PROBE_DEADLINE, name=name)
    return "" if staged else f"copy engine {name or 'none'} does not say that its driver stages pageable memory"


def _silent(device: Device) -> str:
    if device.facts.gpu is None:
        return "it is no GPU of the inventory"
    return str(device.bench.host_call("nodes:cannot_listen"))


def _alone(device: Device) -> str:
    if device.facts.gpu is None:
        return "it is no GPU of the inventory"
    others = [d for d in device.bench.devices if d is not device and d.facts.engine and not d.quarantine]
    return "" if others else "no other device of the bench can be opened"


def _irrevocable(device: Device) -> str:
    reason = device.bench.removals.cannot("revoke", device)
    if reason or device.bench.removals.revocable(device):
        return reason
    return "its domain does not let an authorization be revoked"


def _revocable(device: Device) -> str:
    reason = device.bench.removals.cannot("revoke", device)
    revocable = not reason and device.bench.removals.revocable(device)
    return "its domain lets an authorization be revoked" if revocable else reason


NEEDS: dict[str, Callable[[Device], str]] = {
    "gpu": lambda device: "" if device.facts.gpu else "it is no GPU of the inventory",
    "enclosure": lambda device: "" if device.facts.enclosure else "it sits in no enclosure",
    "hotplug": lambda device: device.bench.plugs.cannot_unplug(device),
    "second port": lambda device: device.bench.plugs.cannot_move(device),
    "second device": _alone,
    "unbind": lambda device: device.bench.removals.cannot("unbind", device),
    "remove": lambda device: device.bench.removals.cannot("remove", device),
    "authorization": lambda device: device.bench.removals.cannot("revoke", device),
    "revocation": _irrevocable,
    "fixed authorization": _revocable,
    "events": _silent,
    "sleep": lambda device: device.bench.cannot_sleep(),
    "registers": lambda device: device.without_registers(),
    "reset": lambda device: device.without_registers() or device.bench.cannot_reset(device),
    "band": _band,
    "sensors": _sensors,
    "window": _window,
    "pinning": _pinning,
    "bar_write": lambda device: device.without_registers() or device.bench.cannot_write_bars(device),
}
"""What a test can need: why a device does not offer it; empty if it does."""
