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
    """Host → device → host, less than a cache line or a little more; nothing at all is a copy, too."""
    transfer.round_trip(nbytes)


@pytest.mark.quick
@pytest.mark.parametrize("nbytes", AROUND_PAGES)
def test_round_trip_around_a_page_is_intact(transfer: Transfer, nbytes: int) -> None:
    """One byte below, at, and above 4 KiB, 16 KiB (Apple's page), 64 KiB and 2 MiB (the driver's pages)."""
    transfer.round_trip(nbytes)


@pytest.mark.parametrize("nbytes", [16 * MIB + 8, 256 * MIB])
def test_large_round_trip_is_intact(transfer: Transfer, nbytes: int) -> None:
    """More than the driver's staging buffers hold at a time (tinygrad: 32 × 2 MiB)."""
    transfer.round_trip(nbytes)


@pytest.mark.parametrize("nbytes", [1, 4 * KIB + 1, 2 * MIB + 1, 16 * MIB])
def test_round_trip_from_pageable_memory_is_intact(transfer: Transfer, nbytes: int) -> None:
    """The driver stages pageable memory: another path through it than pinned."""
    transfer.round_trip(nbytes, pinned=False)


@pytest.mark.parametrize("src_offset", [0, 1, 7, 63])
@pytest.mark.parametrize("dst_offset", [0, 7, 4 * KIB - 1])
def test_unaligned_round_trip_is_intact(transfer: Transfer, src_offset: int, dst_offset: int) -> None:
    """Neither end on a boundary of the copy engine's liking, across pages."""
    transfer.round_trip(64 * KIB + 3, src_offset=src_offset, dst_offset=dst_offset)


@pytest.mark.parametrize("nbytes", [1, 4 * KIB, 64 * KIB + 1, 2 * MIB + 1])
def test_copy_within_the_device_is_intact(transfer: Transfer, nbytes: int) -> None:
    """Host → device → device → host."""
    transfer.round_trip(nbytes, via_device=True)


@pytest.mark.soak
def test_an_hour_of_round_trips_is_intact(transfer: Transfer) -> None:
    """What a marginal link lets through once in a terabyte. Not part of a default run: ``-m soak``."""
    transfer.soak(64 * MIB, seconds=3600.0)
