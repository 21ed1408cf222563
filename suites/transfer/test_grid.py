"""Small copies of every size at every offset across every boundary, between guard zones, each way by itself."""

from __future__ import annotations

import pytest

from hil.fixtures.transfer import SIZES, Transfer

pytestmark = pytest.mark.severity("blocker")
HOST_WAYS = ["H2D", "D2H", "round trip"]
WAYS = [*HOST_WAYS, "D2D"]


@pytest.mark.quick
@pytest.mark.parametrize("way", WAYS)
def test_a_sample_of_small_copies_is_intact(transfer: Transfer, way: str) -> None:
    """Each size once and some more, with offsets and boundaries drawn from ``--hil-seed``; every byte around them, too.

    Drivers copy what is not aligned in pieces: a head, a body, a tail. Each piece has a length that can be off by one,
    and a path of its own. The direction under test is the only one whose copies are small, so that a failure names it;
    where it lies within the copy (first bytes, last bytes, at a boundary) says which piece went wrong.
    """
    transfer.sample(way, copies=48)


@pytest.mark.parametrize("way", HOST_WAYS)
def test_a_sample_of_small_pageable_copies_is_intact(transfer: Transfer, way: str) -> None:
    """The same from and to memory that is not pinned, which drivers stage through buffers of their own.

    A failure here alone points at the staging: its chunks, and the copy out of them by the CPU.
    """
    transfer.sample(way, copies=24, pinned=False)


@pytest.mark.grid
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("nbytes", SIZES)
def test_copies_at_all_offsets_are_intact(transfer: Transfer, nbytes: int, way: str) -> None:
    """A row of the full grid: 4 source × 4 destination offsets × 5 boundaries. Not part of a default run: ``-m grid``.

    What the sample leaves to chance. A failure names the first cells of the row that are wrong; what they have in
    common (an offset, a boundary) is the case that the driver got wrong.
    """
    transfer.row(nbytes, way)


@pytest.mark.grid
@pytest.mark.parametrize("way", HOST_WAYS)
@pytest.mark.parametrize("nbytes", SIZES)
def test_pageable_copies_at_all_offsets_are_intact(transfer: Transfer, nbytes: int, way: str) -> None:
    """A row of the full grid from and to pageable memory. Not part of a default run: ``-m grid``."""
    transfer.row(nbytes, way, pinned=False)
