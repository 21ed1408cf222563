"""A link trains to less than it can, and says so."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hil.sim.faults import base

_SPEEDS = (10.0, 20.0, 40.0)


def _known(gbps: float) -> float:
    if gbps not in _SPEEDS:
        raise ValueError("a lane runs at 10, 20 or 40 Gb/s")
    return gbps


class LinkDowngradeParameters(base.Trigger):
    """Parameters of `LinkDowngrade`."""

    lane_gbps: Annotated[
        float, Field(ge=10, le=40, description="Gb/s of a lane, at the most: 10, 20 or 40"), AfterValidator(_known)
    ] = 20.0
    lanes: Annotated[int, Field(ge=1, le=2, description="lanes, at the most")] = 1
    when: Annotated[
        Literal["training", "use"], Field(description="as it is plugged in, or anew in the middle of copies")
    ] = "training"


class LinkDowngrade(base.Fault):
    """Lets links train to a lower speed or to fewer lanes; everything that tells of the link shows it."""

    name = "link-downgrade"
    domain = "link"
    story = "A worn cable or a marginal retimer: training fails at full speed, or on the second lane, and falls back."
    seen_by = "driver"
    shows_as = r"\blink\b|Gb/s|\blanes?\b|slower"
    profiles = ("macbook-pro-usb4", "linux-two-enclosures")
    Parameters = LinkDowngradeParameters
    parameters: LinkDowngradeParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """From one step less to the slowest link there is."""
        steps = ((20, 1), (10, 2), (10, 1))
        lane_gbps, lanes = steps[min(int(severity * len(steps)), len(steps) - 1)]
        when = dice.choice(("training", "use"))
        after = {"at_bytes": dice.randrange(64) << 20} if when == "use" else {}
        return {"lane_gbps": lane_gbps, "lanes": lanes, "when": when, **after}

    @classmethod
    def below_sight(cls, parameters: base.Trigger) -> str:
        """Only where it takes nothing away."""
        p = parameters
        assert isinstance(p, LinkDowngradeParameters)  # noqa: S101  (its own)
        return "no enclosure links at more than that" if p.lane_gbps * p.lanes >= max(_SPEEDS) * 2 else ""

    def on_link_training(self, training: base.Training) -> None:
        """Train to less."""
        p = self.parameters
        here = self.site.gpu_indices(training.enclosure)
        concerned = p.gpu is None or p.gpu in here
        less = training.lane_gbps > p.lane_gbps or training.lanes > p.lanes
        if p.when == "training" and concerned and less and self.strikes():
            training.lane_gbps = min(training.lane_gbps, p.lane_gbps)
            training.lanes = min(training.lanes, p.lanes)

    def on_chunk(self, chunk: base.Chunk) -> Sequence[base.Chunk]:
        """Train anew."""
        p, now = self.parameters, self.site.link_gbps(chunk.gpu)
        to_less = now is not None and now > p.lane_gbps * p.lanes
        if p.when == "use" and to_less and self.strikes(chunk.gpu, len(chunk.data)):
            self.site.retrain(chunk.gpu, lane_gbps=p.lane_gbps, lanes=p.lanes)
        return (chunk,)
