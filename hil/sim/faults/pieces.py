"""Pieces of chunks: what faults need that act on a part of a copy on its way."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from hil.model import MIB, Direction
from hil.sim.faults import base

Span = tuple[int, int]
"""Start and end in a chunk's data."""


class CopyParameters(base.Trigger):
    """Parameters of faults that strike copies."""

    direction: Annotated[Direction | None, Field(description="H2D, D2H or D2D; none = any")] = None


class PieceParameters(CopyParameters):
    """Parameters of faults that strike pieces of copies."""

    bytes: Annotated[int, Field(ge=1, le=2 * MIB, description="size of a piece")] = 4096
    rate: Annotated[float, Field(gt=0, le=1, description="share of the pieces that it happens to")] = 0.01


def part(chunk: base.Chunk, start: int, end: int, *, moved: int = 0) -> base.Chunk:
    """The bytes ``start … end`` of `chunk` as a chunk of their own, that goes `moved` bytes further on."""
    return replace(
        chunk,
        offset=chunk.offset + start,
        destination=chunk.destination + start + moved,
        source=chunk.source + start,
        position=chunk.position + start,
        data=chunk.data[start:end],
        delay=0.0 if start else chunk.delay,
    )


def without(chunk: base.Chunk, gaps: Iterable[Span]) -> list[base.Chunk]:
    """What is left of `chunk` without `gaps`, which are in order and do not overlap."""
    left, at = [], 0
    for start, end in (*gaps, (len(chunk.data), len(chunk.data))):
        if start > at:
            left.append(part(chunk, at, start))
        at = end
    return left


def is_last(chunk: base.Chunk) -> bool:
    """Whether `chunk` is the last of its copy."""
    return chunk.position + len(chunk.data) == chunk.total


class PieceFault(base.Fault):
    """Base of faults that choose pieces of copies at a rate."""

    def __init__(self, parameters: base.Trigger, site: base.Site) -> None:
        super().__init__(parameters, site)
        self._skipped: int | None = None
        """Pieces until the next that is chosen."""
        self._unseen = 0
        """Bytes that passed since the last that was chosen."""

    def concerns(self, chunk: base.Chunk) -> bool:
        """Whether `chunk` belongs to a copy that this fault strikes at all."""
        p = self.parameters
        return (
            bool(chunk.data) and p.gpu in (None, chunk.gpu) and getattr(p, "direction", None) in (None, chunk.direction)
        )

    def chosen(
        self, chunk: base.Chunk, size: int, rate: float, *, chance: float | None = None, phase: int = 0
    ) -> list[Span]:
        """Pieces of `chunk` that are struck, each in its turn an opportunity of the trigger.

        Args:
            chunk: one that this fault `concerns`.
            size: bytes of a piece.
            rate: share of the pieces, > 0 … 1.
            chance: as of `strikes`.
            phase: bytes by which the chunk begins behind a boundary of pieces.

        """
        found: list[Span] = []
        count = -(-(phase + len(chunk.data)) // size)
        at = self._gap(rate) if self._skipped is None else self._skipped
        passed = 0
        while at < count:
            start, end = max(at * size - phase, 0), min((at + 1) * size - phase, len(chunk.data))
            self._unseen += end - passed
            passed = end
            if self.strikes(chunk.gpu, self._unseen, chance=chance):
                found.append((start, end))
            self._unseen = 0
            at += 1 + self._gap(rate)
        self._unseen += len(chunk.data) - passed
        self._skipped = at - count
        return found

    def matters(self, lost: base.Chunk) -> bool:
        """Whether it makes a difference if `lost` does not land where it should; if not, the strike does not count."""
        if self.site.held(lost) != lost.data:
            return True
        self.spare()
        return False

    def _gap(self, rate: float) -> int:
        """Pieces between two that are chosen: as if the dice were thrown for each."""
        if rate >= 1:
            return 0
        return int(math.log(1.0 - self.random.random()) / math.log(1.0 - rate))
