"""How warm a card is, what it draws and how busy it is: first-order answers to the bytes it moved.

A copy keeps its engine busy for as long as its bytes take at the card's own rate. The share of time it was busy,
averaged exponentially over `AVERAGE_SECONDS`, is the card's *activity*, 0 … 1. Power follows activity at once (the
average is in it, as in the figure of a real board); temperature follows power with `TEMPERATURE_SECONDS`. Both are
solved in closed form at the moment somebody asks, so they depend on the machine's clock and on nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hil.model import GB, Direction
from hil.sim.profile import GpuSpec

AVERAGE_SECONDS = 1.0
"""Ampere and newer boards report power averaged over a second (NVML API reference, nvmlDeviceGetPowerUsage)."""
TEMPERATURE_SECONDS = 40.0
"""To 63 % of a step: a large cooler reaches its end temperature within two or three minutes."""
IDLE_CELSIUS = 38.0
IDLE_WATTS = 16.0
COPY_SHARE = 0.3
"""Share of the board's power limit that copying alone draws on top: memory and link work, the cores do not."""
KELVIN_PER_WATT = 0.14
"""Of cooler and enclosure: 320 W end at 81 °C."""


@dataclass(eq=False, slots=True)
class Thermal:
    """One card's state at the moment when it last changed."""

    spec: GpuSpec
    time: float = 0.0
    """Seconds of the machine's clock."""
    activity: float = 0.0
    excess: float = 0.0
    """Kelvin above idle."""

    def moved(self, nbytes: int, direction: Direction, now: float) -> None:
        """`nbytes` crossed the link (or, D2D, went through the card's memory) just before `now`."""
        self._advance(now)
        spec = self.spec
        rates = {Direction.H2D: spec.h2d, Direction.D2H: spec.d2h, Direction.D2D: spec.vram_gb_s * GB / 2}
        self.activity = min(1.0, self.activity + nbytes / rates[direction] / AVERAGE_SECONDS)

    def busy(self, now: float) -> float:
        """Activity at `now`, 0 … 1."""
        self._advance(now)
        return self.activity

    def watts(self, now: float) -> float:
        """Power of the board at `now`."""
        return IDLE_WATTS + self.busy(now) * self._span()

    def celsius(self, now: float) -> float:
        """Temperature of the GPU at `now`."""
        self._advance(now)
        return IDLE_CELSIUS + self.excess

    def _span(self) -> float:
        return COPY_SHARE * (self.spec.power_limit_w - IDLE_WATTS)

    def _advance(self, now: float) -> None:
        seconds = now - self.time
        if seconds <= 0:
            return
        # Activity decays as exp(-t/a); the excess e follows it: e' = (K·activity - e)/b. Its solution is
        # e(t) = (e0 - C)·exp(-t/b) + C·exp(-t/a) with C = K·activity0·a/(a - b).
        fast, slow = math.exp(-seconds / AVERAGE_SECONDS), math.exp(-seconds / TEMPERATURE_SECONDS)
        aim = KELVIN_PER_WATT * self._span() * self.activity
        part = aim * AVERAGE_SECONDS / (AVERAGE_SECONDS - TEMPERATURE_SECONDS)
        self.excess = (self.excess - part) * slow + part * fast
        self.activity *= fast
        self.time = now
