"""Control: a tunnel's ports report 2.5 GT/s and one lane."""

from __future__ import annotations

import random

from hil.sim.config_space import LINK_STATUS
from hil.sim.faults import base
from hil.sim.faults.config_fields import with_field

_WIDTH, _ONE_LANE, _GENERATION = 0x03F0, 0x0010, 0x0F


class ControlTunnelGen1(base.Fault):
    """Lets the virtual ports of tunnels say x1; what crosses them is as fast as ever."""

    name = "control-tunnel-gen1"
    domain = "pcie"
    story = "A tunnel's ports are virtual: what they say of their link is made up, and some say 2.5 GT/s x1."
    seen_by = "driver"
    control = True
    profiles = ("macbook-pro-usb4", "linux-two-enclosures")

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """One as another."""
        return {}

    def on_config_read(self, address: str, offset: int, data: bytes) -> bytes:
        """One lane, where it says 2.5 GT/s and belongs to no card."""
        at = LINK_STATUS - offset
        tunnelled = 0 <= at < len(data) and data[at] & _GENERATION == 1
        if tunnelled and self.site.gpu_at(address) is None and self.strikes():
            return with_field(data, offset, LINK_STATUS, _WIDTH, _ONE_LANE)
        return data
