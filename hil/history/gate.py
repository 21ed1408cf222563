"""The gate in a run: is tonight's value beyond what the last nights allow? A suite confirms it by measuring anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from hil.model import robust_sd

NIGHTS: Final = 30
"""Nights that it looks back at."""
SHORTEST: Final = 10
"""Nights before it judges."""
SPREADS: Final = 4.0
LEAST: Final = 0.02
"""Share of the median: less is never called a regression by one night alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What the last nights allow tonight."""

    median: float
    """Of the nights looked at, in the series' unit."""
    spread: float
    """Their robust standard deviation."""
    limit: float
    """Beyond it a value is a regression."""
    nights: int
    higher_is_better: bool

    def passes(self, value: float) -> bool:
        """Whether `value` is not beyond the limit."""
        return value >= self.limit if self.higher_is_better else value <= self.limit

    def change(self, value: float) -> float:
        """`value` against the median, as a share of it; negative = worse."""
        share = (value - self.median) / self.median if self.median else 0.0
        return share if self.higher_is_better else -share


def gate(nights: Sequence[float], *, higher_is_better: bool) -> Gate | None:
    """The gate that `nights` make (one value each, oldest first, of the present baseline); `None` = too few.

    A value is held to be worse beyond `SPREADS` robust standard deviations of the last `NIGHTS` nights, and beyond
    `LEAST` of their median.
    """
    last = list(nights)[-NIGHTS:]
    if len(last) < SHORTEST:
        return None
    middle = median(last)
    spread = robust_sd(last, middle)
    margin = max(SPREADS * spread, LEAST * abs(middle))
    limit = middle - margin if higher_is_better else middle + margin
    return Gate(median=middle, spread=spread, limit=limit, nights=len(last), higher_is_better=higher_is_better)
