"""Bytes that went to the device and came back are the bytes that were sent."""

from __future__ import annotations

import pytest

from hil.fixtures.transfer import Transfer
from hil.model import KIB, MIB

pytestmark = pytest.mark.severity("blocker")
SMALL = [0, 1, 3, 7, 8, 63, 64, 65, 255, 256, 257]
AROUND_PAGES = [page + delta for page in (4 * KIB, 16 * KIB, 64 * KIB, 2 * MIB) for delta in (-1, 0, 1)]


@pytest.mark.quick
@pytest.mark.parametrize("nbytes", SMALL)
def test_small_round_trip_is_intact(transfer: Transfer, nbytes: int) -> None:
    """Host → device → host, less than a cache line or a little more; nothing at all is a copy, too.

    Drivers send small copies another way than large ones, inline in the command or by writes of the CPU. What is wrong
    here alone is in that path; `test_grid` says in which direction.
    """
    transfer.round_trip(nbytes)


@pytest.mark.quick
@pytest.mark.parametrize("nbytes", AROUND_PAGES)
def test_round_trip_around_a_page_is_intact(transfer: Transfer, nbytes: int) -> None:
    """One byte below, at, and above 4 KiB, 16 KiB (Apple's page), 64 KiB and 2 MiB (the driver's pages).

    Sizes at which one descriptor, page or chunk becomes two. A failure at one size and not at its neighbours is an
    off-by-one in that; its last bytes are what goes missing.
    """
    transfer.round_trip(nbytes)


@pytest.mark.parametrize("nbytes", [16 * MIB + 8, 256 * MIB])
def test_large_round_trip_is_intact(transfer: Transfer, nbytes: int) -> None:
    """More than the driver's staging buffers hold at a time (tinygrad: 32 × 2 MiB).

    A ring of staging buffers that wraps too early sends a later chunk's data twice and an earlier one's never: the
    failure says *duplicated* or *stale*, at multiples of the chunk.
    """
    transfer.round_trip(nbytes)


@pytest.mark.parametrize("nbytes", [1, 4 * KIB + 1, 2 * MIB + 1, 16 * MIB, 96 * MIB + 8])
def test_round_trip_from_pageable_memory_is_intact(transfer: Transfer, nbytes: int) -> None:
    """The driver stages pageable memory: another path through it than pinned.

    A failure here and not with pinned memory lies in the staging: who copies, and when the buffer is free again.
    """
    transfer.round_trip(nbytes, pinned=False)


@pytest.mark.parametrize("src_offset", [0, 1, 7, 63])
@pytest.mark.parametrize("dst_offset", [0, 7, 4 * KIB - 1])
def test_unaligned_round_trip_is_intact(transfer: Transfer, src_offset: int, dst_offset: int) -> None:
    """Neither end on a boundary of the copy engine's liking, across pages.

    Copy engines want alignment; drivers copy head and tail in another way. *Byte-shifted* in a failure: an offset was
    rounded; *overrun* or *underrun*: a length was.
    """
    transfer.round_trip(64 * KIB + 3, src_offset=src_offset, dst_offset=dst_offset)


@pytest.mark.parametrize("nbytes", [1, 4 * KIB, 64 * KIB + 1, 2 * MIB + 1, 96 * MIB + 8])
def test_copy_within_the_device_is_intact(transfer: Transfer, nbytes: int) -> None:
    """Host → device → device → host: the copy engine's way through the card's own memory.

    A failure here and not in plain round trips lies between two places of that memory, not on the link.
    """
    transfer.round_trip(nbytes, via_device=True)


@pytest.mark.parametrize("pinned", [True, False], ids=["pinned", "pageable"])
@pytest.mark.parametrize("nbytes", [64 * KIB, 4 * MIB + 4 * KIB + 3])
def test_zeros_and_ones_replace_what_was_there(transfer: Transfer, nbytes: int, pinned: bool) -> None:
    """Zeros, then ones, over other data: up, on within the device, and down.

    A page of one value is what drivers and memories save the work of: a fast clear that only sets a tag, compression,
    a page of zeros shared by all. *Not written* in a failure: the old data are still there, on the side that it names.
    """
    transfer.constants(nbytes, pinned=pinned)


@pytest.mark.soak
def test_an_hour_of_round_trips_is_intact(transfer: Transfer) -> None:
    """What a marginal link lets through once in a terabyte. Not part of a default run: ``-m soak``.

    A single *bit flip* in an hour: read the link's replay and the card's ECC counters, and try another cable.
    """
    transfer.soak(64 * MIB, seconds=3600.0)
