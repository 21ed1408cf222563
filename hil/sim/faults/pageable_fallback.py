"""Pinned host memory is treated as pageable."""

from __future__ import annotations

import random
from typing import Annotated

from pydantic import Field

from hil.model import Direction
from hil.sim.faults import base, sight
from hil.sim.faults.draws import between
from hil.sim.transfers import PAGEABLE_LATENCY


class PageableFallbackParameters(base.Trigger):
    """Parameters of `PageableFallback`."""

    factor: Annotated[float, Field(gt=0, lt=1, description="share of the pinned rate that is left")] = 0.55


class PageableFallback(base.Fault):
    """Lets copies from and to pinned memory be as slow as if they were staged."""

    name = "pageable-fallback"
    domain = "driver"
    story = "Pinning fails for want of locked memory, and the driver stages the copy without a word."
    seen_by = "throughput"
    shows_as = r"band|GB/s|slower|longer"
    Parameters = PageableFallbackParameters
    parameters: PageableFallbackParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """Nine tenths of the rate to a fifth of it."""
        return {"factor": between(0.9, 0.2, severity)}

    @classmethod
    def below_sight(cls, parameters: base.Trigger) -> str:
        """As any slower path: where its nights differ by as much."""
        assert isinstance(parameters, PageableFallbackParameters)  # noqa: S101  (its own)
        return sight.of_nights(parameters.factor)

    def on_submit(self, submission: base.Submission) -> None:
        """Slow it down; each copy from or to pinned memory is one opportunity."""
        nbytes = submission.row_bytes * submission.rows
        staged = submission.direction is not Direction.D2D and submission.pinned and nbytes > 0
        if staged and self.strikes(submission.gpu, nbytes):
            submission.share *= self.parameters.factor
            submission.latency += PAGEABLE_LATENCY
