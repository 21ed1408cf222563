"""The bytes of a copy that is not aligned arrive some bytes further on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from hil.sim.faults import base
from hil.sim.faults.draws import between
from hil.sim.faults.pieces import CopyParameters, PieceFault, part

SHORTEST = 16
"""Bytes of a burst: what is shorter goes byte by byte, and right."""


class UnalignedShiftParameters(CopyParameters):
    """Parameters of `UnalignedShift`."""

    bytes: Annotated[int, Field(ge=1, le=63, description="by which the data is shifted")] = 1
    alignment: Annotated[
        int, Field(ge=2, le=4096, description="strikes where source, destination or size is no multiple of it")
    ] = 64


class UnalignedShift(PieceFault):
    """Shifts the data of chunks that do not begin and end at multiples of `alignment`."""

    name = "unaligned-shift"
    domain = "dma"
    story = "The byte lanes of an unaligned burst are steered as if it had begun elsewhere in its word."
    seen_by = "transfer"
    shows_as = r"byte[- ]shifted|shifted|displaced|misplaced"
    Parameters = UnalignedShiftParameters
    parameters: UnalignedShiftParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """A tenth of the unaligned chunks to all of them."""
        return {
            "bytes": dice.randint(1, 63),
            "probability": between(0.1, 1.0, severity),
            "direction": dice.choice(["H2D", "D2H"]),
            "seed": dice.randrange(1 << 16),
        }

    def on_chunk(self, chunk: base.Chunk) -> Sequence[base.Chunk]:
        """Move the data on; what is moved past the chunk's end is lost, and its head keeps what was there."""
        shift, size = self.parameters.bytes, len(chunk.data)
        unaligned = any(number % self.parameters.alignment for number in (chunk.source, chunk.destination, size))
        if not (unaligned and size >= shift + SHORTEST and self.concerns(chunk) and self.strikes(chunk.gpu, size)):
            return (chunk,)
        if self.site.held(part(chunk, 0, shift)) + chunk.data[:-shift] == chunk.data:
            self.spare()
        return (part(chunk, 0, size - shift, moved=shift),)
