"""The pages of a copy arrive in another order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from hil.model import MIB
from hil.sim.faults import base
from hil.sim.faults.draws import between
from hil.sim.faults.pieces import CopyParameters, PieceFault


class PagesPermutedParameters(CopyParameters):
    """Parameters of `PagesPermuted`."""

    page: Annotated[int, Field(ge=64, le=MIB, description="size of a page in bytes")] = 4096


class PagesPermuted(PieceFault):
    """Shuffles the whole pages of a chunk."""

    name = "pages-permuted"
    domain = "dma"
    story = (
        "The driver fills the engine's page list in the order in which the pages were pinned, not of their addresses."
    )
    seen_by = "transfer"
    shows_as = r"permuted|misplaced|displaced|swapped"
    Parameters = PagesPermutedParameters
    parameters: PagesPermutedParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """A twentieth of the chunks to all; pages of 4, 16 or 64 KiB."""
        return {
            "page": dice.choice([4096, 16384, 65536]),
            "probability": between(0.05, 1.0, severity),
            "direction": dice.choice(["H2D", "D2H"]),
            "seed": dice.randrange(1 << 16),
        }

    def on_chunk(self, chunk: base.Chunk) -> Sequence[base.Chunk]:
        """Put the pages of a chunk that has at least two into an order that is not theirs."""
        size = self.parameters.page
        count = len(chunk.data) // size
        if count > 1 and self.concerns(chunk) and self.strikes(chunk.gpu, len(chunk.data)):
            pages = [chunk.data[i * size : (i + 1) * size] for i in range(count)]
            if len(set(pages)) == 1:
                self.spare()
                return (chunk,)
            shuffled = pages
            while shuffled == pages:
                shuffled = self.random.sample(pages, count)
            chunk.data = b"".join(shuffled) + chunk.data[count * size :]
        return (chunk,)
