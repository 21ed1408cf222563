"""The cable is pulled without warning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from hil.sim.faults import base


class SurpriseRemovalParameters(base.Trigger):
    """Parameters of `SurpriseRemoval`."""

    phase: Annotated[Literal["copy", "allocation"], Field(description="what is under way when it happens")] = "copy"
    times: Annotated[int | None, Field(ge=1, description="how often at the most")] = 1


class SurpriseRemoval(base.Fault):
    """Pulls the enclosure's cable in the middle of something."""

    name = "surprise-removal"
    domain = "hot plug"
    story = "Somebody trips over the cable, or the connector loses contact for a moment."
    seen_by = "driver"
    Parameters = SurpriseRemovalParameters
    parameters: SurpriseRemovalParameters

    def on_chunk(self, chunk: base.Chunk) -> Sequence[base.Chunk]:
        """Pull the cable while `chunk` is on it: it never arrives."""
        if self.parameters.phase == "copy" and self.strikes(chunk.gpu, len(chunk.data)):
            self.site.remove(chunk.gpu)
            return ()
        return (chunk,)

    def on_allocate(self, gpu: int, nbytes: int) -> int:
        """Pull the cable during an allocation."""
        if self.parameters.phase == "allocation" and self.strikes(gpu, nbytes):
            self.site.remove(gpu)
        return nbytes
