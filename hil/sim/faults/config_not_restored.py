"""After a reset registers of config space are lost, and what is written to put them back is lost too."""

from __future__ import annotations

import random
from typing import Annotated, Literal

from pydantic import Field

from hil.sim.faults import base

COMMAND, BARS = (0x04, 2), (0x10, 24)
"""Offset and bytes; PCI Local Bus Specification 3.0, 6.1."""
_PLACES = {"command": (COMMAND,), "bars": (BARS,), "both": (COMMAND, BARS)}


class ConfigNotRestoredParameters(base.Trigger):
    """Parameters of `ConfigNotRestored`."""

    registers: Annotated[Literal["command", "bars", "both"], Field(description="what stays cleared")] = "both"


class ConfigNotRestored(base.Fault):
    """Clears COMMAND or BARs at a reset, whoever would restore them, and swallows writes to them until a re-plug."""

    name = "config-not-restored"
    domain = "reset"
    story = (
        "The reset takes a bridge above the card with it, whose window is closed now, or the extension holds the "
        "function in reset while the operating system writes: COMMAND reads 0 and the BARs are empty."
    )
    seen_by = "driver"
    shows_as = r"COMMAND|BAR|config space|did not take|all ones|does not identify"
    profiles = ("macbook-pro-usb4", "linux-two-enclosures")
    Parameters = ConfigNotRestoredParameters
    parameters: ConfigNotRestoredParameters

    def __init__(self, parameters: base.Trigger, site: base.Site) -> None:
        super().__init__(parameters, site)
        self._deaf: set[str] = set()
        """Functions whose registers take nothing."""

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """From one register once to all of them every time."""
        once: dict[str, object] = {"times": 1} if severity < 0.5 else {}  # noqa: PLR2004
        return {"registers": dice.choice(["command", "bars"]) if severity < 0.7 else "both", **once}  # noqa: PLR2004

    def on_reset(self, plan: base.ResetPlan) -> None:
        """Clear them."""
        gpu = self.site.gpu_at(plan.address)
        if gpu is not None and self.strikes(gpu):
            self._deaf.add(plan.address)
            for offset, size in _PLACES[self.parameters.registers]:
                plan.config[offset] = bytes(size)

    def on_config_write(self, address: str, offset: int, data: bytes) -> bytes | None:
        """Take nothing there; what lies beside is written."""
        if address not in self._deaf:
            return data
        taken = bytearray(data)
        for start, size in _PLACES[self.parameters.registers]:
            first, last = max(start - offset, 0), min(start + size - offset, len(data))
            if first < last:
                taken[first:last] = bytes(last - first)
        return bytes(taken)

    def on_attach(self, identity: base.Identity) -> None:
        """Power is back: everything takes what it is given."""
        self._deaf.clear()
