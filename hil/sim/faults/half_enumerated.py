"""After a re-plug only a part of the enclosure comes back."""

from __future__ import annotations

import random
from typing import Annotated, Literal

from pydantic import Field

from hil.sim.faults import base

Part = Literal["tunnel", "gpu", "audio", "usb", "memory-bar"]
MILD: tuple[Part, ...] = ("audio", "usb")
SEVERE: tuple[Part, ...] = ("tunnel", "gpu", "memory-bar")


class HalfEnumeratedParameters(base.Trigger):
    """Parameters of `HalfEnumerated`."""

    missing: Annotated[Part, Field(description="what does not come back")] = "tunnel"


class HalfEnumerated(base.Fault):
    """Leaves something out when an enclosure is attached: its tunnel, a function of its card, its USB, an address."""

    name = "half-enumerated"
    domain = "hot plug"
    story = (
        "The tunnel's bridges come up one after the other, and the host looks before the last is ready or has no room "
        "left in its windows: owners see the dock and no GPU, or a GPU that no driver takes."
    )
    seen_by = "driver"
    shows_as = (
        r"PCIe tunnel missing|10de function|functions of the (card|enclosure)|USB devices|BAR|NO_DEVICE|no driver"
        r"|no device|driver of function|driver let go of it|Not Found"
    )
    profiles = ("macbook-pro-usb4", "linux-two-enclosures")
    Parameters = HalfEnumeratedParameters
    parameters: HalfEnumeratedParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """From a small part once to the whole card every time."""
        part = dice.choice(MILD if severity < 0.4 else SEVERE)  # noqa: PLR2004
        once: dict[str, object] = {"times": 1} if severity < 0.7 else {}  # noqa: PLR2004
        return {"missing": part, **once}

    def on_attach(self, identity: base.Identity) -> None:
        """Leave it out."""
        part = self.parameters.missing
        card = next((card for card in identity.cards if self.parameters.gpu in (None, card.gpu)), None)
        if card is None or not self.strikes(card.gpu):
            return
        if part == "tunnel":
            identity.gpus_present = False
        elif part == "usb":
            identity.usb_present = False
        else:
            card.missing.add(part.replace("memory-bar", "memory BAR"))
