"""A series and its points: one metric of one device on one bench, a value a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta

NOON = timedelta(hours=12)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What one run measured of one series."""

    time: float
    """Seconds since 1970, UTC, at which it was measured."""
    value: float
    """Median of the samples, in the series' unit."""
    spread: float = 0.0
    """Robust standard deviation of the samples."""
    samples: tuple[float, ...] = ()
    """Raw, in the series' unit."""
    run: str = ""
    """Names the run: no two runs of any bench share it."""
    context: Mapping[str, str] = field(default_factory=dict)
    """What it ran on: ``os``, ``driver``, ``firmware``, ``hil``, ``commit``, ``command``, …"""

    def __post_init__(self) -> None:
        if math.isfinite(self.time + self.value + self.spread):
            return
        for name in ("time", "value", "spread"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"`{name}` must be finite, not {getattr(self, name)}")

    @property
    def night(self) -> str:
        """The night it belongs to, as the date on which that began: from noon to noon, local time."""
        return (datetime.fromtimestamp(self.time) - NOON).date().isoformat()  # noqa: DTZ006  (a lab's own night)
