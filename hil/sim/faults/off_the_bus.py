"""The GPU falls off the bus in the middle of a copy."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from hil.sim.faults import base


class OffTheBusParameters(base.Trigger):
    """Parameters of `OffTheBus`."""

    times: Annotated[int | None, Field(ge=1, description="how often at the most")] = 1


class OffTheBus(base.Fault):
    """Lets the card stop answering while its cable is in: it is enumerated still, and all it reads as is ones."""

    name = "off-the-bus"
    domain = "pcie"
    story = "The card's supply dips under load and its PCIe interface resets, or its firmware kills the link."
    seen_by = "driver"
    shows_as = r"off the bus|all ones|DEVICE_LOST|does not answer|GPU_IS_LOST|GPU is lost|Xid 79|nobody answers"
    profiles = ("macbook-pro-usb4", "linux-two-enclosures")
    Parameters = OffTheBusParameters
    parameters: OffTheBusParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """From once in a while, late, to every time, at once."""
        late = int((1 - severity) * 64)
        return {"at_bytes": dice.randrange(late + 1) << 20, "times": 1 if severity < 0.5 else 3}  # noqa: PLR2004

    def on_chunk(self, chunk: base.Chunk) -> Sequence[base.Chunk]:
        """It is gone before `chunk` arrives."""
        if self.strikes(chunk.gpu, len(chunk.data)):
            self.site.fall_off(chunk.gpu)
            return ()
        return (chunk,)
