"""Where a change came in: the night, found with a kernel change-point search over outlier-free nights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

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
    """The index of the first night after the change that raised `alarm` in `values`.

    With `ruptures` (the extra ``history``) by `KernelCPD`; without it, the night at which the sum began to rise, which
    is right within two nights for steps of three spreads.
    """
    try:
        import ruptures  # noqa: PLC0415  (optional, and slow to import: only where something changed)
    except ImportError:
        return alarm.since
    first = max(0, alarm.since - BEFORE)
    piece = without_outliers(values[first : alarm.night + SHORTEST])
    spread = alarm.reference.spread or 1.0
    signal: Any = ((piece - alarm.reference.median) / spread)[:, None]
    rho = alarm.reference.correlation
    penalty = PENALTY * math.log(len(piece)) * (1 + rho) / (1 - rho)
    search = ruptures.KernelCPD(kernel="linear", min_size=LEAST_NIGHTS).fit(signal)
    found = [first + end for end in search.predict(pen=penalty)[:-1]]
    if not found:  # too faint for the penalty: where it would be if there is one
        found = [first + search.predict(n_bkps=1)[0]]
    # What came after the night on which it was sure is another change.
    found = [night for night in found if night <= alarm.night] or [alarm.since]
    return int(min(found, key=lambda night: abs(night - alarm.since)))
