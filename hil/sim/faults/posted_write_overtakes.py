"""The news of a copy overtakes its last bytes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from hil.model import MIB, Direction
from hil.sim.faults import base
from hil.sim.faults.draws import between, scaled, whole
from hil.sim.faults.pieces import PieceFault, is_last, part

NOTICE = 100.0
"""Nanoseconds: sooner than a host reads anything once it was told (a read through a root port takes some hundred)."""


class PostedWriteOvertakesParameters(base.Trigger):
    """Parameters of `PostedWriteOvertakes`."""

    lead: Annotated[float, Field(gt=0, le=1e9, description="ns from the news of the copy to its last bytes")] = 2000.0
    bytes: Annotated[int, Field(ge=1, le=2 * MIB, description="at the end of the copy that come late")] = 4096


class PostedWriteOvertakes(PieceFault):
    """Holds the end of a copy to the host back until after its completion was told."""

    name = "posted-write-overtakes"
    domain = "pcie"
    story = "With relaxed ordering the write that says done passes the data's in a buffer of the bridge."
    seen_by = "transfer"
    shows_as = r"stale|not written|zeros|torn|short tail|stopped after"
    Parameters = PostedWriteOvertakesParameters
    parameters: PostedWriteOvertakesParameters

    def __init__(self, parameters: base.Trigger, site: base.Site) -> None:
        super().__init__(parameters, site)
        self._late: dict[int, base.Chunk] = {}
        """Ends of copies that are held back."""

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """A cache line, 200 ns late, in a tenth of the copies, to 64 KiB and a millisecond in each."""
        return {
            "lead": scaled(200.0, 1e6, severity),
            "bytes": whole(64, 65536, severity),
            "probability": between(0.1, 1.0, severity),
            "seed": dice.randrange(1 << 16),
        }

    @classmethod
    def below_sight(cls, parameters: base.Trigger) -> str:
        """Too short for anybody to look in between."""
        assert isinstance(parameters, PostedWriteOvertakesParameters)  # noqa: S101  (its own)
        if parameters.lead < NOTICE:
            return f"the data lands {parameters.lead:g} ns after the news: before anybody can look"
        return ""

    def on_chunk(self, chunk: base.Chunk) -> Sequence[base.Chunk]:
        """Hold the end of a copy to the host back; reads by the device are not posted. Each copy is one opportunity."""
        wanted = chunk.direction is Direction.D2H and is_last(chunk) and self.concerns(chunk)
        if not wanted or not self.strikes(chunk.gpu, chunk.total):
            return (chunk,)
        start = max(len(chunk.data) - self.parameters.bytes, 0)
        self._late[chunk.copy] = part(chunk, start, len(chunk.data))
        return (part(chunk, 0, start),) if start else ()

    def on_completion(self, completion: base.Completion) -> None:
        """Let what was held back land `lead` after the news."""
        late = self._late.pop(completion.copy, None)
        if late is not None and self.matters(late):
            self.site.after(completion.delay + self.parameters.lead * 1e-9, lambda: self.site.land(late))
