"""A path becomes slower, and nothing says so."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from hil.model import Direction
from hil.sim.faults import base, sight


class BandwidthStepParameters(base.Trigger):
    """Parameters of `BandwidthStep`."""

    factor: Annotated[float, Field(gt=0, le=1, description="share of the rate that is left")] = 0.7


class BandwidthStep(base.Fault):
    """Multiplies the rate of host copies from a moment on; link, registers and log stay as they were."""

    name = "bandwidth-step"
    domain = "link"
    story = "A new firmware or driver copies with smaller pieces or fewer buffers: slower, without any other sign."
    seen_by = "throughput"
    shows_as = r"below the band|slower|longer|GB/s"
    Parameters = BandwidthStepParameters
    parameters: BandwidthStepParameters

    def __init__(self, parameters: base.Trigger, site: base.Site) -> None:
        super().__init__(parameters, site)
        self._slow: set[int] = set()

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """From a tenth less to a quarter of the rate."""
        return {"factor": round(0.9 - 0.65 * severity, 3), "at_bytes": dice.randrange(64) << 20}

    @classmethod
    def below_sight(cls, parameters: base.Trigger) -> str:
        """Where its nights differ by as much: both directions slow down, and the history knows each."""
        assert isinstance(parameters, BandwidthStepParameters)  # noqa: S101  (its own)
        return sight.of_nights(parameters.factor)

    def on_chunk(self, chunk: base.Chunk) -> Sequence[base.Chunk]:
        """Count what passes, until the step."""
        counts = chunk.direction is not Direction.D2D and chunk.gpu not in self._slow
        if counts and self.strikes(chunk.gpu, len(chunk.data)):
            self._slow.add(chunk.gpu)
        return (chunk,)

    def on_bandwidth(self, gpu: int, direction: Direction, rate: float) -> float:
        """Slow down what crosses the link."""
        slow = gpu in self._slow and direction is not Direction.D2D
        return rate * self.parameters.factor if slow else rate
