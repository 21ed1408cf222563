"""Streams at once: copies that share the link, the copy engines and the staging buffers keep their data apart."""

from __future__ import annotations

import pytest

from hil.fixtures.copies import Copies
from hil.fixtures.neighbours import Neighbours
from hil.fixtures.transfer import Transfer
from hil.model import MIB

pytestmark = pytest.mark.severity("blocker")
BOTH_WAYS = ["H2D", "D2H"]


@pytest.mark.quick
def test_two_streams_in_both_directions_keep_their_data(copies: Copies) -> None:
    """8 MiB up and 8 MiB down at once, in copies of 4 MiB: several chunks of each are on their way together.

    Each stream's data say whose they are. *Wrong buffer* in a failure: descriptors or staging buffers of two streams
    were mixed up; *stale* or *not written*: one stream's completion was taken for the other's.
    """
    copies.streams(BOTH_WAYS, 8 * MIB)


@pytest.mark.parametrize("count", [4, 8])
def test_many_streams_in_both_directions_keep_their_data(copies: Copies, count: int) -> None:
    """4 and 8 streams, half of them up and half down, 6 MiB each in copies of 2 MiB, the size of tinygrad's chunks.

    More streams than a GPU has copy engines: they are multiplexed, and a ring that wraps shows.
    """
    copies.streams(BOTH_WAYS * (count // 2), 6 * MIB, pieces=3)


def test_a_ring_that_goes_round_many_times_keeps_its_data(copies: Copies) -> None:
    """16 streams, half of them up and half down, 12 MiB each in copies of 2 MiB: a hundred copies that share the link.

    What goes wrong once in many copies, when more streams meet than usual, does so here.
    """
    copies.streams(BOTH_WAYS * 8, 12 * MIB, pieces=6)


def test_streams_in_one_direction_keep_their_data(copies: Copies) -> None:
    """Three streams down at once: they take turns on one side of the link, and share its staging."""
    copies.streams(["D2H"] * 3, 6 * MIB, pieces=1)


def test_streams_up_down_and_within_the_device_keep_their_data(copies: Copies) -> None:
    """Six streams, two of them within the device: three kinds of copies meet in its memory."""
    copies.streams([*BOTH_WAYS, "D2D"] * 2, 4 * MIB)


def test_streams_from_pageable_memory_keep_their_data(copies: Copies) -> None:
    """Four streams through the driver's staging buffers, of which there are often few and for all of them."""
    copies.streams(BOTH_WAYS * 2, 4 * MIB, pinned=False)


def test_streams_amid_allocations_keep_their_data(transfer: Transfer) -> None:
    """Three streams, one each way, 12 MiB in copies of 4 MiB, while other memory is allocated and freed; some is held.

    To allocate and to free changes page tables and flushes what caches them. A failure is a copy that used an entry
    meanwhile, or, in the memory that was only held, an allocation that cleared or mapped what is somebody else's.
    """
    transfer.amid_allocations([*BOTH_WAYS, "D2D"], 12 * MIB, pieces=3)


@pytest.mark.quick
@pytest.mark.needs("second device")
def test_devices_that_copy_at_once_keep_their_data(neighbours: Neighbours) -> None:
    """All devices of the bench at once, 16 MiB up and 16 MiB down each, in copies of 2 MiB.

    They share the host's driver, its staging buffers and its IOMMU. *Wrong buffer* in a failure: one card's data, or
    its completion, was taken for the other's.
    """
    neighbours.copy_at_once(16 * MIB, pieces=8)


@pytest.mark.grid
@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("pieces", [1, 4, 64])
@pytest.mark.parametrize("nbytes", [64 * 1024, 2 * MIB, 16 * MIB])
def test_streams_of_any_number_and_size_keep_their_data(copies: Copies, nbytes: int, pieces: int, count: int) -> None:
    """All numbers of streams, from tiny pieces to whole buffers. Not part of a default run: ``-m grid``."""
    copies.streams((BOTH_WAYS * 4)[:count], nbytes, pieces=pieces)
