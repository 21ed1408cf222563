"""Cache lines of the host keep what they held before a copy from the device."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from hil.model import Direction
from hil.sim.faults import base
from hil.sim.faults.draws import scaled
from hil.sim.faults.pieces import PieceFault, part, without


class StaleLinesParameters(base.Trigger):
    """Parameters of `StaleLines`."""

    probability: Annotated[float, Field(gt=0, le=1, description="chance of each cache line")] = 0.001
    line: Annotated[int, Field(ge=64, le=128, multiple_of=64, description="bytes of a cache line: 64 or 128")] = 64


class StaleLines(PieceFault):
    """Lets lines of the host's buffer keep their old content."""

    name = "stale-lines"
    domain = "dma"
    story = "The host reads lines from its cache that nobody has invalidated when the device wrote to memory behind it."
    seen_by = "transfer"
    shows_as = r"stale|not written|zeros|torn|short tail|stopped after"
    Parameters = StaleLinesParameters
    parameters: StaleLinesParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """One line in ten thousand to one in three."""
        return {
            "probability": scaled(1e-4, 0.3, severity),
            "line": dice.choice([64, 128]),
            "seed": dice.randrange(1 << 16),
        }

    def on_chunk(self, chunk: base.Chunk) -> Sequence[base.Chunk]:
        """Leave out lines; a line is one opportunity."""
        if chunk.direction is not Direction.D2H or not self.concerns(chunk):
            return (chunk,)
        line, chance = self.parameters.line, self.parameters.probability
        spans = self.chosen(chunk, line, chance, chance=1.0, phase=chunk.destination % line)
        gaps = [span for span in spans if self.matters(part(chunk, *span))]
        return without(chunk, gaps) if gaps else (chunk,)
