"""Reads are not answered in time, and come back as all ones."""

from __future__ import annotations

import math
import random
from typing import Annotated, Literal

from pydantic import Field

from hil.sim.faults import base

REQUEST_BYTES = {"config": 4, "bar": 64, "vram": 256}
"""What one request reads, and so what one lost answer costs: a register, a processor's line, a copy engine's burst."""


class CompletionTimeoutParameters(base.Trigger):
    """Parameters of `CompletionTimeout`."""

    space: Annotated[Literal["config", "bar", "vram"], Field(description="what is read")] = "bar"
    start: Annotated[int, Field(ge=0, description="first byte of the range that is affected")] = 0
    length: Annotated[int | None, Field(ge=1, description="bytes of that range; none = up to the end")] = None
    counted: Annotated[bool, Field(description="whether the root port reports a CmpltTO each time")] = True


class CompletionTimeout(base.Fault):
    """Answers a request within the range with ones; the rest of what was asked for is right."""

    name = "completion-timeout"
    domain = "pcie"
    story = "A read gets lost in the tunnel; the root port waits, gives up and hands the processor all ones."
    seen_by = "driver"
    shows_as = r"all ones|0xff|ff ff ff|off the bus|CmpltTO|completion|nonfatal|nobody answers|differs?"
    profiles = ("macbook-pro-usb4", "linux-two-enclosures")
    Parameters = CompletionTimeoutParameters
    parameters: CompletionTimeoutParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """From one read in twenty to every one."""
        return {
            "space": dice.choice(("config", "bar", "vram")),
            "probability": round(20 ** (severity - 1), 3),
            "seed": dice.randrange(1 << 16),
        }

    def on_config_read(self, address: str, offset: int, data: bytes) -> bytes:
        """A register of the card's functions reads as ones."""
        return self._read("config", self.site.gpu_at(address), offset, data)

    def on_bar_read(self, address: str, bar: int, offset: int, data: bytes) -> bytes:
        """So does a piece of a BAR."""
        return self._read("bar", self.site.gpu_at(address), offset, data)

    def on_vram_read(self, gpu: int, address: int, data: bytes) -> bytes:
        """So does a piece of the card's memory."""
        return self._read("vram", gpu, address, data)

    def _read(self, space: str, gpu: int | None, offset: int, data: bytes) -> bytes:
        p, unit = self.parameters, REQUEST_BYTES[space]
        first = max(offset, p.start)
        end = min(offset + len(data), p.start + (math.inf if p.length is None else p.length))
        if gpu is None or space != p.space or first >= end or not self.strikes(gpu, len(data)):
            return data
        at = self.random.randrange(first // unit, (int(end) - 1) // unit + 1) * unit
        low, high = max(at, first) - offset, min(at + unit, int(end)) - offset
        changed = data[:low] + b"\xff" * (high - low) + data[high:]
        if changed == data:
            self.spare()  # nobody answers there as it is
        elif p.counted:
            self.site.count_error(gpu, "CmpltTO")
        return changed
