"""The end of a copy never arrives."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from hil.sim.faults import base
from hil.sim.faults.draws import between, whole
from hil.sim.faults.pieces import CopyParameters, PieceFault, part


class ShortTransferParameters(CopyParameters):
    """Parameters of `ShortTransfer`."""

    missing: Annotated[int, Field(ge=1, description="bytes at the end of a copy that never arrive")] = 64


class ShortTransfer(PieceFault):
    """Ends copies early and says that they are complete."""

    name = "short-transfer"
    domain = "dma"
    story = "The engine counts its last burst as done before it was sent."
    seen_by = "transfer"
    shows_as = r"short tail|stopped after|not written|torn|zeros|stale"
    Parameters = ShortTransferParameters
    parameters: ShortTransferParameters

    def __init__(self, parameters: base.Trigger, site: base.Site) -> None:
        super().__init__(parameters, site)
        self._short: set[int] = set()
        """Copies that are struck."""

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """A byte of a tenth of all copies, to a mebibyte of each."""
        return {
            "missing": whole(1, 1 << 20, severity),
            "probability": between(0.1, 1.0, severity),
            "direction": dice.choice(["H2D", "D2H"]),
            "seed": dice.randrange(1 << 16),
        }

    def on_chunk(self, chunk: base.Chunk) -> Sequence[base.Chunk]:
        """Drop what lies in the tail of a copy that is struck; each copy is one opportunity."""
        if not self.concerns(chunk):
            return (chunk,)
        if chunk.position == 0 and self.strikes(chunk.gpu, chunk.total):
            self._short.add(chunk.copy)
        if chunk.copy not in self._short:
            return (chunk,)
        end = chunk.position + len(chunk.data)
        if end >= chunk.total:
            self._short.discard(chunk.copy)
        keep = max(chunk.total - self.parameters.missing - chunk.position, 0)
        if keep >= len(chunk.data):
            return (chunk,)
        if end >= chunk.total and not self.matters(part(chunk, keep, len(chunk.data))):
            return (chunk,)
        return (part(chunk, 0, keep),) if keep else ()
