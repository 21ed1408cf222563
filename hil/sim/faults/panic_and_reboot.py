"""The Mac panics and starts again."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from hil.sim.faults import base
from hil.sim.faults.draws import scaled

IDLE_SECONDS = 5.0
"""After which it panics by itself, where no time is given."""
REPORT = (
    "panic(cpu 4 caller 0xfffffe0000000000): [SPTM] VIOLATION_T8110_DART: apcie-dart: a device behind the tunnel "
    "wrote to an address that is not mapped for it\nDebugger message: panic\n"
    "Kernel Extensions in backtrace:\n   com.apple.driver.AppleT8110DART\n   com.apple.iokit.IOPCIFamily"
)


class PanicAndRebootParameters(base.Trigger):
    """Parameters of `PanicAndReboot`."""

    phase: Annotated[
        Literal["idle", "copy"], Field(description="idle: by itself after `at_time`; copy: while one crosses the link")
    ] = "copy"
    seconds: Annotated[float, Field(gt=0, le=3600, description="until the Mac answers again")] = 60.0
    times: Annotated[int | None, Field(ge=1, description="how often at the most")] = 1


class PanicAndReboot(base.Fault):
    """Takes the host under test down: connections break, the boot id changes, a panic report lies there afterwards."""

    name = "panic-and-reboot"
    domain = "host"
    story = (
        "The card writes where its client has unmapped memory, because nobody stopped its DMA: the IOMMU's fault is "
        "one that macOS does not survive."
    )
    seen_by = "driver"
    shows_as = r"went down|panic|boot"
    unscored = "needs the lab Mac"
    systems = ("Darwin",)
    Parameters = PanicAndRebootParameters
    parameters: PanicAndRebootParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """From late to at once."""
        if dice.random() < 0.5:  # noqa: PLR2004
            return {"phase": "idle", "at_time": scaled(10.0, 1.0, severity)}
        return {"phase": "copy", "at_bytes": dice.randrange(1 + int((1 - severity) * 64)) << 20}

    def armed(self) -> None:
        """Begin to wait."""
        if self.parameters.phase == "idle":
            self.site.after(self.parameters.at_time or IDLE_SECONDS, self._panic)

    def on_chunk(self, chunk: base.Chunk) -> Sequence[base.Chunk]:
        """Panic over it."""
        if self.parameters.phase == "copy" and self.strikes(chunk.gpu, len(chunk.data)):
            self.site.crash(self.parameters.seconds, REPORT)
            return ()
        return (chunk,)

    def _panic(self) -> None:
        if self.strikes():
            self.site.crash(self.parameters.seconds, REPORT)
