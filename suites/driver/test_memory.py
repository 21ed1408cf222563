"""Device memory: all of it can be had, the refusal is an error code, and it all comes back."""

from __future__ import annotations

import pytest

from hil.bench import Device
from hil.model import MIB

pytestmark = [pytest.mark.needs("gpu"), pytest.mark.severity("normal")]


def test_exhaustion_is_refused_and_leaves_nothing_behind(device: Device) -> None:
    """Allocating to the end is refused with "out of memory", and freeing gives everything back.

    A failure means overcommitted memory, or a leak that ends long runs.
    """
    facts = device.call("memory:exhaust", nbytes=256 * MIB)
    assert facts["refusal"] is not None, "more memory was given out than the device has"
    assert facts["pieces"] * 256 * MIB > facts["free_before"] - 512 * MIB
    assert facts["free_after"] == facts["free_before"]
