"""The arithmetic of the score: intervals, bounds, shares by severity."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

Z95 = 1.959963984540054
"""Two-sided 95 % quantile of the standard normal distribution."""
BINS = 5
"""Severities are told by quintile: 0 … 0.2, 0.2 … 0.4, …"""
_BARS = "▁▂▃▄▅▆▇█"


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share, as (low, high) in 0 … 1; (0, 1) where nothing was counted.

    E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209. It stays within 0 … 1 and says something at 0 and at `of` hits.

    Raises:
        ValueError: `hits` is not within 0 … `of`.

    """
    if not 0 <= hits <= of:
        raise ValueError(f"{hits} of {of} is no share")
    if of == 0:
        return 0.0, 1.0
    share, weight = hits / of, Z95**2 / of
    centre = (share + weight / 2) / (1 + weight)
    half = math.sqrt(share * (1 - share) * weight + weight**2 / 4) / (1 + weight)
    low = 0.0 if hits == 0 else centre - half
    high = 1.0 if hits == of else centre + half
    return low, high


def upper_bound(alarms: int, runs: int) -> float:
    """Largest alarm rate, 0 … 1, that 95 % confidence still allows after `alarms` in `runs` clean runs.

    Without an alarm this is the exact bound that the rule of three (3 / `runs`) approximates; with one, Wilson's upper
    end. 1 where nothing was run.
    """
    if runs == 0:
        return 1.0
    return 1 - 0.05 ** (1 / runs) if alarms == 0 else wilson(alarms, runs)[1]


def by_severity(draws: Iterable[tuple[float, bool]]) -> tuple[float | None, ...]:
    """Share of hits in each fifth of severity, from (severity, hit); `None` where nothing was drawn."""
    bins: list[list[bool]] = [[] for _ in range(BINS)]
    for severity, hit in draws:
        bins[min(int(severity * BINS), BINS - 1)].append(hit)
    return tuple(sum(hits) / len(hits) if hits else None for hits in bins)


def curve(shares: Sequence[float | None]) -> str:
    """`shares` as a line of bars, mild to severe; ``·`` where nothing was drawn."""
    return "".join("·" if share is None else _BARS[round(share * (len(_BARS) - 1))] for share in shares)


def median(values: Sequence[float]) -> float | None:
    """The median; `None` of nothing."""
    return statistics.median(values) if values else None


def spread_order(count: int) -> list[int]:
    """0 … `count` - 1, both ends first and then ever finer between: what was left out at the end leaves no gap."""
    order = dict.fromkeys([0, count - 1] if count > 1 else range(count))
    step = float(count - 1)
    while len(order) < count:
        step /= 2
        order |= dict.fromkeys(min(round(k * step), count - 1) for k in range(round((count - 1) / step) + 1))
    return list(order)
