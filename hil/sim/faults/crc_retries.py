"""Packets fail their check on the cable and are sent again, in bursts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from hil.model import GB, Direction
from hil.sim.faults import base, sight

BURST = 16
"""Errors that come together: a disturbance lasts longer than a packet."""
_TYPICAL_RATE = 3.1e9


class CrcRetriesParameters(base.Trigger):
    """Parameters of `CrcRetries`."""

    errors_per_gb: Annotated[float, Field(gt=0, le=1e7, description="packets sent again in 10^9 bytes, on average")] = (
        20_000.0
    )
    retry_us: Annotated[float, Field(gt=0, le=1e5, description="µs that each costs")] = 10.0


class CrcRetries(base.Fault):
    """Delays pieces of copies; nothing gets lost.

    The cable's link layer repeats what failed its check below PCI Express, so no AER counter moves and no replay is
    counted: time is all that tells.
    """

    name = "crc-retries"
    domain = "link"
    story = "A bent plug lets bits through that are wrong; the cable's own check finds them and packets are sent again."
    seen_by = "throughput"
    shows_as = r"below the band|spread|GB/s|slower|longer"
    Parameters = CrcRetriesParameters
    parameters: CrcRetriesParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """From a hundredth to the threefold of a copy's time."""
        retry = dice.choice((5.0, 10.0, 20.0))
        return {"errors_per_gb": round(0.0032 * 300**severity / (retry * 1e-6)), "retry_us": retry}

    @classmethod
    def below_sight(cls, parameters: base.Trigger) -> str:
        """As any slower path: where its nights differ by as much."""
        p = parameters
        assert isinstance(p, CrcRetriesParameters)  # noqa: S101  (its own)
        more = p.errors_per_gb * p.retry_us * 1e-6 / GB
        return sight.of_nights(1 / (1 + more * _TYPICAL_RATE))

    def on_chunk(self, chunk: base.Chunk) -> Sequence[base.Chunk]:
        """Delay it by what its errors cost."""
        if chunk.direction is Direction.D2D or self.site.link_gbps(chunk.gpu) is None:
            return (chunk,)
        bursts = self.parameters.errors_per_gb * len(chunk.data) / GB / BURST
        errors = BURST * (int(bursts) + (self.random.random() < bursts % 1))
        if errors and self.strikes(chunk.gpu, len(chunk.data)):
            chunk.delay += errors * self.parameters.retry_us * 1e-6
        return (chunk,)
