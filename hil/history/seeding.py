"""A history out of one night: its figures repeated over nights with a known spread, for machines without a past."""

from __future__ import annotations

import random
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

from hil.history.store import open_history
from hil.history.verdict import DAY, judge

if TYPE_CHECKING:
    from pathlib import Path

    from hil.history.series import Key, Point

NIGHTS: Final = 30
SPREAD: Final = 0.01
"""Robust standard deviation over nights, as a share: that of a quiet bench."""
_TRIES: Final = 50


def seed_history(source: Path, target: Path, *, nights: int = NIGHTS, spread: float = SPREAD, seed: int = 0) -> int:
    """Write to `target` every series of `source` over `nights` nights that end with the one before its own.

    Each night's value is the series' last one times a draw around 1. The draws are the evenly spaced quantiles of a
    normal distribution in a shuffled order, so that every series has the same robust spread to within a hundredth of
    it, and no series is one that the nightly alarm would call changed.

    Args:
        source: a history file with one night.
        target: a new file, or one to add to.
        nights: how many.
        spread: of the draws, as a share.
        seed: of the order.

    Returns:
        How many points were written.

    Raises:
        UsageError: a file cannot be used.
        ValueError: a number makes no sense.

    """
    if nights < 1 or not 0 <= spread < 0.2:  # noqa: PLR2004  (a fifth is no noise any more)
        raise ValueError(f"`nights` must be at least 1 and `spread` within 0 … 0.2, not {nights} and {spread}")
    steps = [NormalDist().inv_cdf((i + 0.5) / nights) for i in range(nights)]
    with open_history(source, must_exist=True) as found, open_history(target) as made:
        written = 0
        for key in found.series():
            points = found.points(key, last=1)
            for point in points:
                written += made.add((key, one) for one in _nights(key, point, steps, spread, seed))
    return written


def _nights(key: Key, last: Point, steps: list[float], spread: float, seed: int) -> list[Point]:
    dice = random.Random(f"{seed} {key.label()}")  # noqa: S311  (reproducible, not secret)
    order = list(steps)
    for _ in range(_TRIES):
        dice.shuffle(order)
        points = [
            last._replace(
                time=last.time - (len(order) - night) * DAY,
                value=last.value * (1 + spread * step),
                samples=(),
                run=f"seeded {seed} {night}",
            )
            for night, step in enumerate(order)
        ]
        if judge(key, points).status in ("steady", "too few"):
            break
    return points
