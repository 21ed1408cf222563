"""A bit flips in flight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from hil.model import Direction
from hil.sim.faults import base


class BitFlipParameters(base.Trigger):
    """Parameters of `BitFlip`."""

    direction: Annotated[Direction | None, Field(description="H2D, D2H or D2D; none = any")] = None
    bits: Annotated[int, Field(ge=1, le=64, description="bits flipped in a chunk")] = 1
    times: Annotated[int | None, Field(ge=1, description="how often at the most")] = 1


class BitFlip(base.Fault):
    """Flips bits of a chunk on its way."""

    name = "bit-flip"
    domain = "dma"
    story = "A retimer with a marginal eye lets a bit through that its CRC should have caught."
    seen_by = "transfer"
    Parameters = BitFlipParameters
    parameters: BitFlipParameters

    def on_chunk(self, chunk: base.Chunk) -> Sequence[base.Chunk]:
        """Invert `bits` random bits."""
        wanted = self.parameters.direction in (None, chunk.direction)
        if wanted and chunk.data and self.strikes(chunk.gpu, len(chunk.data)):
            data = bytearray(chunk.data)
            for _ in range(self.parameters.bits):
                bit = self.random.randrange(len(data) * 8)
                data[bit // 8] ^= 1 << bit % 8
            chunk.data = bytes(data)
        return (chunk,)
