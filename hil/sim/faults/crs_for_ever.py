"""After a reset the function asks to be tried again, for ever."""

from __future__ import annotations

import random

from hil.sim.faults import base


class CrsForEver(base.Fault):
    """Lets the vendor id read 0xffff0001 from a reset on; no re-plug brings it back, until the supply was off."""

    name = "crs-for-ever"
    domain = "reset"
    story = (
        "Owners of RTX 5090 report it: the function-level reset starts and never ends, each config read is answered "
        "with a request to retry, and nothing but taking the power away helps."
    )
    seen_by = "driver"
    shows_as = r"0xffff0001|retry|not ready|PCIe tunnel missing|does not answer|NO_DEVICE"
    profiles = ("macbook-pro-usb4", "linux-two-enclosures")

    def __init__(self, parameters: base.Trigger, site: base.Site) -> None:
        super().__init__(parameters, site)
        self._stuck: set[int] = set()

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """From one reset in so many to the first."""
        return {"nth": 1 + dice.randrange(1 + round(2 * (1 - severity)))}

    def on_reset(self, plan: base.ResetPlan) -> None:
        """Never be ready again."""
        gpu = self.site.gpu_at(plan.address)
        if gpu is not None and (gpu in self._stuck or self.strikes(gpu)):
            self._stuck.add(gpu)
            plan.retry_status_for = base.NEVER

    def on_attach(self, identity: base.Identity) -> None:
        """The host gives up waiting for it."""
        for card in identity.cards:
            if card.gpu in self._stuck:
                card.missing |= {"gpu", "audio"}

    def on_supply(self, enclosure: str, on: bool) -> None:
        """Without power it forgets."""
        if not on:
            self._stuck.clear()
