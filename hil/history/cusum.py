"""The nightly alarm: a robust one-sided CUSUM over one value a night, which knows that nights resemble each other.

The reference is the nights before the one judged, as long as nothing is under suspicion: at the first night of a
rising sum it is frozen, so that it never contains what it is to judge. A night's score is its distance from the
reference's median in units of a spread that allows for three things: outliers (median absolute deviation), a median
taken from few nights, and nights that hang together (lag-1 autocorrelation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hil.model import MAD_TO_SD

Floats = NDArray[np.float64]

LONGEST: Final = 60
"""Nights in the reference at the most."""
SHORTEST: Final = 20
"""Nights before anything is judged."""
SLACK: Final = 1.0
"""Of a score: what is not counted (k of the CUSUM)."""
THRESHOLD: Final = 7.5
"""Of the sum (h of the CUSUM). With `SLACK` 1 it alarms 0.00 to 0.16 times in 100 nights on the series that
``python -m benchmarks.detectors`` makes, and sees a step of three spreads within five nights (median)."""
WINSOR: Final = 3.0
"""Scores beyond it count as it: one night alone is no change."""
FLOOR: Final = 0.002
"""Share of the median below which no spread is believed: a series that never varied would alarm at a rounding."""
MEDIAN_PENALTY: Final = 1.57
"""π/2: variance of a median over that of a mean of as many normal values."""
MOST_CORRELATION: Final = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What nights are held against."""

    median: float
    spread: float
    """Of one night around the median, autocorrelation and the median's own error included; the series' unit."""
    correlation: float
    """Lag-1, 0 … `MOST_CORRELATION`."""
    nights: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A change for the worse, or (`better`) for the better."""

    night: int
    """Index of the night at which the sum passed the threshold."""
    since: int
    """Index of the night at which the sum began to rise."""
    reference: Reference
    better: bool = False


def references(values: Sequence[float] | Floats) -> list[Reference]:
    """For every n from `SHORTEST` to ``len(values)``: the reference made of the last `LONGEST` of the first n values.

    Empty where there are fewer.
    """
    y = np.asarray(values, dtype=np.float64)
    if len(y) < SHORTEST:
        return []
    windows, counts = _windows(y)
    centre = _medians(windows, counts)
    deviation = windows - centre[:, None]
    spread = MAD_TO_SD * _medians(np.abs(deviation), counts)
    spread = np.maximum(spread, FLOOR * np.abs(centre))
    spread = np.where(spread > 0, spread, 1.0)  # a series of zeros
    bounded = np.clip(deviation / spread[:, None], -WINSOR, WINSOR)
    inside = np.isfinite(windows)
    bounded = np.where(inside, bounded, 0.0)
    mean = bounded.sum(axis=1) / counts
    centred = np.where(inside, bounded - mean[:, None], 0.0)
    power = (centred**2).sum(axis=1)
    lagged = (centred[:, 1:] * centred[:, :-1]).sum(axis=1)
    correlation = np.divide(lagged, power, out=np.zeros_like(power), where=power > 0) - 0.5 / np.sqrt(counts)
    correlation = np.clip(correlation, 0.0, MOST_CORRELATION)
    whole = spread * np.sqrt(1 + MEDIAN_PENALTY / counts) * np.sqrt((1 + correlation) / (1 - correlation))
    return [
        Reference(median=float(m), spread=float(s), correlation=float(r), nights=int(n))
        for m, s, r, n in zip(centre, whole, correlation, counts, strict=True)
    ]


def _windows(y: Floats) -> tuple[Floats, NDArray[np.int64]]:
    # One row for every n; what a row lacks at its left is infinite, so that sorting moves it out of the way.
    padded = np.concatenate([np.full(LONGEST, np.inf), y])
    rows = np.lib.stride_tricks.sliding_window_view(padded, LONGEST)[SHORTEST:]
    return rows, np.minimum(np.arange(SHORTEST, len(y) + 1), LONGEST)


def _medians(rows: Floats, counts: NDArray[np.int64]) -> Floats:
    rows = np.sort(np.where(np.isfinite(rows), rows, np.inf), axis=1)
    at = np.arange(len(rows))
    low, high = rows[at, (counts - 1) // 2], rows[at, counts // 2]
    middle: Floats = (low + high) / 2
    return middle


def first_alarm(values: Sequence[float] | Floats, *, higher_is_better: bool = True) -> Alarm | None:
    """The first alarm in `values`, one a night, oldest first, all since the last accepted change.

    Both directions are watched: a change for the better is an alarm with `Alarm.better`, which starts a new baseline.

    Args:
        values: of one series, in its unit; finite.
        higher_is_better: of a rate; false of a latency.

    """
    known = references(values)
    sign = 1.0 if higher_is_better else -1.0
    worse, better = _Sum(known, sign), _Sum(known, -sign)
    for night in range(SHORTEST, len(values)):
        value = float(values[night])
        for total, good in ((worse, False), (better, True)):
            if total.add(night, value):
                return Alarm(night=night, since=total.since, reference=total.reference, better=good)
    return None


class _Sum:
    """One direction's cumulative sum."""

    def __init__(self, known: Sequence[Reference], sign: float) -> None:
        self._known = known
        self._sign = sign
        self._sum = 0.0
        self.since = 0
        self.reference = known[0] if known else Reference(median=0.0, spread=1.0, correlation=0.0, nights=0)

    def add(self, night: int, value: float) -> bool:
        """Take the value of `night`; whether the sum is past the threshold."""
        if self._sum == 0.0:
            self.reference = self._known[night - SHORTEST]
        score = self._sign * (self.reference.median - value) / self.reference.spread
        total = max(0.0, self._sum + min(max(score, -WINSOR), WINSOR) - SLACK)
        if total > 0.0 and self._sum == 0.0:
            self.since = night
        self._sum = total
        return total > THRESHOLD
