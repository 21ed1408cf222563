"""What a series' nights say: steady, worse since when and by how much, better, and what changed on the bench then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from statistics import median
from typing import Final, Literal, NamedTuple

from hil.history.cusum import SHORTEST, Alarm, first_alarm
from hil.history.locate import locate
from hil.history.series import Key, Point
from hil.history.store import Acceptance, History
from hil.history.words import differences

LONGEST: Final = 400
"""Nights that are judged at the most: what nobody minded for so long is the new normal."""
DAY: Final = 86400.0
RECOVERED: Final = 5
"""Nights whose median must be back for a change to count as gone."""
Status = Literal["too few", "steady", "worse", "better"]


class Night(NamedTuple):
    """One value a night: the median of its runs. A tuple, since a bench's verdicts make tens of thousands of them."""

    date: str
    time: float
    """Of its last run."""
    value: float
    context: Mapping[str, str]
    """Of its last run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A step in a series."""

    since: Night
    """The first night after it."""
    before: float
    """Median of the nights before it, in the series' unit."""
    after: float
    """Median of the nights from it on."""
    better: bool
    seen: str
    """Date of the night on which it was first sure."""
    context: Mapping[str, tuple[str, str]]
    """What changed on the bench with it: before, after."""

    @property
    def share(self) -> float:
        """Of the value before; the sign is the figure's own."""
        return (self.after - self.before) / self.before if self.before else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a series' nights say today."""

    key: Key
    status: Status
    nights: tuple[Night, ...]
    changes: tuple[Change, ...] = ()
    """Oldest first; those that were for the worse and have gone again are not among them."""
    baseline: int = 0
    """Index in `nights` of the first night that is a reference today."""

    @property
    def change(self) -> Change | None:
        """The one that `status` speaks of: the latest, or the latest for the worse where there is any."""
        worse = [change for change in self.changes if not change.better]
        return (worse or self.changes or (None,))[-1]

    def reference(self) -> list[float]:
        """Values of the nights that tonight's is held against, oldest first."""
        return [night.value for night in self.nights[self.baseline :]]


def by_night(points: Sequence[Point]) -> list[Night]:
    """One value for each night of `points`, oldest first."""
    found = []
    for date, runs in groupby(sorted(points, key=attrgetter("time")), key=attrgetter("night")):
        first, *more = runs
        last = more[-1] if more else first
        value = median(run.value for run in (first, *more)) if more else first.value
        found.append(Night(date=date, time=last.time, value=value, context=last.context))
    return found


def recent(history: History, key: Key) -> list[Point]:
    """The points of a series that a verdict looks at, without their samples."""
    return history.points(key, since=history.newest(key) - (LONGEST + 1) * DAY, samples=False)


def judge_series(history: History, key: Key) -> Verdict:
    """Judge the series `key` of `history` as of its last night."""
    return judge(key, recent(history, key), history.accepted(key))


def judge(key: Key, points: Sequence[Point], accepted: Sequence[Acceptance] = ()) -> Verdict:
    """As `judge_series`, on `points` and what was `accepted`."""
    nights = by_night(points)[-LONGEST:]
    since = max((one.since for one in accepted), default=0.0)
    start = next((i for i, night in enumerate(nights) if night.time >= since), len(nights))
    kept = list(range(start, len(nights)))  # nights that are reference or under judgement
    changes: list[Change] = []
    while True:
        values = [nights[i].value for i in kept]
        alarm = first_alarm(values, higher_is_better=key.higher_is_better)
        if alarm is None:
            break
        at = locate(values, alarm)
        back = None if alarm.better else _recovery(values, alarm, key)
        if back is not None:
            kept = kept[:at] + kept[back:]
            continue
        changes.append(_change(nights, kept, at, alarm))
        kept = kept[at:]
    open_changes = [change for change in changes if not change.better]
    status: Status = "steady"
    if len(nights) - start < SHORTEST and not changes:
        status = "too few"
    elif open_changes:
        status = "worse"
    elif changes:
        status = "better"
    return Verdict(
        key=key, status=status, nights=tuple(nights), changes=tuple(changes), baseline=kept[0] if kept else len(nights)
    )


def _recovery(values: Sequence[float], alarm: Alarm, key: Key) -> int | None:
    # The first of the nights that are back where they were before the change.
    sign = 1.0 if key.higher_is_better else -1.0
    limit = sign * alarm.reference.median - alarm.reference.spread
    for end in range(alarm.night + 1, len(values) + 1 - RECOVERED + 1):
        window = values[end : end + RECOVERED]
        if len(window) == RECOVERED and median(sign * value for value in window) >= limit:
            return end
    return None


def _change(nights: Sequence[Night], kept: Sequence[int], at: int, alarm: Alarm) -> Change:
    first, before = nights[kept[at]], nights[kept[at - 1]] if at else nights[kept[0]]
    return Change(
        since=first,
        before=alarm.reference.median,
        # The night that is blamed may be later than the one that raised the alarm.
        after=median(nights[i].value for i in kept[at : max(at, alarm.night) + 1]),
        better=alarm.better,
        seen=nights[kept[alarm.night]].date,
        context=differences(before.context, first.context),
    )
