"""Series as a page draws them: a value a night, what is allowed, where it changed, what changed on the bench."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from time import time
from typing import Any, Final

from hil.history import History, Key, Verdict, gate, judge_series
from hil.history.verdict import DAY, Change, Night, judge
from hil.history.words import change_sentence, differences
from hil.model import GB, size_text
from hil.report.nights import AHEAD

NIGHTS: Final = 400
"""Nights of a series on the page."""
DIGITS: Final = 5
_MARKS: Final = ("driver", "os", "firmware")
"""Context whose changes are marked in a picture; hil's own version and commit change too often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The unit that a series is shown in."""

    unit: str
    factor: float
    """Of the series' own unit."""


def judged(history: History, notes: list[str] | None = None) -> list[Verdict]:
    """All series of `history`, judged as of their last night; figures of a time to come are left out.

    Args:
        history: is read.
        notes: gets a sentence where figures are left out.

    """
    now, newest = time(), history.latest()
    if newest <= now + AHEAD:
        return [judge_series(history, key) for key in history.series()]
    if notes is not None:
        notes.append(
            f"left out of the history {history.path}: figures of a time to come, the last of them of "
            f"{(newest - now) / DAY:.1f} days from now: the clock of a bench ran ahead, or this machine's is slow"
        )
    found = []
    for key in history.series():
        points = [point for point in history.points(key, samples=False) if point.time <= now + AHEAD]
        found.append(judge(key, points, history.accepted(key)))
    return found


def scale(key: Key, values: Sequence[float]) -> Scale:
    """Decimal GB/s for rates, µs, ms or s for times, else the series' own unit."""
    if key.unit == "B/s":
        return Scale(unit="GB/s", factor=GB)
    if key.unit == "s":
        middle = median(values) if values else 1.0
        for unit, factor in (("µs", 1e-6), ("ms", 1e-3)):
            if middle < 1000 * factor:
                return Scale(unit=unit, factor=factor)
    return Scale(unit=key.unit, factor=1.0)


def line(verdict: Verdict, dates: Mapping[str, int]) -> dict[str, Any]:
    """`verdict` in builtin types; nights by their index in `dates`."""
    key, nights = verdict.key, verdict.nights[-NIGHTS:]
    shown = scale(key, [night.value for night in nights])
    size = f" {size_text(key.nbytes)}" if key.nbytes else ""
    return {
        "name": f"{key.direction} {key.metric}{size}",
        "metric": key.metric,
        "direction": key.direction,
        "nbytes": key.nbytes,
        "engine": key.engine,
        "link": key.negotiated or key.declared,
        "unit": shown.unit,
        "status": verdict.status,
        "at": [dates[night.date] for night in nights],
        "values": [_short(night.value / shown.factor) for night in nights],
        "band": _band(verdict, nights, shown),
        "changes": [_change(change, key, dates) for change in verdict.changes],
        "marks": _marks(nights, dates),
    }


def usual_nights(verdict: Verdict) -> tuple[int, int]:
    """The nights that show what is usual, by their indices: from the first, to before the second."""
    if verdict.status != "worse":
        return verdict.baseline, len(verdict.nights)
    # What it was before it became worse is what the eye looks for; that it is partly back since changes nothing.
    worse = max(number for number, change in enumerate(verdict.changes) if not change.better)
    starts = [0, *(_index(verdict, change) for change in verdict.changes)]
    return starts[worse], starts[worse + 1]


def _band(verdict: Verdict, nights: Sequence[Night], shown: Scale) -> list[float] | None:
    """The first and the last night that the band is drawn over, and the values between which a night is as usual."""
    first, last = usual_nights(verdict)
    reference = [night.value for night in verdict.nights[first:last]]
    allowed = gate(reference, higher_is_better=verdict.key.higher_is_better)
    if allowed is None:
        return None
    margin = abs(allowed.median - allowed.limit)
    begin = max(first - (len(verdict.nights) - len(nights)), 0)
    low, high = (_short((allowed.median + side * margin) / shown.factor) for side in (-1, 1))
    return [begin, len(nights) - 1, low, high]


def _index(verdict: Verdict, change: Change) -> int:
    return next(i for i, night in enumerate(verdict.nights) if night.date == change.since.date)


def _change(change: Change, key: Key, dates: Mapping[str, int]) -> dict[str, Any]:
    return {
        "at": dates[change.since.date],
        "share": round(100 * change.share, 1),
        "better": change.better,
        "told": change_sentence(change, key),
    }


def _marks(nights: Sequence[Night], dates: Mapping[str, int]) -> list[list[Any]]:
    found = []
    for before, after in pairwise(nights):
        if before.context is after.context:
            continue
        changed = {n: pair for n, pair in differences(before.context, after.context).items() if n in _MARKS}
        if changed:
            told = ", ".join(f"{name} {old or '?'} → {new or '?'}" for name, (old, new) in changed.items())
            found.append([dates[after.date], told])
    return found


def _short(value: float) -> float:
    if not value or not math.isfinite(value):
        return 0.0
    return round(value, DIGITS - 1 - math.floor(math.log10(abs(value))))
