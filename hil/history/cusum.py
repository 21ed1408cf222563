"""The nightly alarm: a robust one-sided CUSUM over one value a night, which knows that nights resemble each other.

The reference is the nights before the one judged, as long as nothing is under suspicion: at the first night of a
rising sum it is frozen, so that it never contains what it is to judge. A night's score is its distance from the
reference's median in units of a spread that allows for three things: outliers (median absolute deviation), a median
taken from few nights, and nights that hang together (lag-1 autocorrelation).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    known = _Known(y)
    every = known.widened(np.arange(len(known.counts)))
    return [_reference(*fields) for fields in zip(*(field.tolist() for field in every), strict=True)]


def _reference(median: float, spread: float, correlation: float, nights: int) -> Reference:
    return Reference(median=median, spread=spread, correlation=correlation, nights=nights)


class _Known:
    """All references of `y`, a row each; what nights that hang together add to a spread only where it is asked for."""

    def __init__(self, y: Floats) -> None:
        self._windows, self.counts = _windows(y)
        self.centre = _medians(self._windows, self.counts)
        spread = MAD_TO_SD * _medians(np.abs(self._windows - self.centre[:, None]), self.counts)
        spread = np.maximum(spread, FLOOR * np.abs(self.centre))
        self._spread = np.where(spread > 0, spread, 1.0)  # a series of zeros
        self.narrow = self._spread * np.sqrt(1 + MEDIAN_PENALTY / self.counts)
        """Spreads of nights that have nothing to do with each other."""

    def widened(self, rows: NDArray[np.intp]) -> tuple[Floats, Floats, Floats, NDArray[np.int64]]:
        """The fields of a `Reference`, an array each, of `rows`."""
        windows, counts, centre = self._windows[rows], self.counts[rows], self.centre[rows]
        inside = np.isfinite(windows)
        bounded = np.clip((windows - centre[:, None]) / self._spread[rows][:, None], -WINSOR, WINSOR)
        bounded = np.where(inside, bounded, 0.0)
        mean = bounded.sum(axis=1) / counts
        centred = np.where(inside, bounded - mean[:, None], 0.0)
        power = (centred**2).sum(axis=1)
        lagged = (centred[:, 1:] * centred[:, :-1]).sum(axis=1)
        correlation = np.divide(lagged, power, out=np.zeros_like(power), where=power > 0) - 0.5 / np.sqrt(counts)
        correlation = np.clip(correlation, 0.0, MOST_CORRELATION)
        return centre, self.narrow[rows] * np.sqrt((1 + correlation) / (1 - correlation)), correlation, counts


def _windows(y: Floats) -> tuple[Floats, NDArray[np.int64]]:
    # One row for every n; what a row lacks at its left is infinite, so that sorting moves it out of the way.
    padded = np.concatenate([np.full(LONGEST, np.inf), y])
    rows = np.lib.stride_tricks.sliding_window_view(padded, LONGEST)[SHORTEST:]
    return rows, np.minimum(np.arange(SHORTEST, len(y) + 1), LONGEST)


def _medians(rows: Floats, counts: NDArray[np.int64]) -> Floats:
    rows = np.sort(rows, axis=1)
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
    y = np.asarray(values, dtype=np.float64)
    if len(y) <= SHORTEST:
        return None
    known = _Known(y)
    # A sum of zero leaves zero only with a score above the slack. All other nights need not be looked at, nor how much
    # those before them hang together, which only widens the spread. The last reference is for a night to come.
    alone = (known.centre[:-1] - y[SHORTEST:]) / known.narrow[:-1]
    starts = np.flatnonzero(np.abs(alone) > SLACK)
    fields = zip(*(field.tolist() for field in known.widened(starts)), strict=True)
    found = dict(zip((starts + SHORTEST).tolist(), fields, strict=True))
    listed, sign = y.tolist(), 1.0 if higher_is_better else -1.0
    worse, better = _first(listed, found, sign), _first(listed, found, -sign)
    good = better is not None and (worse is None or better[0] < worse[0])
    first = better if good else worse
    if first is None:
        return None
    night, since = first
    return Alarm(night=night, since=since, reference=_reference(*found[since]), better=good)


def _first(
    values: list[float], found: Mapping[int, tuple[float, float, float, int]], sign: float
) -> tuple[int, int] | None:
    """The first night at which one direction's sum is past the threshold, and the one at which it began to rise.

    `found`: the fields of the reference that a sum has which begins to rise in that night.
    """
    night = -1
    for start, (centre, spread, *_) in found.items():
        if start <= night:
            continue  # the sum was above zero then
        total = 0.0
        for night in range(start, len(values)):
            score = sign * (centre - values[night]) / spread
            total = max(0.0, total + min(max(score, -WINSOR), WINSOR) - SLACK)
            if total > THRESHOLD:
                return night, start
            if total == 0.0:
                break
    return None
