"""Control: for one night an enclosure's link is a little slower, and still within its band."""

from __future__ import annotations

import random
from typing import Annotated

from pydantic import Field

from hil.model import Direction
from hil.sim.faults import base

MOST = 0.97
"""Share of the rate at which every enclosure of the shipped profiles stays within its link's band."""


class ControlSlowNightParameters(base.Trigger):
    """Parameters of `ControlSlowNight`."""

    factor: Annotated[float, Field(ge=MOST, lt=1, description="share of the rate that is left")] = MOST


class ControlSlowNight(base.Fault):
    """Multiplies the rates of what crosses a cable, all the time."""

    name = "control-slow-night"
    domain = "link"
    story = "A backup ran on the host that night, and cost a little of every copy."
    seen_by = "throughput"
    control = True
    profiles = ("macbook-pro-usb4", "linux-two-enclosures")
    Parameters = ControlSlowNightParameters
    parameters: ControlSlowNightParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """From one to three hundredths less."""
        return {"factor": round(0.99 - 0.02 * severity, 4)}

    def on_bandwidth(self, gpu: int, direction: Direction, rate: float) -> float:
        """A little less; cards in slots have no room for it in their band."""
        tunnelled = direction is not Direction.D2D and self.site.link_gbps(gpu) is not None
        return rate * self.parameters.factor if tunnelled and self.strikes(gpu) else rate
