"""The last lines of a run: what it ran on, how it went, what is worse than it was, what to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from hil.bench.device import QUARANTINE
from hil.errors import HilError
from hil.plugin import nights
from hil.plugin.beside import results_folder
from hil.plugin.run import Run, started
from hil.report.record import Finished
from hil.report.words import counted, verdict

_SKIPS: pytest.StashKey[Counter[str]] = pytest.StashKey()
_TROUBLES: pytest.StashKey[list[str]] = pytest.StashKey()
_HOPS: pytest.StashKey[Counter[str]] = pytest.StashKey()
_HELD_BACK: pytest.StashKey[Counter[str]] = pytest.StashKey()
_NOTES_TOLD: pytest.StashKey[int] = pytest.StashKey()
_SHOWN = 10
"""Lines of a kind."""


def note_told(config: pytest.Config, count: int) -> None:
    """The first `count` notes of the bench stand in the header."""
    config.stash[_NOTES_TOLD] = count


def note_skip(config: pytest.Config, reason: str) -> None:
    """A test was skipped."""
    config.stash.setdefault(_SKIPS, Counter())[reason] += 1


def remember(config: pytest.Config, test: Finished) -> None:
    """Tell in the summary of a test that an earlier part of this run has finished."""
    stash = config.stash
    if test.outcome == "skipped":
        note_skip(config, test.message)
    elif test.operation == QUARANTINE:
        stash.setdefault(_HELD_BACK, Counter())[str(test.device)] += 1
    elif test.outcome != "passed":
        line = f"{test.error}: {test.message}".partition("\n")[0]
        stash.setdefault(_TROUBLES, []).append(f"{test.outcome:9} {test.test}: {line}")
        if test.hop:
            stash.setdefault(_HOPS, Counter())[test.hop] += 1


def note_trouble(item: pytest.Item, caught: pytest.ExceptionInfo[BaseException]) -> None:
    """A part of a test failed or broke."""
    error, stash = caught.value, item.config.stash
    if isinstance(error, HilError) and error.operation == QUARANTINE:
        # One line a device, further down: dozens that say the same would hide what led to it.
        stash.setdefault(_HELD_BACK, Counter())[str(error.device)] += 1
        return
    kind = "failed" if isinstance(error, (AssertionError, pytest.fail.Exception)) else "broken"
    line = caught.exconly().removeprefix("hil.errors.").partition("\n")[0]
    stash.setdefault(_TROUBLES, []).append(f"{kind:9} {item.nodeid}: {line}")
    if isinstance(error, HilError):
        stash.setdefault(_HOPS, Counter())[error.hop] += 1


@pytest.hookimpl(trylast=True)  # below other plugins' tables: the last lines are those that are read
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The run in a few lines, for whoever reads this at nine in the morning."""
    run = started(config)
    if run is None:
        return
    terminalreporter.section("hil")
    counts = _counts(config, terminalreporter)
    for line in (*_verdict(run, counts), *_details(run, config)):
        terminalreporter.write_line(line)


def _verdict(run: Run, counts: Counter[str]) -> Iterator[str]:
    names = ", ".join(device.alias for device in run.bench.devices) or "no device"
    yield f"bench     {run.bench.name} ({run.bench.nature}): {names}"
    bad = bool(counts["failed"] or counts["broken"] or run.complaints)
    yield f"verdict   {verdict(bad=bad, ran=counts.total() > 0)}: {', '.join(counted(counts)) or 'no test ran'}"


def _details(run: Run, config: pytest.Config) -> Iterator[str]:
    yield from _first(config.stash.get(_TROUBLES, []))
    hops = config.stash.get(_HOPS, Counter())
    if hops:
        yield "at hop    " + ", ".join(f"{hop} ({count})" for hop, count in hops.most_common())
    noted = run.bench.notes[config.stash.get(_NOTES_TOLD, 0) :]
    for what, lines in (("recovery", run.recoveries), ("note", noted), ("cut off", run.cut_off)):
        yield from _first([f"{what:9} {text}" for text in lines])
    for reason, count in config.stash.get(_SKIPS, Counter()).most_common(_SHOWN):
        yield f"skipped   {count} × {reason}"
    yield from _quarantined(run, config.stash.get(_HELD_BACK, Counter()))
    yield from (f"NOT RESTORED {complaint}" for complaint in run.complaints)
    yield from nights.told(config)
    results = results_folder(config)
    if results is not None:
        yield f"report    Allure results in {results}"


def _counts(config: pytest.Config, terminalreporter: Any) -> Counter[str]:
    """Tests by outcome, as the record of a run and the page have them."""
    worst: dict[str, str] = {}
    for line in config.stash.get(_TROUBLES, []):
        kind, test = line[:9].strip(), line[10:].partition(": ")[0]
        worst.setdefault(test, kind)  # what went wrong first tells how it ended
    counts = Counter(worst.values())
    for name in ("passed", "skipped"):
        ended = {report.nodeid for report in terminalreporter.stats.get(name, ())}
        counts[name] = len(ended - worst.keys())
    counts["broken"] += config.stash.get(_HELD_BACK, Counter()).total()
    return counts


def _quarantined(run: Run, held_back: Counter[str]) -> Iterator[str]:
    for device in run.bench.devices:
        if device.quarantine:
            count = held_back[device.alias]
            yield f"QUARANTINED {device.alias}, {count} tests broken by that: {device.quarantine}"


def _first(lines: list[str]) -> list[str]:
    more = [f"          … and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return [*lines[:_SHOWN], *more]
