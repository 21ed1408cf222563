"""Control: copies are faster than they were."""

from __future__ import annotations

import random
from typing import Annotated

from pydantic import Field

from hil.model import Direction
from hil.sim.faults import base


class ControlImprovementParameters(base.Trigger):
    """Parameters of `ControlImprovement`."""

    factor: Annotated[float, Field(gt=1, le=1.25, description="of the rate")] = 1.08


class ControlImprovement(base.Fault):
    """Multiplies the rates of host copies."""

    name = "control-improvement"
    domain = "driver"
    story = "A new release of the driver keeps more pieces on the way."
    seen_by = "throughput"
    control = True
    profiles = ("macbook-pro-usb4", "linux-two-enclosures")
    Parameters = ControlImprovementParameters
    parameters: ControlImprovementParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """From three to fifteen hundredths more."""
        return {"factor": round(1.03 + 0.12 * severity, 4)}

    def on_bandwidth(self, gpu: int, direction: Direction, rate: float) -> float:
        """More."""
        return rate * self.parameters.factor if direction is not Direction.D2D and self.strikes(gpu) else rate
