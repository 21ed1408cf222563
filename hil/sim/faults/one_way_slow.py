"""One direction of a path is slow, the other is not."""

from __future__ import annotations

import random
from typing import Annotated, Literal

from pydantic import Field

from hil.model import Direction
from hil.sim.faults import base, sight


class OneWaySlowParameters(base.Trigger):
    """Parameters of `OneWaySlow`."""

    direction: Annotated[Literal["H2D", "D2H"], Field(description="the slow one")] = "D2H"
    factor: Annotated[float, Field(gt=0, le=1, description="share of its rate that is left")] = 0.5


class OneWaySlow(base.Fault):
    """Multiplies the rate of one direction."""

    name = "one-way-slow"
    domain = "link"
    story = "One direction has too few flow-control credits, or its driver waits for each piece before the next."
    seen_by = "throughput"
    shows_as = r"(H2D|D2H)[^\n]*(below the band|slower|longer)"
    Parameters = OneWaySlowParameters
    parameters: OneWaySlowParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """From a tenth less to a fifth of the rate."""
        return {"direction": dice.choice(("H2D", "D2H")), "factor": round(0.9 - 0.7 * severity, 3)}

    @classmethod
    def below_sight(cls, parameters: base.Trigger) -> str:
        """As any slower path: where its nights differ by as much."""
        assert isinstance(parameters, OneWaySlowParameters)  # noqa: S101  (its own)
        return sight.of_nights(parameters.factor)

    def on_bandwidth(self, gpu: int, direction: Direction, rate: float) -> float:
        """Slow it down."""
        slow = direction.value == self.parameters.direction and self.strikes(gpu)
        return rate * self.parameters.factor if slow else rate
