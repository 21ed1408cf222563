"""The upper bits of a destination address are lost."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from hil.model import MIB
from hil.sim.faults import base
from hil.sim.faults.cells import HEAP
from hil.sim.faults.draws import whole
from hil.sim.faults.pieces import CopyParameters, PieceFault, part


class AddressTruncatedParameters(CopyParameters):
    """Parameters of `AddressTruncated`."""

    bits: Annotated[int, Field(ge=12, le=63, description="of an address that the engine keeps")] = 32
    offset: Annotated[
        int, Field(ge=0, lt=1 << 62, description="address, as the engine sees it, of a memory's first byte")
    ] = 0


class AddressTruncated(PieceFault):
    """Lets bytes land where their address without its upper bits points to, or nowhere where that is outside."""

    name = "address-truncated"
    domain = "dma"
    story = "A register of the engine, or a variable of its driver, holds 32 bits of a 64-bit address."
    seen_by = "transfer"
    shows_as = r"alias|misplaced|displaced|duplicat|not written|torn|short tail|stopped after|zeros|stale"
    Parameters = AddressTruncatedParameters
    parameters: AddressTruncatedParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """Memory that reaches a page across the limit of the address, to memory that begins at it."""
        across = whole(MIB, 4096, severity)
        match dice.choice(["up", "down", "within"]):
            case "up":
                return {"offset": (1 << 32) - HEAP - across, "direction": "H2D"}
            case "down":
                return {"offset": (1 << 32) - across, "direction": "D2H"}
            case _:
                return {"bits": across.bit_length() - 1, "direction": "D2H"}

    def on_chunk(self, chunk: base.Chunk) -> Sequence[base.Chunk]:
        """Cut the chunk where the upper bits change, and send what has some where the lower ones say."""
        if not self.concerns(chunk):
            return (chunk,)
        window = 1 << self.parameters.bits
        first = chunk.destination + self.parameters.offset
        end = first + len(chunk.data)
        if end <= window or not self.strikes(chunk.gpu, len(chunk.data)):
            return (chunk,)
        landing: list[base.Chunk] = []
        at = first
        while at < end:
            stop = min((at // window + 1) * window, end)
            landing.append(part(chunk, at - first, stop - first, moved=at % window - at))
            at = stop
        if not any(self._matters(piece, chunk) for piece in landing):
            self.spare()
        return landing

    def _matters(self, piece: base.Chunk, chunk: base.Chunk) -> bool:
        """Whether anything is other than it would have been without the fault: there, or where it belongs."""
        start = piece.position - chunk.position
        home = part(chunk, start, start + len(piece.data))
        if home.destination == piece.destination:
            return False
        landed = self.site.held(piece)
        return self.site.held(home) != home.data or landed != piece.data[: len(landed)]
