"""A bit flips in flight."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from hil.model import Direction
from hil.sim.faults import base
from hil.sim.faults.draws import between, whole


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
    shows_as = r"bit flip|garbage"
    Parameters = BitFlipParameters
    parameters: BitFlipParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """A bit of a twentieth of the chunks, to four of each; always again, so that a checked copy is among them."""
        return {
            "bits": whole(1, 4, severity),
            "probability": between(0.05, 1.0, severity),
            "times": 1 << 30,
            "direction": dice.choice(["H2D", "D2H"]),
            "seed": dice.randrange(1 << 16),
        }

    def on_chunk(self, chunk: base.Chunk) -> Sequence[base.Chunk]:
        """Invert `bits` different bits."""
        wanted = self.parameters.direction in (None, chunk.direction)
        if wanted and chunk.data and self.strikes(chunk.gpu, len(chunk.data)):
            data = bytearray(chunk.data)
            for bit in self.random.sample(range(len(data) * 8), min(self.parameters.bits, len(data) * 8)):
                data[bit // 8] ^= 1 << bit % 8
            chunk.data = bytes(data)
        return (chunk,)
