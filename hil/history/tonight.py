"""A run and its history: what the nights before allow, what it adds, and which of its series are worse since when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Final

from hil.history.gate import Gate, gate
from hil.history.series import Key, Point
from hil.history.store import History
from hil.history.verdict import DAY, Night, Verdict, judge, judge_series, recent
from hil.history.words import differences, quantity

AHEAD: Final = 3600.0
"""Seconds by which the newest point may be ahead of this machine's clock: another machine's may differ a little."""
CONFIRMED: Final = 2
"""Measurements out of three that are beyond the limit, for one night's value to be a regression."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What the nights before this run say of one series."""

    verdict: Verdict
    gate: Gate | None
    """`None` = too few nights."""

    def last_good(self) -> Night | None:
        """The last night of the present baseline that the gate would let pass."""
        good = [
            night
            for night in self.verdict.nights[self.verdict.baseline :]
            if self.gate is None or self.gate.passes(night.value)
        ]
        return good[-1] if good else None


class Tonight:
    """The history file of one run. Everything that a test measured is kept in one transaction."""

    def __init__(self, history: History, *, run: str, context: Mapping[str, str]) -> None:
        """`run` names this run and no other; `context` is what all its figures have in common."""
        self._history = history
        self.run = run
        self.context = dict(context)
        self.worse: dict[Key, Verdict] = {}
        """Series of this run that the nightly alarm holds to be worse, after `judge`."""
        self.kept = 0
        """Points that were added."""
        self._before: dict[Key, Before] = {}
        self._names: dict[tuple[tuple[str, str], ...], str] = {}

    @property
    def path(self) -> Path:
        """Of the file."""
        return self._history.path

    def clock_complaint(self) -> str:
        """What is wrong with the clock, in words: the history already has points of the future; empty if nothing is."""
        newest, now = self._history.latest(), time()
        if newest <= now + AHEAD:
            return ""
        days = (newest - now) / DAY
        return (
            f"history {self._history.path}: its newest figure is of {days:.1f} days from now, so a clock ran backwards "
            "or ran ahead then: set this machine's clock right. What is measured now is kept with the time that it "
            "tells, and nothing that is there is overwritten"
        )

    def before(self, key: Key) -> Before:
        """What the nights before this run say of the series `key`."""
        if key not in self._before:
            points = [point for point in recent(self._history, key) if not point.run.startswith(self.run)]
            verdict = judge(key, points, self._history.accepted(key))
            allowed = gate(verdict.reference(), higher_is_better=key.higher_is_better)
            self._before[key] = Before(verdict=verdict, gate=allowed)
        return self._before[key]

    def point(self, value: float, spread: float, samples: Sequence[float], *, context: Mapping[str, str]) -> Point:
        """A point of this run and this moment; `context` is what it has beyond the run's own."""
        whole = self.context | dict(context)
        # A file keeps one context for each run, and devices of one run differ in theirs.
        name = self._names.setdefault(tuple(sorted(whole.items())), f"{self.run}-{len(self._names)}")
        return Point(time=time(), value=value, spread=spread, samples=tuple(samples), run=name, context=whole)

    def keep(self, points: Iterable[tuple[Key, Point]]) -> None:
        """Add what one test measured, all or nothing."""
        self.kept += self._history.add(points)

    def judge(self, keys: Iterable[Key]) -> list[Verdict]:
        """The nightly alarm over the series `keys`, this run's points included: those that are worse."""
        found = []
        for key in dict.fromkeys(keys):
            verdict = judge_series(self._history, key)
            if verdict.status == "worse":
                self.worse[key] = verdict
                found.append(verdict)
        return found

    def close(self) -> None:
        """Close the file."""
        self._history.close()


def is_confirmed(allowed: Gate, values: Sequence[float]) -> bool:
    """Whether `values`, the first measurement and those made anew, make a regression."""
    return sum(not allowed.passes(value) for value in values) >= CONFIRMED


def regression_sentence(
    name: str, key: Key, values: Sequence[float], before: Before, context: Mapping[str, str]
) -> str:
    """How much worse than what the nights allow, in how many measurements, since when, and what changed since then.

    Raises:
        ValueError: the nights before allow no verdict.

    """
    allowed = before.gate
    if allowed is None:
        raise ValueError("there are too few nights for a verdict")
    value = sorted(values)[len(values) // 2]
    beyond = sum(not allowed.passes(one) for one in values)
    word = "slower" if key.higher_is_better else "longer"
    at = "least" if key.higher_is_better else "most"
    change = (value - allowed.median) / allowed.median if allowed.median else 0.0
    good = before.last_good()
    changed = differences(good.context, context) if good is not None else {}
    told = "; ".join(f"{what} {old or 'unknown'} → {new or 'unknown'}" for what, (old, new) in changed.items())
    return (
        f"{name} is {quantity(value, key.unit)}, {word} than its history allows: at {at} "
        f"{quantity(allowed.limit, key.unit)} after {allowed.nights} nights with a median of "
        f"{quantity(allowed.median, key.unit)} ({100 * change:+.1f} %), in {beyond} of {len(values)} measurements; "
        f"since tonight, the last good night was {good.date if good else 'not kept'}; changed since then: "
        f"{told or 'nothing that hil knows of'}"
    )


def grouped(verdicts: Iterable[Verdict]) -> list[tuple[str, list[Verdict]]]:
    """`verdicts` that are worse, by what they share: the bench, what changed on it, and the direction."""
    found: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        change = verdict.change
        if change is None:
            continue
        told = ", ".join(
            f"{what} {old or 'unknown'} → {new or 'unknown'}" for what, (old, new) in change.context.items()
        )
        shared = f"{verdict.key.bench}, {verdict.key.direction}, since {change.since.date}"
        found.setdefault(f"{shared} ({told})" if told else shared, []).append(verdict)
    return sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
