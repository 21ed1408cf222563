"""How far values lie from their middle, told so that a few outliers do not matter."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

MAD_TO_SD = 1.4826
"""Of a normal distribution: standard deviation over median absolute deviation."""


def robust_sd(values: Iterable[float], middle: float) -> float:
    """Robust standard deviation of `values` around their median `middle`, in their unit."""
    return MAD_TO_SD * median(abs(value - middle) for value in values)
