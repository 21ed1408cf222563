"""Copies that are under way at once get each other's data."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from hil.model import KIB, MIB, Direction
from hil.sim.faults import base
from hil.sim.faults.draws import between
from hil.sim.faults.pieces import CopyParameters, PieceFault, is_last

ABANDONED = 0.25
"""Seconds without a chunk after which a copy was given up: those under way take turns."""


class StreamsMixedParameters(CopyParameters):
    """Parameters of `StreamsMixed`."""

    streams: Annotated[int, Field(ge=2, le=64, description="copies that must be under way at once")] = 2
    chunk: Annotated[int, Field(ge=4 * KIB, le=2 * MIB, description="bytes that change places")] = 64 * KIB


class StreamsMixed(PieceFault):
    """Swaps pieces between copies of different streams."""

    name = "streams-mixed"
    domain = "dma"
    story = "Two streams share a ring of staging buffers, and one takes a buffer that the other has not emptied."
    seen_by = "transfer"
    shows_as = r"wrong (buffer|stream)|another (buffer|stream)|of (buffer|stream) \d"
    Parameters = StreamsMixedParameters
    parameters: StreamsMixedParameters

    def __init__(self, parameters: base.Trigger, site: base.Site) -> None:
        super().__init__(parameters, site)
        self.chunk_bytes = self.parameters.chunk
        self._under_way: dict[tuple[int, Direction], dict[int, tuple[float, base.Chunk]]] = {}
        """When which chunk passed last of each copy that has more to come, by card and direction."""

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """A twentieth of the chunks to all; the milder, the more streams it takes."""
        return {
            "streams": round(4 - 2 * severity),
            "chunk": dice.choice([65536, 262144, 1048576]),
            "probability": between(0.05, 1.0, severity),
            "seed": dice.randrange(1 << 16),
        }

    def on_chunk(self, chunk: base.Chunk) -> Sequence[base.Chunk]:
        """Exchange the chunk's data with that of the last chunk of another copy that is under way."""
        if not self.concerns(chunk):
            return (chunk,)
        now, copies = self.site.now(), self._under_way.setdefault((chunk.gpu, chunk.direction), {})
        copies.pop(chunk.copy, None)
        for number in [number for number, (then, _) in copies.items() if now - then > ABANDONED]:
            del copies[number]
        others = [old for _, old in copies.values() if old.stream != chunk.stream]
        arriving = [chunk]
        enough = len(others) + 1 >= self.parameters.streams
        if enough and self.strikes(chunk.gpu, len(chunk.data)):
            other = others[-1]
            size = min(len(chunk.data), len(other.data))
            mine, theirs = chunk.data, other.data
            if mine[:size] == theirs[:size]:
                self.spare()
            else:
                arriving.append(replace(other, data=mine[:size], delay=0.0))
                chunk.data, other.data = theirs[:size] + mine[size:], mine[:size] + theirs[size:]
        if not is_last(chunk):
            copies[chunk.copy] = now, replace(chunk)
        return arriving
