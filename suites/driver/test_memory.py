"""Device memory: all of it can be had, the refusal is an error code, and it all comes back."""

from __future__ import annotations

import pytest

from hil.bench import Device
from hil.model import KIB, MIB

pytestmark = [pytest.mark.needs("gpu"), pytest.mark.severity("normal")]


@pytest.mark.quick
def test_exhaustion_is_refused_and_leaves_nothing_behind(device: Device) -> None:
    """Allocating to the end is refused with "out of memory", and freeing gives everything back.

    A failure means overcommitted memory, or a leak that ends long runs.
    """
    facts = device.call("memory:exhaust", nbytes=256 * MIB)
    assert facts["refusal"] is not None, "more memory was given out than the device has"
    assert facts["pieces"] * 256 * MIB > facts["free_before"] - 512 * MIB
    assert facts["free_after"] == facts["free_before"]


@pytest.mark.quick
@pytest.mark.parametrize("nbytes", [1, 64 * KIB, 2 * MIB + 1, 256 * MIB])
def test_cycles_of_allocation_leak_nothing(device: Device, nbytes: int) -> None:
    """A hundred times allocate and free: as much is free afterwards as before.

    A failure is a leak of so many bytes a cycle; nightly runs die of it.
    """
    facts = device.call("memory:cycle", nbytes=nbytes, cycles=100)
    assert facts["free_after"] == facts["free_before"]


@pytest.mark.parametrize("nbytes", [64 * KIB, 4 * MIB])
def test_fragmented_memory_is_never_given_out_twice(device: Device, nbytes: int) -> None:
    """Every second of 64 pieces is freed, and larger ones are asked for in between: no two share an address.

    A failure means that one buffer's data will appear in another.
    """
    facts = device.call("memory:fragment", nbytes=nbytes, pieces=64)
    assert facts["overlaps"] == 0
    assert facts["free_after"] == facts["free_before"]
