"""The rows of a 2D copy land at a wrong distance."""

from __future__ import annotations

import random
from typing import Annotated

from pydantic import Field

from hil.model import KIB
from hil.sim.faults import base
from hil.sim.faults.draws import between, whole
from hil.sim.faults.pieces import CopyParameters


class PitchErrorParameters(CopyParameters):
    """Parameters of `PitchError`."""

    bytes: Annotated[int, Field(ge=1, le=64 * KIB, description="that each row lands too far from the one before")] = 64


class PitchError(base.Fault):
    """Widens the pitch of the destination of copies of several rows."""

    name = "pitch-error"
    domain = "dma"
    story = "The driver rounds a pitch up to what the engine prefers, and forgets that the memory was not laid out so."
    seen_by = "transfer"
    shows_as = r"pitch|misplaced|displaced|shifted|over ?run"
    Parameters = PitchErrorParameters
    parameters: PitchErrorParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """A byte in a tenth of the 2D copies, to 4 KiB in each."""
        return {
            "bytes": whole(1, 4096, severity),
            "probability": between(0.1, 1.0, severity),
            "direction": dice.choice(["H2D", "D2H"]),
            "seed": dice.randrange(1 << 16),
        }

    def on_submit(self, submission: base.Submission) -> None:
        """Change the pitch; a copy of one row has none and is no opportunity."""
        p, nbytes = self.parameters, submission.row_bytes * submission.rows
        wanted = p.direction in (None, submission.direction) and submission.rows > 1 and nbytes
        if wanted and self.strikes(submission.gpu, nbytes):
            submission.destination_pitch += p.bytes
