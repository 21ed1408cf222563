"""Where a change came in: the night, found by the best cut into pieces of constant level of outlier-free nights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hil.history.cusum import SHORTEST, Alarm
from hil.model import MAD_TO_SD

HALF_WINDOW: Final = 3
"""Nights on each side that the Hampel filter looks at."""
SIGMAS: Final = 3.0
"""Robust standard deviations from its neighbours' median beyond which a night counts as an outlier."""
LEAST_NIGHTS: Final = 3
"""Nights on each side of a change."""
PENALTY: Final = 8.0
"""Times log n (1+ρ)/(1-ρ): a step of one spread is found, and autocorrelation makes none."""
BEFORE: Final = 60
"""Nights before the sum began to rise that are searched with those after."""


def without_outliers(values: Sequence[float]) -> NDArray[np.float64]:
    """`values` with every outlier replaced by its neighbours' median (Hampel filter)."""
    y = np.asarray(values, dtype=np.float64)
    if len(y) < 2 * HALF_WINDOW + 1:
        return y
    padded = np.pad(y, HALF_WINDOW, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * HALF_WINDOW + 1)
    middle = np.median(windows, axis=1)
    spread = MAD_TO_SD * np.median(np.abs(windows - middle[:, None]), axis=1)
    return np.where(np.abs(y - middle) > SIGMAS * spread, middle, y)


def locate(values: Sequence[float], alarm: Alarm) -> int:
    """The index of the first night after the change that raised `alarm` in `values`."""
    first = max(0, alarm.since - BEFORE)
    piece = without_outliers(values[first : alarm.night + SHORTEST])
    spread = alarm.reference.spread or 1.0
    signal = (piece - alarm.reference.median) / spread
    rho = alarm.reference.correlation
    penalty = PENALTY * math.log(len(piece)) * (1 + rho) / (1 - rho)
    # Too faint for the penalty: where it would be if there is one.
    found = [first + start for start in changes(signal, penalty) or [strongest(signal)]]
    # What came after the night on which it was sure is another change.
    found = [night for night in found if night <= alarm.night] or [alarm.since]
    return min(found, key=lambda night: abs(night - alarm.since))


def changes(signal: NDArray[np.float64], penalty: float) -> list[int]:
    """Where `signal` is best cut into pieces of a constant level each: the first index of each piece but the first.

    The cut is the one with the least squared error plus `penalty` a cut, no piece shorter than `LEAST_NIGHTS`: what
    ``ruptures.KernelCPD(kernel="linear")`` finds (R. Killick et al., J. Am. Stat. Assoc. 107 (2012) 1590), without the
    second that importing it takes, with all of scipy.
    """
    count = len(signal)
    total, squares = (np.concatenate([[0.0], np.cumsum(part)]) for part in (signal, signal * signal))
    ends, starts = np.ogrid[: count + 1, : count + 1]
    # What pieces that are long enough cost, a row for each end.
    level = (total[:, None] - total) ** 2 / np.maximum(ends - starts, 1)
    piece = np.where(ends - starts >= LEAST_NIGHTS, squares[:, None] - squares - level + penalty, np.inf)
    best = np.full(count + 1, np.inf)
    best[0] = 0.0
    before = [0] * (count + 1)
    for end in range(LEAST_NIGHTS, count + 1):
        cost = best + piece[end]
        before[end] = int(cost.argmin())
        best[end] = cost[before[end]]
    found, start = [], before[count]
    while start > 0:
        found.append(start)
        start = before[start]
    return found[::-1]


def strongest(signal: NDArray[np.float64]) -> int:
    """Where `signal` is best cut in two."""
    total, cuts = np.cumsum(signal), np.arange(LEAST_NIGHTS, len(signal) - LEAST_NIGHTS + 1)
    left = total[cuts - 1]
    explained = left**2 / cuts + (total[-1] - left) ** 2 / (len(signal) - cuts)
    return int(cuts[np.argmax(explained)])
