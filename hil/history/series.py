"""A series and its points: one metric of one device on one bench, a value a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple, Self

NOON = timedelta(hours=12)
QUARTER = 900.0
"""Seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What makes a series: two points are compared only where all of this is the same.

    The link negotiated under load is part of it, because a device that sometimes trains to one lane makes a series of
    two heights, which no detector can judge.
    """

    bench: str
    device: str
    """Device id."""
    metric: str
    """``bandwidth``, ``latency p50``, …"""
    direction: str
    """``H2D``, ``D2H``, ``D2D``, ``H2D while D2H``, …"""
    nbytes: int
    """Of one copy; 0 where the metric has no size."""
    engine: str
    declared: str
    """Kind of the link, as declared or discovered: ``usb4``, …"""
    negotiated: str
    """Link as negotiated under load: ``2 × 20 Gb/s``; empty where the host does not tell."""
    simulated: bool
    unit: str
    """Of the values: ``B/s``, ``s``, …"""
    higher_is_better: bool

    def __post_init__(self) -> None:
        if self.nbytes < 0:
            raise ValueError(f"`nbytes` must not be negative, not {self.nbytes}")

    def label(self) -> str:
        """One line for people; the device by its id."""
        size = f" {self.nbytes} B" if self.nbytes else ""
        nature = "simulated" if self.simulated else "real"
        link = self.negotiated or self.declared
        return f"{self.bench} · {self.device} · {self.direction} {self.metric}{size} · {self.engine}, {link}, {nature}"


KEY_FIELDS = tuple(one.name for one in fields(Key))


class _Figures(NamedTuple):
    time: float
    value: float
    spread: float
    samples: tuple[float, ...]
    run: str
    context: Mapping[str, str]


class Point(_Figures):
    """What one run measured of one series. A tuple: a history is read by the hundred thousand of them.

    Args:
        time: seconds since 1970, UTC, at which it was measured.
        value: median of the samples, in the series' unit.
        spread: robust standard deviation of the samples.
        samples: raw, in the series' unit.
        run: names the run; no two runs of any bench share it.
        context: what it ran on: ``os``, ``driver``, ``firmware``, ``hil``, ``commit``, ``command``, …

    Raises:
        ValueError: a number is not finite. (`_make` and `_replace` do not look.)

    """

    __slots__ = ()

    def __new__(
        cls,
        time: float,
        value: float,
        spread: float = 0.0,
        samples: tuple[float, ...] = (),
        run: str = "",
        context: Mapping[str, str] | None = None,
    ) -> Self:
        """Look at the numbers."""
        for name, number in (("time", time), ("value", value), ("spread", spread)):
            if not math.isfinite(number):
                raise ValueError(f"`{name}` must be finite, not {number}")
        return super().__new__(cls, time, value, spread, samples, run, {} if context is None else context)

    @property
    def night(self) -> str:
        """The night it belongs to, as the date on which that began: from noon to noon, local time."""
        return _night(self.time // QUARTER)


@lru_cache(maxsize=1 << 16)
def _night(quarter: float) -> str:
    # All time zones are whole quarters of an hour from UTC, so that no night begins within one.
    return (datetime.fromtimestamp(quarter * QUARTER) - NOON).date().isoformat()  # noqa: DTZ006  (a lab's own night)
