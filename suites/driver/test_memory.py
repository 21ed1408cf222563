"""Device memory: all of it can be had, every byte belongs to one owner, and it all comes back."""

from __future__ import annotations

import pytest

from hil.bench import Device
from hil.fixtures.measure import Measure
from hil.fixtures.vram import Vram
from hil.model import KIB, MIB

pytestmark = [pytest.mark.needs("gpu"), pytest.mark.severity("normal")]


def _hold_to_no_leak(measure: Measure, facts: dict[str, int]) -> None:
    measure("leaked device memory", facts["free_before"] - facts["free_after"], unit="bytes", at_least=0, at_most=0)


@pytest.mark.quick
def test_exhaustion_is_refused_and_leaves_nothing_behind(device: Device, measure: Measure) -> None:
    """Allocating to the end is refused with "out of memory" and a code, and freeing gives everything back.

    A failure means overcommitted memory, or a leak that ends long runs.
    """
    facts = device.call("memory:exhaust", nbytes=256 * MIB)
    assert facts["refusal"] is not None, "more memory was given out than the device has"
    assert facts["code"], f"the refusal has no code: {facts['refusal']}"
    had, free = facts["pieces"] * 256 * MIB, facts["free_before"]
    assert had > free - 512 * MIB, f"{free} bytes were free, and no more than {had} could be had"
    _hold_to_no_leak(measure, facts)


@pytest.mark.quick
@pytest.mark.parametrize("nbytes", [1, 64 * KIB, 2 * MIB + 1, 256 * MIB])
def test_cycles_of_allocation_leak_nothing(device: Device, measure: Measure, nbytes: int) -> None:
    """A hundred times allocate and free: as much is free afterwards as before.

    A failure is a leak of so many bytes a cycle; nightly runs die of it.
    """
    facts = device.call("memory:cycle", nbytes=nbytes, cycles=100)
    _hold_to_no_leak(measure, facts)


@pytest.mark.parametrize(
    "copies",
    [{}, {"copied": 4 * KIB}, {"moved": 4 * KIB}],
    ids=["bare", "with a copy", "with copies within the device"],
)
def test_a_thousand_cycles_leak_nothing(device: Device, measure: Measure, copies: dict[str, int]) -> None:
    """A thousand times allocate, copy or not, and free: not a byte less is free than before.

    A leak of a page table or a semaphore a cycle shows in no short test, and ends a night's run. One that comes with
    a copy alone points at the bookkeeping of the copy engine of that way. Within the device, plain copies and rows go
    into what is freed, and out of it, in turn.
    """
    facts = device.call("memory:cycle", nbytes=MIB, cycles=1000, **copies)
    measure("leaked in 1000 cycles", facts["free_before"] - facts["free_after"], unit="bytes", at_most=0)


def test_a_thousand_cycles_of_pinned_memory_leak_nothing(device: Device, measure: Measure) -> None:
    """A thousand times allocate, touch and free 64 KiB of pinned host memory: neither host nor device has less of it.

    Pinned pages that are not unpinned cannot be swapped: the host runs out of memory while nobody seems to use it.
    The limit of 16 MiB is a quarter of what leaking all of them would cost.
    """
    facts = device.call("memory:host_cycle", nbytes=64 * KIB, cycles=1000)
    measure("host memory grown", facts["grown"] / MIB, unit="MiB", at_most=16.0)
    measure("device memory lost", facts["free_before"] - facts["free_after"], unit="bytes", at_most=0)


@pytest.mark.parametrize("nbytes", [64 * KIB, 4 * MIB])
def test_fragmented_memory_is_never_given_out_twice(device: Device, measure: Measure, nbytes: int) -> None:
    """Every second of 64 pieces is freed, and larger ones are asked for in between: no two share an address.

    A failure means that one buffer's data will appear in another.
    """
    facts = device.call("memory:fragment", nbytes=nbytes, pieces=64)
    assert facts["overlaps"] == 0, f"{facts['overlaps']} pairs of live allocations share addresses"
    _hold_to_no_leak(measure, facts)


def test_gaps_in_a_full_card_can_be_filled_again(device: Device, measure: Measure) -> None:
    """A full card, every second piece freed: as many fit in again; and once all is freed, half of it fits in one.

    A failure means memory that is counted as free and cannot be had: long runs end "out of memory" on an empty card.
    """
    facts = device.call("memory:refill", pieces=64)
    assert facts["filled"] == facts["gaps"], f"{facts['gaps']} pieces were freed, {facts['filled']} fit in again"
    assert facts["whole"], "with all freed, half of the free memory could not be had in one piece"
    _hold_to_no_leak(measure, facts)


@pytest.mark.quick
@pytest.mark.severity("blocker")
def test_every_allocation_of_a_full_card_has_cells_of_its_own(vram: Vram) -> None:
    """A card full of allocations, a mark at both ends of each; only then are all marks read back.

    Nothing else reaches the upper end of a large card: page tables that wrap around, a DMA address cut to 32 bits and
    a reservation that lies inside the heap show here. The message names the address, and whose mark it holds.
    """
    vram.hold_full_card(pieces=32)


@pytest.mark.quick
@pytest.mark.severity("blocker")
def test_every_address_bit_leads_to_another_cell(vram: Vram) -> None:
    """In the largest allocation, cells whose addresses differ in one bit are marked, then all marks are read.

    The classic address test of memory testers (March tests' first step): a bit that is stuck or shorted to another, on
    the card or in a bridge on the way, lets two addresses share a cell. The message names both.
    """
    assert vram.hold_address_bits(), "no two addresses differ in one bit: the card gave no memory worth the name"
