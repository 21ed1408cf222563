"""Wrong calls are refused with an error, and harm nothing."""

from __future__ import annotations

import pytest

from hil.bench import Device
from hil.fixtures.transfer import Transfer
from hil.model import KIB

pytestmark = [pytest.mark.needs("gpu"), pytest.mark.severity("normal"), pytest.mark.quick]
WRONG_CALLS = (
    "copy past the end",
    "offset past the end",
    "free twice",
    "copy to freed memory",
    "allocate nothing",
    "allocate more than there is",
)


@pytest.mark.parametrize("call", WRONG_CALLS)
def test_a_wrong_call_is_refused_and_harms_nothing(device: Device, transfer: Transfer, call: str) -> None:
    """The call comes back with an error, and the next transfer is intact.

    A failure means a driver that corrupts what lies behind a buffer, or reports success without effect.
    """
    assert device.call("refusals:refused", call=call), f"{call}: the driver accepted it"
    transfer.round_trip(64 * KIB)
