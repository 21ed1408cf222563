"""A copy writes past the end, or before the beginning, of its destination."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from hil.model import KIB
from hil.sim.faults import base
from hil.sim.faults.draws import between, whole
from hil.sim.faults.pieces import CopyParameters, PieceFault, is_last


class OverrunParameters(CopyParameters):
    """Parameters of `Overrun`."""

    bytes: Annotated[int, Field(ge=1, le=64 * KIB, description="written outside of the destination")] = 64
    side: Annotated[Literal["before", "after"], Field(description="where they are written")] = "after"


class Overrun(PieceFault):
    """Writes the edge of a copy once more, outside of its destination."""

    name = "overrun"
    domain = "dma"
    story = "The engine rounds a copy up to its burst size, and writes what its buffer still holds behind it."
    seen_by = "transfer"
    shows_as = (
        r"over ?run|under ?run|guard|outside|past the end|beyond|before the (beginning|start)|behind the (end|buffer)"
    )
    Parameters = OverrunParameters
    parameters: OverrunParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """A byte beside a tenth of all copies, to 4 KiB beside each."""
        return {
            "bytes": whole(1, 4096, severity),
            "side": dice.choice(["before", "after"]),
            "probability": between(0.1, 1.0, severity),
            "direction": dice.choice(["H2D", "D2H"]),
            "seed": dice.randrange(1 << 16),
        }

    def on_chunk(self, chunk: base.Chunk) -> Sequence[base.Chunk]:
        """Let a copy's first or last chunk bring some more; each copy is one opportunity."""
        after = self.parameters.side == "after"
        edge = is_last(chunk) if after else chunk.position == 0
        if not (edge and self.concerns(chunk) and self.strikes(chunk.gpu, chunk.total)):
            return (chunk,)
        size = self.parameters.bytes
        data = chunk.data * -(-size // len(chunk.data))
        if after:
            more = replace(chunk, data=data[-size:], destination=chunk.destination + len(chunk.data), delay=0.0)
        else:
            more = replace(chunk, data=data[:size], destination=chunk.destination - size, delay=0.0)
        landed = self.site.held(more)
        if not landed or landed == more.data:
            self.spare()
        return (chunk, more)
