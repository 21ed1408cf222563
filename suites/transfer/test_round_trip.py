"""Bytes that went to the device and came back are the bytes that were sent."""

from __future__ import annotations

import pytest
from fixtures.transfer import Transfer

from hil.model import KIB, MIB

pytestmark = pytest.mark.severity("blocker")
SIZES = [1, 7, 64, 4 * KIB - 1, 4 * KIB, 64 * KIB + 1, 2 * MIB - 1, 2 * MIB, 16 * MIB + 8, 256 * MIB]


@pytest.mark.parametrize("nbytes", SIZES)
def test_round_trip_is_intact(transfer: Transfer, nbytes: int) -> None:
    """Host → device → host, from pinned memory. The report says what wrong bytes are and where they belong."""
    transfer.round_trip(nbytes)


@pytest.mark.parametrize("nbytes", [4 * KIB + 1, 2 * MIB + 1, 16 * MIB])
def test_round_trip_from_pageable_memory_is_intact(transfer: Transfer, nbytes: int) -> None:
    """The driver stages pageable memory: another path through it than pinned."""
    transfer.round_trip(nbytes, pinned=False)


@pytest.mark.parametrize("src_offset", [0, 1, 63])
@pytest.mark.parametrize("dst_offset", [0, 7])
def test_unaligned_round_trip_is_intact(transfer: Transfer, src_offset: int, dst_offset: int) -> None:
    """Neither end on a boundary of the copy engine's liking, across a page."""
    transfer.round_trip(64 * KIB + 3, src_offset=src_offset, dst_offset=dst_offset)


@pytest.mark.parametrize("nbytes", [1, 4 * KIB, 2 * MIB + 1])
def test_copy_within_the_device_is_intact(transfer: Transfer, nbytes: int) -> None:
    """Host → device → device → host."""
    transfer.round_trip(nbytes, via_device=True)
