"""Pieces of a copy are lost on the way."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hil.sim.faults import base
from hil.sim.faults.draws import scaled
from hil.sim.faults.pieces import PieceFault, PieceParameters, part, without


class ChunkDropped(PieceFault):
    """Lets pieces of copies vanish."""

    name = "chunk-dropped"
    domain = "dma"
    story = "A bridge with a full buffer drops posted writes, and nobody asks for them again."
    seen_by = "transfer"
    shows_as = r"not written|torn|short tail|stopped after|stale|zeros"
    Parameters = PieceParameters
    parameters: PieceParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """One piece in a hundred of a cache line's size, to half of all megabytes."""
        return {
            "bytes": 1 << round(6 + 14 * severity),
            "rate": scaled(0.01, 0.5, severity),
            "direction": dice.choice(["H2D", "D2H"]),
            "seed": dice.randrange(1 << 16),
        }

    def on_chunk(self, chunk: base.Chunk) -> Sequence[base.Chunk]:
        """Leave gaps where pieces were."""
        if not self.concerns(chunk):
            return (chunk,)
        spans = self.chosen(chunk, self.parameters.bytes, self.parameters.rate)
        gaps = [span for span in spans if self.matters(part(chunk, *span))]
        return without(chunk, gaps) if gaps else (chunk,)
