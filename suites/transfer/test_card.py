"""The card's memory, by way of its copy engine: every address is a place of its own, and keeps what it was given."""

from __future__ import annotations

import pytest

from hil.fixtures.marching import Marching
from hil.model import KIB, MIB

pytestmark = pytest.mark.severity("blocker")


def test_every_address_of_the_card_holds_its_own_data(marching: Marching) -> None:
    """Each block is filled with its own address, all are written before the first is read. A GPU: all of its memory.

    Where the card's memory is the host's: 256 MiB with every address bit, both ends, and all around 2 MiB boundaries.
    An address line without effect shows as *alias* of its bit; a page table that maps two pages to one, as *misplaced*
    by whole pages.
    """
    marching.fill_card()


def test_bits_hold_both_values_all_over_the_card(marching: Marching) -> None:
    """Moving inversions over 32 MiB spread over the card: the pattern, then its inverse, then the pattern again.

    A bit that reads the same all three times is *stuck*, at the address and in the line that the failure names.
    """
    marching.fill_card(inversions=2, budget=32 * MIB)


@pytest.mark.quick
def test_march_c_finds_no_cell_that_others_disturb(marching: Marching) -> None:
    """March C− over 2 MiB in steps of 64 KiB: read and invert each, up, up, down and down.

    Memory testers' standard: finds stuck cells, cells that do not change one way, and cells that change as others are
    written (van de Goor 1991). A failure names the block; *stuck bit* the cell, *alias* the address line.
    """
    marching.march(2 * MIB, block=64 * KIB)


@pytest.mark.parametrize(("nbytes", "block"), [(16 * KIB, 64), (512 * KIB, 4 * KIB)])
def test_march_c_in_small_steps_finds_no_neighbour_that_is_disturbed(
    marching: Marching, nbytes: int, block: int
) -> None:
    """The same in steps of a line and of a page: on the way down the cell above is written before the one below it.

    Within a step writes go upwards, and put right what they have disturbed above themselves. A failure here alone is
    a cell that disturbs one above it, closer than 64 KiB.
    """
    marching.march(nbytes, block=block)


@pytest.mark.parametrize("block", [4 * KIB, 64 * KIB])
def test_reading_changes_neither_what_is_read_nor_its_neighbours(marching: Marching, block: int) -> None:
    """A block read 300 times, through the link and within the device; the ones below and above it are looked at, too.

    Reads disturb rows of DRAM beside the one that they open ("row hammer"; Kim et al., ISCA 2014); a few hundred must
    never do so, and a cache on the card may take most of them. A failure: cells far too weak, or a driver that maps or
    refreshes by counting accesses, and miscounts.
    """
    marching.reread(block, times=37, looks=4)


def test_nothing_fades_in_five_seconds(marching: Marching) -> None:
    """32 MiB, half of them inverted, left alone for 5 s: more than a hundred refresh intervals (JEDEC: 32 ms at most).

    Bits that fall to one value are cells that are not refreshed, or refreshed too late because the card is hot.
    """
    marching.fade(32 * MIB, seconds=5.0)


@pytest.mark.soak
def test_nothing_fades_in_an_hour(marching: Marching) -> None:
    """256 MiB left alone for an hour. Not part of a default run: ``-m soak``."""
    marching.fade(256 * MIB, seconds=3600.0)


@pytest.mark.grid
def test_march_c_in_small_steps_finds_no_cell_that_others_disturb(marching: Marching) -> None:
    """March C− over 16 MiB in steps of 4 KiB. Not part of a default run: ``-m grid``."""
    marching.march(16 * MIB, block=4 * KIB)


@pytest.mark.grid
def test_bits_hold_both_values_everywhere(marching: Marching) -> None:
    """Moving inversions over all that `marching.fill_card` goes to. Not part of a default run: ``-m grid``."""
    marching.fill_card(inversions=2)
