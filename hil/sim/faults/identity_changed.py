"""What comes back after a re-plug calls itself something else, or sits somewhere else."""

from __future__ import annotations

import random
import uuid
from typing import Annotated, Literal

from pydantic import Field

from hil.sim.faults import base


class IdentityChangedParameters(base.Trigger):
    """Parameters of `IdentityChanged`."""

    what: Annotated[
        Literal["uid", "path", "card", "swapped"],
        Field(
            description="uid: the router's id; path: bridges above the card; card: its UUID and serial number; "
            "swapped: two enclosures answer under each other's id (where there are two)"
        ),
    ] = "uid"
    times: Annotated[int | None, Field(ge=1, description="how often at the most")] = 1


class IdentityChanged(base.Fault):
    """Changes what an enclosure or its card is known by, as it is attached."""

    name = "identity-changed"
    domain = "hot plug"
    story = (
        "Firmware that makes up its id anew at each power-on, bridges that enumerate in another order, or a driver "
        "that answers from what it remembers of the slot: the history of one card goes on with another's figures."
    )
    seen_by = "driver"
    shows_as = r"expected|not in the inventory|another|not what it was|did not come back|PCIe tunnel missing"
    profiles = ("linux-two-enclosures",)
    Parameters = IdentityChangedParameters
    parameters: IdentityChangedParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """From once to each time."""
        found: dict[str, object] = {"what": dice.choice(["uid", "path", "card", "swapped"])}
        return found | {"times": 1 if severity < 0.5 else 3, "seed": dice.randrange(1 << 16)}  # noqa: PLR2004

    def on_attach(self, identity: base.Identity) -> None:
        """Come back as another."""
        card = next((card for card in identity.cards if self.parameters.gpu in (None, card.gpu)), None)
        if card is None:
            return
        others = [gpu for gpu in self.site.gpu_indices() if self.site.uid(gpu) not in ("", identity.uid)]
        if (self.parameters.what == "swapped" and not others) or not self.strikes(card.gpu):
            return
        match self.parameters.what:
            case "uid":
                identity.uid = f"{self.random.getrandbits(64):016x}"
            case "path":
                identity.bridges += 1
            case "card":
                card.uuid = f"GPU-{uuid.UUID(int=self.random.getrandbits(128))}"
            case "swapped":
                own, identity.uid = identity.uid, self.site.uid(others[0])
                self.site.rename(others[0], own)
