"""Copies where offsets and sizes need more than 31 or 32 bits."""

from __future__ import annotations

import pytest

from hil.fixtures.copies import Copies
from hil.model import GIB, KIB

pytestmark = pytest.mark.severity("blocker")


@pytest.mark.quick
def test_copies_at_offsets_beyond_4_gib_are_intact(copies: Copies) -> None:
    """Across 2 GiB and 4 GiB of one allocation, and at the places that their lowest 31 and 32 bits name.

    An offset kept in a signed or unsigned 32-bit number sends the copy to the beginning of the buffer: the failure says
    *alias* or *misplaced*, and by how much.
    """
    copies.far()


@pytest.mark.grid
@pytest.mark.parametrize("nbytes", [2 * GIB + 64 * KIB + 1, 4 * GIB + 64 * KIB + 1])
def test_a_copy_of_more_bytes_than_32_bits_count_is_intact(copies: Copies, nbytes: int) -> None:
    """One copy of more than 2 GiB, of more than 4 GiB. Not part of a default run: ``-m grid``; takes that much memory.

    A length that is cut short leaves the tail as it was: *short tail*, from which byte on.
    """
    copies.huge(nbytes)
