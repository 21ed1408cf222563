"""A display or a disk on the same cable takes bandwidth away from the PCIe tunnel."""

from __future__ import annotations

import random
from typing import Annotated, Literal

from pydantic import Field

from hil.model import PCIE_PAYLOAD, Direction
from hil.sim.faults import base, sight

PERIOD = 0.005
"""Seconds; a disk's bursts follow one another about so fast."""
LEFT_OVER = 0.05
"""Share of the link that the PCIe tunnel keeps, whatever the others take."""
_TYPICAL_GBPS, _TYPICAL_RATE = 40.0, 3.1e9


class SharedTunnelParameters(base.Trigger):
    """Parameters of `SharedTunnel`."""

    stolen_gbps: Annotated[float, Field(gt=0, le=120, description="Gb/s of the link that the others take")] = 25.0
    duty: Annotated[float, Field(gt=0, le=1, description="share of the time in which they take it")] = 1.0
    direction: Annotated[
        Literal["H2D", "D2H"] | None, Field(description="H2D (as a display), D2H (as a camera); none = both, as a disk")
    ] = None


class SharedTunnel(base.Fault):
    """Leaves the PCIe tunnel what the others do not take. What nobody used before costs nothing."""

    name = "shared-tunnel"
    domain = "link"
    story = "A monitor at the enclosure's second port reserves bandwidth, or a disk there is busy: PCIe gets the rest."
    seen_by = "throughput"
    shows_as = r"below the band|spread|GB/s|share|slower|longer"
    Parameters = SharedTunnelParameters
    parameters: SharedTunnelParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """From one monitor's worth, some of the time, to nearly all of a 40 Gb/s link."""
        way = dice.choice(({}, {"direction": "H2D"}, {"direction": "D2H"}))
        return {"stolen_gbps": round(12 + 25 * severity, 1), "duty": round(0.4 + 0.6 * severity, 2), **way}

    @classmethod
    def below_sight(cls, parameters: base.Trigger) -> str:
        """As any slower path: where its nights differ by as much; judged on a link of 40 Gb/s."""
        p = parameters
        assert isinstance(p, SharedTunnelParameters)  # noqa: S101  (its own)
        slow = min(_left(_TYPICAL_GBPS, p.stolen_gbps), _TYPICAL_RATE)
        share = p.duty * slow / _TYPICAL_RATE + 1 - p.duty
        return sight.of_nights(share)

    def on_bandwidth(self, gpu: int, direction: Direction, rate: float) -> float:
        """What is left."""
        p, link = self.parameters, self.site.link_gbps(gpu)
        if link is None or direction is Direction.D2D or p.direction not in (None, direction.value):
            return rate
        busy = self.site.now() % PERIOD < p.duty * PERIOD
        return min(rate, _left(link, p.stolen_gbps)) if busy and self.strikes(gpu) else rate


def _left(link_gbps: float, stolen_gbps: float) -> float:
    """bytes/s of payload that a link of `link_gbps` has left."""
    return max(link_gbps - stolen_gbps, LEFT_OVER * link_gbps) * 1e9 / 8 * PCIE_PAYLOAD
