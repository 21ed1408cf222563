"""The score: what the rows of a measurement add up to, and which of them are left out of it, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hil.cli.coverage import arithmetic
from hil.cli.coverage.plan import Kind
from hil.cli.coverage.row import End, Row

ALARMED_UNSTRUCK = "alarm, though it had not acted"
NEVER_STRUCK = "it never acted"


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a fault says of itself, as far as a score shows it."""

    name: str
    domain: str
    seen_by: str
    control: bool = False
    unscored: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultScore:
    """How the suites did against one fault."""

    name: str
    domain: str
    seen_by: str
    drawn: int
    """Draws that are over, left out or counted."""
    left_out: Mapping[str, int]
    """Draws that do not count, by reason."""
    counted: int
    caught: int
    """By a test of the expected kind."""
    caught_by_any: int
    low: float
    """Wilson's 95 % interval of `caught` / `counted`, 0 … 1."""
    high: float
    by_severity: tuple[float | None, ...]
    """Share caught in each fifth of severity; `None` where none is counted."""
    first_seen_by: Mapping[str, int]
    """Tests that raised the alarm, most frequent first."""
    judged: int
    """Alarms of which can be said whether the message was right."""
    right: int
    said: Mapping[str, int]
    """Errors that the alarms named, most frequent first."""
    seconds_to_red: float | None
    """Median of real seconds."""
    host_seconds_to_red: float | None
    """Median on the clock of the machine under test."""
    hung: int
    """Runs that hung or crashed themselves: they count as missed."""
    missed: tuple[str, ...]
    """Options of pytest that repeat each counted draw which no test caught."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanScore:
    """What the suites took for a fault and was none."""

    kind: Kind
    name: str
    """Of the control; empty for clean machines."""
    runs: int
    alarms: int
    bound: float
    """The alarm rate, 0 … 1, that is excluded with 95 % confidence."""
    tests: Mapping[str, int]
    """Tests that raised the alarms, most frequent first."""
    alarmed: tuple[tuple[str, str], ...]
    """Of each alarm the options of pytest that repeat it, and what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Of all suites against all that was run."""

    faults: tuple[FaultScore, ...]
    clean: tuple[CleanScore, ...]
    unscored: Mapping[str, str]
    """Faults that do not count yet, and what has to be built first."""

    @property
    def alarms(self) -> int:
        """On clean machines and controls."""
        return sum(part.alarms for part in self.clean)


@dataclass(slots=True)
class _Sorted:
    counted: list[Row] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def add_up(rows: Iterable[Row], about: Sequence[About]) -> Score:
    """The score of `rows`; faults in the order of `about`."""
    by_fault: dict[str, list[Row]] = {one.name: [] for one in about}
    clean: dict[Kind, list[Row]] = {Kind.CLEAN: [], Kind.WHOLE: []}
    for row in rows:
        if row.kind in clean:
            clean[row.kind].append(row)
        else:
            by_fault.setdefault(row.fault, []).append(row)
    scored = [one for one in about if by_fault[one.name] or not one.unscored]
    return Score(
        faults=tuple(_fault(one, by_fault[one.name]) for one in scored if not one.control),
        clean=(
            *(_clean(kind, "", found) for kind, found in clean.items() if found),
            *(_clean(Kind.CONTROL, one.name, by_fault[one.name]) for one in scored if one.control),
        ),
        unscored={one.name: one.unscored for one in about if one.unscored and not by_fault[one.name]},
    )


def caught(row: Row) -> bool:
    """Whether the draw counts as caught by any test."""
    return row.end is End.ALARM and not why_left_out(row)


def why_left_out(row: Row) -> str:
    """Why a draw does not count; empty if it does."""
    if row.below_sight:
        return f"below sight: {row.below_sight}"
    if row.struck == 0:
        return ALARMED_UNSTRUCK if row.end is End.ALARM else NEVER_STRUCK
    return ""


def _fault(about: About, rows: Sequence[Row]) -> FaultScore:
    parts = _Sorted()
    for row in rows:
        reason = why_left_out(row)
        if reason:
            parts.left_out[reason] += 1
        else:
            parts.counted.append(row)
    counted = parts.counted
    red = [row for row in counted if row.end is End.ALARM]
    expected = [row for row in red if row.suite == about.seen_by]
    judged = [row for row in red if row.right is not None]
    low, high = arithmetic.wilson(len(expected), len(counted))
    return FaultScore(
        name=about.name,
        domain=about.domain,
        seen_by=about.seen_by,
        drawn=len(rows),
        left_out=_ranked(parts.left_out),
        counted=len(counted),
        caught=len(expected),
        caught_by_any=len(red),
        low=low,
        high=high,
        by_severity=arithmetic.by_severity((row.severity or 0.0, row in expected) for row in counted),
        first_seen_by=_ranked(Counter(_test(row) for row in red)),
        judged=len(judged),
        right=sum(bool(row.right) for row in judged),
        said=_ranked(Counter(row.error for row in red)),
        seconds_to_red=arithmetic.median([row.seconds for row in red]),
        host_seconds_to_red=arithmetic.median([row.host_seconds for row in red]),
        missed=tuple(row.repeat for row in counted if row.end is not End.ALARM),
        hung=sum(row.end in (End.HUNG, End.CRASHED) for row in counted),
    )


def _clean(kind: Kind, name: str, rows: Sequence[Row]) -> CleanScore:
    # A control that nobody could see, or that never acted, has still been a run on a machine without a fault.
    run = [row for row in rows if row.end is not End.NOT_RUN]
    red = [row for row in run if row.end is not End.GREEN]
    return CleanScore(
        kind=kind,
        name=name,
        runs=len(run),
        alarms=len(red),
        bound=arithmetic.upper_bound(len(red), len(run)),
        tests=_ranked(Counter(_test(row) for row in red)),
        alarmed=tuple((row.repeat, f"{_test(row)}: {row.message}") for row in red),
    )


def _test(row: Row) -> str:
    """The test without its parameters: they differ with the profile."""
    return row.test.partition("[")[0] or "the run itself"


def _ranked(counts: Counter[str]) -> dict[str, int]:
    return dict(counts.most_common())
