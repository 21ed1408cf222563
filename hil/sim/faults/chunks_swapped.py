"""Two pieces of a copy trade places."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from hil.model import MIB
from hil.sim.faults import base
from hil.sim.faults.draws import pieces_apart
from hil.sim.faults.pieces import PieceFault, PieceParameters, part, without


class ChunksSwappedParameters(PieceParameters):
    """Parameters of `ChunksSwapped`."""

    distance: Annotated[
        int,
        Field(
            ge=0, le=64 * MIB, description="bytes from one's beginning to the other's; less than `bytes` = neighbours"
        ),
    ] = 0


@dataclass(frozen=True, slots=True)
class Move:
    """A range of a row whose bytes go elsewhere."""

    row: int
    start: int
    end: int
    by: int

    def overlaps(self, other: Move) -> bool:
        """Whether they have a byte in common."""
        return self.row == other.row and self.start < other.end and other.start < self.end


class ChunksSwapped(PieceFault):
    """Swaps pieces of copies that are `distance` apart."""

    name = "chunks-swapped"
    domain = "dma"
    story = "Relaxed ordering lets one packet pass another, and the bridge that joins them goes by arrival."
    seen_by = "transfer"
    shows_as = r"swapped|permuted|misplaced|displaced"
    Parameters = ChunksSwappedParameters
    parameters: ChunksSwappedParameters

    def __init__(self, parameters: base.Trigger, site: base.Site) -> None:
        super().__init__(parameters, site)
        self._moves: dict[int, list[Move]] = {}
        """By copy, as far as its chunks have not passed."""

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """One pair of cache lines in a hundred, to a third of all pieces of 64 KiB."""
        return pieces_apart(severity, dice, most=0.3)

    def on_chunk(self, chunk: base.Chunk) -> Sequence[base.Chunk]:
        """Send what was chosen to the place of its partner, and the partner, now or as it passes, to its own."""
        if not self.concerns(chunk):
            return (chunk,)
        moves = self._moves.pop(chunk.copy, [])
        for start, end in self.chosen(chunk, self.parameters.bytes, self.parameters.rate):
            self._swap(chunk, start, end, moves)
        end_offset = chunk.offset + len(chunk.data)
        waiting = [move for move in moves if move.row >= chunk.row and move.end > end_offset]
        if waiting:
            self._moves[chunk.copy] = waiting
        here = Move(chunk.row, chunk.offset, end_offset, 0)
        parts = sorted(
            (max(move.start - chunk.offset, 0), min(move.end, end_offset) - chunk.offset, move.by)
            for move in moves
            if move.overlaps(here)
        )
        stay = without(chunk, [(start, end) for start, end, _ in parts])
        return (*stay, *(part(chunk, start, end, moved=by) for start, end, by in parts))

    def _swap(self, chunk: base.Chunk, start: int, end: int, moves: list[Move]) -> None:
        distance = max(self.parameters.distance, self.parameters.bytes)
        there = Move(chunk.row, chunk.offset + start, chunk.offset + end, distance)
        back = Move(chunk.row, there.start + distance, there.end + distance, -distance)
        taken = any(new.overlaps(old) for new in (there, back) for old in moves)
        same = end + distance <= len(chunk.data) and (
            chunk.data[start:end] == chunk.data[start + distance : end + distance]
        )
        if taken or same or back.end > chunk.row_bytes:
            self.spare()
        else:
            moves += [there, back]
