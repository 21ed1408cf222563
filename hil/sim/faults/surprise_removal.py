"""The cable is pulled without warning."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from hil.sim.faults import base
from hil.sim.faults.draws import scaled

IDLE_SECONDS = 2.0
"""After which an idle cable is pulled, where no time is given."""


class SurpriseRemovalParameters(base.Trigger):
    """Parameters of `SurpriseRemoval`."""

    phase: Annotated[Literal["idle", "copy", "allocation"], Field(description="what is under way when it happens")] = (
        "copy"
    )
    times: Annotated[int | None, Field(ge=1, description="how often at the most")] = 1


class SurpriseRemoval(base.Fault):
    """Pulls the enclosure's cable: in the middle of something, or, idle, every `at_time` seconds by itself."""

    name = "surprise-removal"
    domain = "hot plug"
    story = "Somebody trips over the cable, or the connector loses contact for a moment."
    seen_by = "driver"
    shows_as = (
        r"all ones|DEVICE_LOST|NO_DEVICE|does not answer|nobody answers|off the bus|not in the inventory|still there"
        r"|hung up|is gone|Xid 79|GPU_IS_LOST|GPU is lost|No such file|No such device|not there|did not come back"
    )
    profiles = ("macbook-pro-usb4", "linux-two-enclosures")
    Parameters = SurpriseRemovalParameters
    parameters: SurpriseRemovalParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """From once, late, to every few seconds."""
        phase = dice.choice(["idle", "copy", "allocation"])
        found: dict[str, object] = {"phase": phase, "times": 1 if severity < 0.5 else 3}  # noqa: PLR2004
        if phase == "idle":
            found["at_time"] = scaled(4.0, 0.5, severity) + round(dice.random(), 3)
        elif phase == "copy":
            found["at_bytes"] = dice.randrange(1 + int((1 - severity) * 64)) << 20
        else:
            found["at_bytes"] = dice.randrange(1 + int((1 - severity) * 16)) << 20
        return found

    def armed(self) -> None:
        """Begin to wait."""
        if self.parameters.phase == "idle":
            self.site.after(self._period, self._pull)

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

    @property
    def _period(self) -> float:
        return self.parameters.at_time or IDLE_SECONDS

    def _pull(self) -> None:
        gpu = self.parameters.gpu or 0
        if gpu in self.site.gpu_indices() and self.strikes(gpu):
            self.site.remove(gpu)
        if self.parameters.times is None or self.struck < self.parameters.times:
            self.site.after(self._period, self._pull)
