"""A link loses the bonding of its lanes in the middle of copies."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from hil.sim.faults import base

SHORTEST = 0.1
"""Seconds; a link that is whole again before is seen by nobody who does not look all the time."""


class BondingLostParameters(base.Trigger):
    """Parameters of `BondingLost`."""

    recovery_s: Annotated[float, Field(gt=0, description="seconds until the lanes are bonded again; inf = never")] = (
        base.NEVER
    )
    times: Annotated[int | None, Field(ge=1, description="how often at the most")] = 1


class BondingLost(base.Fault):
    """Takes the second lane away while bytes cross the link, and gives it back after a while."""

    name = "bonding-lost"
    domain = "link"
    story = "One lane's receiver loses its lock; the link goes on with the other one, and is bonded again later."
    seen_by = "driver"
    shows_as = r"\blink\b|bonding|\blanes?\b|routers"
    profiles = ("macbook-pro-usb4", "linux-two-enclosures")
    Parameters = BondingLostParameters
    parameters: BondingLostParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """From half a second, in which it mends itself, to for ever."""
        recovery = math.inf if severity > 0.7 else round(0.5 * 100**severity, 2)  # noqa: PLR2004  (a minute is long)
        return {"at_bytes": dice.randrange(4, 128) << 20, "recovery_s": recovery}

    @classmethod
    def below_sight(cls, parameters: base.Trigger) -> str:
        """Only if it mends itself at once."""
        assert isinstance(parameters, BondingLostParameters)  # noqa: S101  (its own)
        return f"it is over in less than {SHORTEST:g} s" if parameters.recovery_s < SHORTEST else ""

    def on_chunk(self, chunk: base.Chunk) -> Sequence[base.Chunk]:
        """Go on with one lane."""
        gpu, seconds = chunk.gpu, self.parameters.recovery_s
        if self.site.link_gbps(gpu) is not None and self.strikes(gpu, len(chunk.data)):
            self.site.retrain(gpu, lanes=1)
            if math.isfinite(seconds):
                self.site.after(seconds, lambda: self.site.retrain(gpu, lanes=2))
        return (chunk,)
