"""The rate over time: copies in one direction for minutes, and whether the path slows down as it warms up."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

from hil.model import GB, Direction, decimal_gb_s
from hil.throughput.copies import check, copier
from hil.watch import TelemetrySample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hil.copy.base import CopyEngine
    from hil.hosts.base import Clock

FADES = 0.05
"""Share of the rate of the beginning that may be lost at the end: a card that boosts less when warm stays within it."""
BEGINNING, STEADY, END = 12.0, 3.0, 6.0
"""Seconds: the beginning, of which the best so many count, since a path may be asleep at first and too warm soon after;
and the end."""
DEPTH = 32
"""Copies that are handed in at once: the path never waits for the host, and the host seldom for the path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Soak:
    """Rates in order."""

    direction: Direction
    nbytes: int
    moments: tuple[float, ...]
    """Seconds since the beginning at which each interval ended."""
    rates: tuple[float, ...]
    """bytes/s in it, on the host's clock."""
    sensors: tuple[TelemetrySample, ...] = ()
    """The card's own figures at the end of each interval; empty where nothing tells them."""

    @property
    def at_start(self) -> float:
        """The best median of `STEADY` seconds within the first `BEGINNING`, bytes/s."""
        ends = [i for i, moment in enumerate(self.moments) if moment <= BEGINNING] or [0]
        whole = [i for i in ends if self.moments[i] >= STEADY] or ends[-1:]
        return max(median(self.rates[self._after(self.moments[i] - STEADY) : i + 1]) for i in whole)

    @property
    def at_end(self) -> float:
        """Median of the last `END` seconds, bytes/s."""
        return median(self._last())

    @property
    def limit(self) -> float:
        """bytes/s that the end has to reach."""
        return (1 - FADES) * self.at_start

    def settled(self) -> bool:
        """Whether it has faded beyond doubt: all of the last seconds were slower. To go on would tell nothing more."""
        return max(self._last()) < self.limit

    def faded(self) -> str:
        """What was lost on the way, from when on, and what the card said of it; empty if nothing was lost."""
        if self.at_end >= self.limit:
            return ""
        middle = (self.at_start + self.at_end) / 2
        fast = max((i for i, rate in enumerate(self.rates) if rate >= middle), default=-1)
        since = min(fast + 1, len(self.rates) - 1)
        return (
            f"{self.direction} became slower under load: {decimal_gb_s(self.at_start)} at the beginning, "
            f"{decimal_gb_s(self.at_end)} at the end, expected at least {self.limit / GB:.2f}; it fell "
            f"{self.moments[since]:.0f} s after the beginning, {self._warmth(since)}"
        )

    def _warmth(self, since: int) -> str:
        if len(self.sensors) != len(self.rates):
            return "as a path does that gets too warm; no sensor tells whether the card did"
        first, then, last = self.sensors[0], self.sensors[since], self.sensors[-1]
        told = []
        if first.temperature_c is not None and then.temperature_c is not None:
            told.append(f"the card at {then.temperature_c:.0f} °C (at the beginning {first.temperature_c:.0f})")
        if first.graphics_mhz and last.graphics_mhz and last.graphics_mhz < (1 - FADES) * first.graphics_mhz:
            told.append(f"its clock down from {first.graphics_mhz:.0f} to {last.graphics_mhz:.0f} MHz")
        reasons = [reason for reason in last.throttle_reasons or () if reason != "idle"]
        told.append(
            f"throttled by its {', '.join(reasons)}"
            if reasons
            else "which names no reason to throttle: the enclosure, its controller or the cable gets too warm"
        )
        return ", ".join(told)

    def _last(self) -> tuple[float, ...]:
        return self.rates[self._after(self.moments[-1] - END) :]

    def _after(self, moment: float) -> int:
        """Number of the first interval that lies wholly after `moment`, but for a hair; at most the last."""
        ends = (0.0, *self.moments[:-1])
        return next((i for i, began in enumerate(ends) if began >= moment - 1e-6), len(ends) - 1)


def soak(
    engine: CopyEngine,
    clock: Clock,
    direction: Direction,
    nbytes: int,
    *,
    seconds: float,
    every: float = 0.5,
    depth: int = DEPTH,
    meanwhile: Callable[[], None] = lambda: None,
) -> Soak:
    """Copy `nbytes` bytes again and again until `seconds` of the host's clock have passed.

    Args:
        engine: the open engine.
        clock: the host's clock.
        direction: of the copies.
        nbytes: of one.
        seconds: how long.
        every: seconds of an interval that one rate stands for, at the least.
        depth: copies that are handed in before the last of them is waited for.
        meanwhile: called after each interval.

    Raises:
        As `hil.throughput.sample`.

    """
    check(engine, (direction,), nbytes, 1, 0)
    if not 0 < every <= seconds:
        raise ValueError(f"`every` must be above 0 and not above `seconds`, not {every} of {seconds}")
    if depth < 1:
        raise ValueError(f"`depth` must be at least 1, not {depth}")
    moments, rates = [], []
    with ExitStack() as stack:
        copy = copier(engine, direction, nbytes, stack)
        began = start = clock.now()
        moved = 0
        while start < began + seconds:
            for _ in range(depth):
                copy(0)
            engine.synchronize()
            moved += depth * nbytes
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
    sensors: list[TelemetrySample] = []
    before = 0.0
    for part in parts:
        moments += [before + moment for moment in part.moments]
        rates += part.rates
        sensors += part.sensors
        before = moments[-1]
    return replace(parts[0], moments=tuple(moments), rates=tuple(rates), sensors=tuple(sensors))
