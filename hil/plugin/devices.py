"""Devices as test parameters: by alias alone, behind the health gate."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from hil.bench.bench import Bench
from hil.bench.device import Device
from hil.errors import DeviceFault, HilError
from hil.model import BANDS
from hil.plugin.results import outcome
from hil.plugin.run import current, engaged
from hil.report import attach


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test that uses `device` once for each device of the bench."""
    if "device" not in metafunc.fixturenames or not engaged(metafunc.config) or _has_its_own(metafunc):
        return
    bench = current(metafunc.config).bench
    names = [device.alias for device in bench.devices]
    if names:
        metafunc.parametrize("device", names, indirect=True)
        return
    nothing = pytest.mark.skip(reason=f"bench {bench.name} has no device")
    metafunc.parametrize("device", [pytest.param("none", marks=nothing)], indirect=True)


def _has_its_own(metafunc: pytest.Metafunc) -> bool:
    # A test of something else that calls a parameter of its own `device`.
    marks = metafunc.definition.iter_markers("parametrize")
    return any("device" in (mark.args[0] if mark.args else mark.kwargs.get("argnames", "")) for mark in marks)


@pytest.fixture(scope="session")
def hil_bench(request: pytest.FixtureRequest) -> Bench:
    """The open bench."""
    return current(request.config).bench


@pytest.fixture
def device(request: pytest.FixtureRequest, hil_bench: Bench) -> Iterator[Device]:
    """The device under test: what the test needs is there, and it is well before and after.

    A device that is not well climbs the recovery ladder; one that nothing helps is quarantined, and its tests end as
    broken. A device that a passing test leaves unwell fails that test.
    """
    chosen = hil_bench.device(request.param)
    missing = [
        reason for marker in request.node.iter_markers("needs") for reason in _missing(chosen, marker.args)
    ]
    if missing:
        pytest.skip(f"{chosen.alias}: " + "; ".join(missing))
    try:
        chosen.ensure_healthy()
    finally:
        _tell_story(chosen)
    yield chosen
    _check_after(chosen, request.node)


def _check_after(chosen: Device, item: pytest.Item) -> None:
    if chosen.quarantine:
        return
    wrong = chosen.probe()
    if not wrong:
        return
    printed = chosen.stderr_text()
    if printed:
        attach("device process: standard error", printed)
    try:
        chosen.ensure_healthy()
        end = "it is well again"
    except HilError as error:
        end = str(error)
    _tell_story(chosen)
    if outcome(item) == "passed":
        raise DeviceFault(
            f"{chosen.alias} was well before this test and is not after it: {wrong} ({end})",
            device=chosen.alias,
            operation="health probe",
        )


def _tell_story(chosen: Device) -> None:
    if chosen.story:
        text = "\n".join(
            f"{rung.name}: {'ok' if rung.ok else 'no'}: {rung.sentence}" for rung in chosen.story
        )
        attach("recovery", text)
        chosen.story.clear()


def _missing(chosen: Device, needs: tuple[str, ...]) -> Iterator[str]:
    for need in needs:
        if need not in _NEEDS:
            raise pytest.UsageError(f"needs({need!r}): not known; there are: {', '.join(sorted(_NEEDS))}")
        reason = _NEEDS[need](chosen)
        if reason:
            yield f"{need}: {reason}"


_NEEDS: dict[str, Callable[[Device], str]] = {
    "gpu": lambda d: "" if d.facts.gpu else "it is no GPU of the inventory",
    "enclosure": lambda d: "" if d.facts.enclosure else "it sits in no enclosure",
    "hotplug": lambda d: d.bench.cannot_unplug(d),
    "reset": lambda d: (
        "it is no GPU of the inventory"
        if d.facts.gpu is None
        else ""
        if d.bench.allow.reset
        else "the bench does not allow resets (allow.reset)"
    ),
    "band": lambda d: (
        "" if d.facts.link_kind in BANDS else f"no band is known for a link of kind {d.facts.link_kind}"
    ),
}
