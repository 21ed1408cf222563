"""Nobody approved TinyGPU's driver extension, or an update took the approval away."""

from __future__ import annotations

import random
from typing import Annotated, Literal

from pydantic import Field

from hil.sim.faults import base

WAITING, LEAVING = "activated waiting for user", "terminated waiting to uninstall on reboot"


class ExtensionNotApprovedParameters(base.Trigger):
    """Parameters of `ExtensionNotApproved`; it strikes at once, or at `at_time`."""

    state: Annotated[Literal["waiting", "leaving"], Field(description="for the user, or for a reboot to be gone")] = (
        "waiting"
    )


class ExtensionNotApproved(base.Fault):
    """Takes the driver from every card of the Mac: the bus shows them, and nothing opens them."""

    name = "extension-not-approved"
    domain = "host"
    story = (
        "Driver extensions want a click in System Settings, which no command can make; after an update of the app, or "
        "of macOS, they want it again."
    )
    seen_by = "driver"
    shows_as = r"Driver not available|extension|approve|NO_DEVICE|no driver|taken from this driver"
    unscored = "needs the lab Mac"
    systems = ("Darwin",)
    Parameters = ExtensionNotApprovedParameters
    parameters: ExtensionNotApprovedParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """From the middle of a run to its beginning."""
        late: dict[str, object] = {"at_time": round(1 + 4 * (1 - severity), 2)} if severity < 0.5 else {}  # noqa: PLR2004
        return {"state": dice.choice(["waiting", "leaving"]), **late}

    def armed(self) -> None:
        """Take the approval away."""
        if self.parameters.at_time is None:
            self._revoke()
        else:
            self.site.after(self.parameters.at_time, self._revoke)

    def _revoke(self) -> None:
        if self.strikes():
            self.site.approve(WAITING if self.parameters.state == "waiting" else LEAVING)
