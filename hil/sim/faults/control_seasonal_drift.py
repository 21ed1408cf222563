"""Control: rates follow the seasons by a hundredth."""

from __future__ import annotations

import math
import random
from typing import Annotated

from pydantic import Field

from hil.model import Direction
from hil.sim.faults import base

AMPLITUDE = 0.01
YEAR = 365


class ControlSeasonalDriftParameters(base.Trigger):
    """Parameters of `ControlSeasonalDrift`."""

    night: Annotated[int, Field(ge=0, lt=YEAR, description="night of the year, from 0")] = 0


class ControlSeasonalDrift(base.Fault):
    """Multiplies the rates of host copies by 1 ± 0.01, after the night of the year."""

    name = "control-seasonal-drift"
    domain = "thermal"
    story = "The lab is warmer in summer, and clocks follow."
    seen_by = "throughput"
    control = True
    profiles = ("macbook-pro-usb4", "linux-two-enclosures")
    Parameters = ControlSeasonalDriftParameters
    parameters: ControlSeasonalDriftParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """Any night."""
        return {"night": dice.randrange(YEAR)}

    def on_bandwidth(self, gpu: int, direction: Direction, rate: float) -> float:
        """A little more, a little less."""
        if direction is Direction.D2D or not self.strikes(gpu):
            return rate
        return rate * (1 + AMPLITUDE * math.sin(2 * math.pi * self.parameters.night / YEAR))
