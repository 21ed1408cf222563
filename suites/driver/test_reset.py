"""A reset ends, in time, with the same device in the same state."""

from __future__ import annotations

import pytest

from hil.fixtures.measure import Measure
from hil.fixtures.reset import Reset
from hil.fixtures.transfer import Transfer
from hil.model import MIB

pytestmark = [pytest.mark.needs("gpu", "reset"), pytest.mark.severity("critical")]


def test_device_is_usable_after_a_reset(reset: Reset, transfer: Transfer, measure: Measure) -> None:
    """The function answers again within its deadline, its config space can be restored, and bytes pass.

    A failure to answer (0xffff0001 for ever) is known of some cards: only a power cycle helps them.
    """
    measure("reset", reset(deadline=10.0).seconds, unit="s", at_most=10.0)
    transfer.round_trip(16 * MIB)
