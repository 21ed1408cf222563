"""The rate over time: copies in one direction for minutes, and whether the path slows down as it warms up."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from hil.model import GB, Direction, decimal_gb_s
from hil.throughput.copies import check, copier

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hil.copy.base import CopyEngine
    from hil.hosts.base import Clock

FADES = 0.05
"""Share of the rate of the beginning that may be lost at the end: a card that boosts less when warm stays within it."""
PARTS = 10
"""The soak's beginning and its end are a tenth of it each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Soak:
    """Rates in order."""

    direction: Direction
    nbytes: int
    moments: tuple[float, ...]
    """Seconds since the beginning at which each interval ended."""
    rates: tuple[float, ...]
    """bytes/s in it, on the host's clock."""

    @property
    def at_start(self) -> float:
        """Median of the first tenth, bytes/s."""
        return median(self.rates[: self._part])

    @property
    def at_end(self) -> float:
        """Median of the last tenth, bytes/s."""
        return median(self.rates[-self._part :])

    @property
    def _part(self) -> int:
        return max(len(self.rates) // PARTS, 1)

    def faded(self) -> str:
        """What was lost on the way, and from when on, in words; empty if nothing was."""
        limit = (1 - FADES) * self.at_start
        if self.at_end >= limit:
            return ""
        since = next(
            moment
            for moment, rate in zip(self.moments, self.rates, strict=True)
            if rate < (self.at_start + self.at_end) / 2
        )
        return (
            f"{self.direction} became slower under load: {decimal_gb_s(self.at_start)} at the beginning, "
            f"{decimal_gb_s(self.at_end)} at the end, expected at least {limit / GB:.2f}; it fell {since:.0f} s after "
            "the beginning, as a path does that gets too warm: look at temperature and throttle reasons"
        )


def soak(
    engine: CopyEngine,
    clock: Clock,
    direction: Direction,
    nbytes: int,
    *,
    seconds: float,
    every: float = 0.5,
    meanwhile: Callable[[], None] = lambda: None,
) -> Soak:
    """Copy `nbytes` bytes again and again until `seconds` of the host's clock have passed.

    Args:
        engine: the open engine.
        clock: the host's clock.
        direction: of the copies.
        nbytes: of one.
        seconds: how long.
        every: seconds of an interval that one rate stands for.
        meanwhile: called after each interval.

    Raises:
        As `hil.throughput.sample`.

    """
    check(engine, (direction,), nbytes, 1, 0)
    if not 0 < every <= seconds:
        raise ValueError(f"`every` must be above 0 and not above `seconds`, not {every} of {seconds}")
    moments, rates = [], []
    with ExitStack() as stack:
        copy = copier(engine, direction, nbytes, stack)
        began = start = clock.now()
        moved = 0
        while start < began + seconds:
            copy(0)
            engine.synchronize()
            moved += nbytes
            now = clock.now()
            if now >= start + every:
                moments.append(now - began)
                rates.append(moved / (now - start))
                meanwhile()
                start, moved = clock.now(), 0
    return Soak(direction=direction, nbytes=nbytes, moments=tuple(moments), rates=tuple(rates))


def joined(parts: Sequence[Soak]) -> Soak:
    """`parts`, at least one and all of one kind, as one soak that went on without a pause."""
    moments: list[float] = []
    rates: list[float] = []
    before = 0.0
    for part in parts:
        moments += [before + moment for moment in part.moments]
        rates += part.rates
        before = moments[-1]
    return Soak(direction=parts[0].direction, nbytes=parts[0].nbytes, moments=tuple(moments), rates=tuple(rates))
