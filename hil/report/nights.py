"""The nights that a folder of records holds: which bench ran when, on what, and how each of its tests ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from time import time
from typing import Final, TypeVar

from hil.errors import UsageError
from hil.history.series import NOON
from hil.history.verdict import DAY
from hil.report.record import Finished, Part, Record, read, read_head
from hil.report.words import WORST_FIRST

SUFFIX: Final = ".jsonl"
TROUBLE: Final = ("failed", "broken", "cut off")
AHEAD: Final = DAY
"""Seconds by which a night may be ahead of this machine's clock: no time zone is further away."""
FAILED: Final = 1
"""Exit code of a run in which a test was in trouble, or the bench could not be put back in order."""
WHOLE: Final = 60
"""Nights of which every test is known."""

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """How one test ended."""

    name: str
    """Node id."""
    suite: str
    """Folder of its suite: ``driver``, ``transfer``, ``throughput``, …"""
    outcome: str
    device: str = ""
    """Alias; empty = it uses none."""
    error: str = ""
    hop: str = ""
    operation: str = ""
    message: str = ""
    seconds: float = 0.0
    attempts: int = 1
    figures: Sequence[tuple[str, str]] = ()
    """Name and value of what it measured, as shown."""
    evidence: Sequence[Mapping[str, str]] = ()

    @property
    def short(self) -> str:
        """Its name without the path of its file."""
        return self.name.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A bench in one night; of several runs each test's last result counts."""

    bench: str
    nature: str
    simulated: bool
    night: str
    """Date on which it began, from noon to noon."""
    started: str
    """ISO 8601."""
    ended: str = ""
    """Empty = a run was cut off, or is not over."""
    complete: bool = False
    """Whether all its runs came to their own end."""
    restored: bool = True
    """Whether no run failed in which no test did."""
    context: Mapping[str, str] = field(default_factory=dict)
    devices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    faults: Sequence[str] = ()
    tests: Sequence[Test] = ()

    @property
    def key(self) -> tuple[str, bool]:
        """Tells benches apart; a simulated one never meets a real one of its name."""
        return self.bench, self.simulated

    def runs_on(self, device: str = "") -> dict[str, str]:
        """What may explain a change: ``os``, ``hil``, and of `device` (else of its only one) driver, firmware, link."""
        only = next(iter(self.devices)) if len(self.devices) == 1 else ""
        facts = self.devices.get(device or only, {})
        wanted = {"os": self.context.get("os", ""), "hil": self.context.get("hil", "")}
        wanted |= {name: facts.get(name, "") for name in ("driver", "firmware", "negotiated")}
        return {name: text for name, text in wanted.items() if text}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What was found."""

    visits: tuple[Visit, ...]
    """By night, then bench."""
    complaints: tuple[str, ...]
    """What could not be read, a sentence each; what could be is in `visits`."""


def night_of(moment: str) -> str:
    """The night that `moment`, ISO 8601 with its time zone, belongs to: from noon to noon, local time."""
    local = datetime.fromisoformat(moment).astimezone()
    return (local - NOON).date().isoformat()


def record_files(places: Iterable[Path]) -> list[Path]:
    """The files that `places` name: files as they are, of folders all that end in ``.jsonl``, sub-folders too.

    Raises:
        UsageError: one is not there.

    """
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            found += sorted(path for path in place.rglob(f"*{SUFFIX}") if path.is_file())
        elif place.exists():
            found.append(place)
        else:
            raise UsageError(f"{place}: there is no such file or folder; expected records that --hil-record wrote")
    return list(dict.fromkeys(found))


def load(files: Sequence[Path], nights: int = WHOLE) -> Loaded:
    """Read the records in `files`; one that cannot be read is complained of and left out.

    Args:
        files: records.
        nights: how many of the last ones are read whole. Of those before it is known who ran on what, and nothing of
            their tests: a year of records is read in the time that this many nights take.

    """
    complaints: list[str] = []
    heads = [(path, head) for path in files if (head := _tried(_head, path, complaints))]
    dates = {simulated: sorted({one.night for _, one in heads if one.simulated == simulated}) for simulated in (0, 1)}
    visits: list[Visit] = []
    runs: dict[tuple[str, str, bool], list[Record]] = {}
    for path, head in heads:
        if head.night not in dates[head.simulated][-nights:]:
            visits.append(head)
            continue
        record = _tried(read, path, complaints)
        if record is None:
            continue
        if record.lost:
            more = f", and {len(record.lost) - 1} more lines" if len(record.lost) > 1 else ""
            complaints.append(f"left out of {path}: {record.lost[0]}{more}")
        if record.end is None:
            complaints.append(
                f"half written: {path}: the run on {record.head.bench} was cut off, or is not over; what had finished "
                "is shown"
            )
        runs.setdefault((head.night, *head.key), []).append(record)
    versions = sorted({record.head.hil for records in runs.values() for record in records})
    if len(versions) > 1:
        complaints.append(f"records of several versions of hil are shown together: {', '.join(versions)}")
    visits += [_visit(night, sorted(records, key=_began)) for (night, _, _), records in runs.items()]
    visits.sort(key=lambda visit: (visit.night, visit.bench, visit.simulated))
    return Loaded(visits=tuple(visits), complaints=tuple(complaints))


def _tried(reading: Callable[[Path], Found], path: Path, complaints: list[str]) -> Found | None:
    try:
        return reading(path)
    except UsageError as error:
        complaints.append(f"left out: {error}")
        return None


def _head(path: Path) -> Visit:
    part = read_head(path)
    try:
        night, began = night_of(part.started), datetime.fromisoformat(part.started).timestamp()
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{path}: no time at which it began: {error}") from error
    if began > time() + AHEAD:
        raise UsageError(
            f"{path}: `started` is {part.started}; expected no time to come: the clock of the bench ran ahead, or this "
            "machine's is slow"
        )
    return _of(part, night)


def _of(part: Part, night: str) -> Visit:
    return Visit(
        bench=part.bench,
        nature=part.nature,
        simulated=bool(part.simulated),
        night=night,
        started=part.started,
        complete=True,
        context=_texts(part.context),
        devices={str(alias): _texts(facts) for alias, facts in part.devices.items()},
        faults=tuple(str(fault) for fault in part.faults),
    )


def _began(record: Record) -> datetime:
    return datetime.fromisoformat(record.head.started).astimezone()


def _visit(night: str, records: Sequence[Record]) -> Visit:
    last = records[-1]
    tests: dict[str, Test] = {}
    restored = True
    for record in records:
        mine = {test.name: test for test in _tests(record)}
        # A line that was lost may be that of the test that failed.
        failed = record.end is not None and record.end.exit == FAILED and not record.lost
        restored = restored and not (failed and all(test.outcome not in TROUBLE for test in mine.values()))
        tests |= mine
    return replace(
        _of(last.parts[-1], night),
        started=records[0].head.started,
        ended=last.end.ended if last.end is not None else "",
        complete=all(record.finished and not record.lost for record in records),
        restored=restored,
        faults=tuple(dict.fromkeys(str(fault) for record in records for fault in record.head.faults)),
        tests=tuple(tests.values()),
    )


def _texts(facts: Mapping[str, object]) -> dict[str, str]:
    return {str(name): str(text) for name, text in facts.items()}


def _tests(record: Record) -> Iterator[Test]:
    for test in record.tests:
        known = test.outcome in WORST_FIRST
        yield Test(
            name=test.test,
            suite=_suite(test.test, test.markers),
            outcome=test.outcome if known else "broken",
            device=test.device or "",
            error=test.error,
            hop=test.hop,
            operation=test.operation,
            message=test.message if known else f"It ended as {test.outcome!r}, of which this hil knows nothing.",
            seconds=test.seconds,
            attempts=test.attempts,
            figures=_figures(test),
            evidence=tuple(_texts(one) for one in test.evidence),
        )
    for name, count in record.cut_off.items():
        yield Test(
            name=name,
            suite=_suite(name),
            outcome="cut off",
            message="It began and never ended: the run ended in it.",
            attempts=count,
        )


def _suite(name: str, markers: Sequence[str] = ()) -> str:
    if markers:
        return markers[0]
    parts = name.partition("::")[0].split("/")
    return parts[-2] if len(parts) > 1 else "tests"


def _figures(test: Finished) -> tuple[tuple[str, str], ...]:
    last = test.reports[-1] if test.reports else {}
    pairs = last.get("user_properties")
    if not isinstance(pairs, list):
        return ()
    return tuple((str(pair[0]), str(pair[1])) for pair in pairs if isinstance(pair, list) and len(pair) == 2)  # noqa: PLR2004  (name and value)
