"""Control: a GPU that has nothing to do lets its link fall to 2.5 GT/s."""

from __future__ import annotations

import math
import random
from typing import Annotated

from pydantic import Field

from hil.model import Direction
from hil.sim.config_space import LINK_STATUS
from hil.sim.faults import base
from hil.sim.faults.config_fields import with_field

_SPEED, _GEN1 = 0x000F, 0x0001


class ControlIdleGen1Parameters(base.Trigger):
    """Parameters of `ControlIdleGen1`."""

    after_s: Annotated[float, Field(gt=0, le=60, description="s without a copy until the link slows down")] = 1.0


class ControlIdleGen1(base.Fault):
    """Shows 2.5 GT/s in the card's link status while it idles, and the whole speed while it works."""

    name = "control-idle-gen1"
    domain = "pcie"
    story = "NVIDIA's power management runs the link of an idle card at its lowest speed."
    seen_by = "driver"
    control = True
    profiles = ("macbook-pro-usb4", "linux-two-enclosures")
    Parameters = ControlIdleGen1Parameters
    parameters: ControlIdleGen1Parameters

    def __init__(self, parameters: base.Trigger, site: base.Site) -> None:
        super().__init__(parameters, site)
        self._worked: dict[int, float] = {}

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """Sooner or later."""
        return {"after_s": round(10 ** dice.uniform(-1, 1), 2)}

    def on_bandwidth(self, gpu: int, direction: Direction, rate: float) -> float:
        """It works."""
        self._worked[gpu] = self.site.now()
        return rate

    def on_config_read(self, address: str, offset: int, data: bytes) -> bytes:
        """Show what its link runs at."""
        gpu = self.site.gpu_at(address)
        if gpu is None or not offset - 2 < LINK_STATUS < offset + len(data):
            return data
        idle = self.site.now() - self._worked.get(gpu, -math.inf) > self.parameters.after_s
        return with_field(data, offset, LINK_STATUS, _SPEED, _GEN1) if idle and self.strikes(gpu) else data
