"""Pieces of a copy arrive twice, the second time over what belongs there."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from hil.model import MIB
from hil.sim.faults import base
from hil.sim.faults.draws import pieces_apart
from hil.sim.faults.pieces import PieceFault, PieceParameters, part


class ChunkDuplicatedParameters(PieceParameters):
    """Parameters of `ChunkDuplicated`."""

    distance: Annotated[int, Field(ge=0, le=64 * MIB, description="bytes from one to the other; 0 = right behind")] = 0


class ChunkDuplicated(PieceFault):
    """Lets pieces of copies arrive again, further on in the same row."""

    name = "chunk-duplicated"
    domain = "dma"
    story = "A packet is replayed after its acknowledgement was lost, and the engine has moved its address on."
    seen_by = "transfer"
    shows_as = r"duplicat|misplaced|displaced"
    Parameters = ChunkDuplicatedParameters
    parameters: ChunkDuplicatedParameters

    def __init__(self, parameters: base.Trigger, site: base.Site) -> None:
        super().__init__(parameters, site)
        self._held: dict[int, list[base.Chunk]] = {}
        """Second arrivals by copy, until what they fall on has passed."""

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """One cache line in a hundred, to a fifth of all pieces of 64 KiB."""
        return pieces_apart(severity, dice, most=0.2)

    def on_chunk(self, chunk: base.Chunk) -> Sequence[base.Chunk]:
        """Let what was chosen arrive again, as soon as what it falls on has."""
        if not self.concerns(chunk):
            return (chunk,)
        distance = self.parameters.distance or self.parameters.bytes
        held = self._held.pop(chunk.copy, [])
        for start, end in self.chosen(chunk, self.parameters.bytes, self.parameters.rate):
            if chunk.offset + end + distance <= chunk.row_bytes:
                held.append(part(chunk, start, end, moved=distance))
            else:
                self.spare()  # it would fall outside, which is another fault
        passed = chunk.destination + len(chunk.data)
        due = [twin for twin in held if twin.row < chunk.row or twin.destination + len(twin.data) <= passed]
        waiting = [twin for twin in held if twin not in due]
        if waiting:
            self._held[chunk.copy] = waiting
        return (chunk, *(twin for twin in due if self._shows(twin, chunk)))

    def _shows(self, twin: base.Chunk, chunk: base.Chunk) -> bool:
        """Whether `twin` differs from what it falls on, as far as that lies in `chunk`."""
        start = max(twin.destination - chunk.destination, 0)
        end = twin.destination + len(twin.data) - chunk.destination
        if start < end and chunk.data[start:end] == twin.data[len(twin.data) - (end - start) :]:
            self.spare()
            return False
        return True
