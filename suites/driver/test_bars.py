"""The card's BARs: as large as they say, and BAR 1 a true window on its memory."""

from __future__ import annotations

import pytest

from hil.fixtures.window import Window
from hil.model import KIB, MIB

pytestmark = [pytest.mark.needs("gpu", "registers"), pytest.mark.severity("critical")]
REGISTERS = 16 * MIB
"""BAR 0 of every NVIDIA GPU since Fermi (envytools, hwdocs/bus/bars)."""
SMALLEST_WINDOW = 64 * MIB
"""The least that NVIDIA's resizable BAR 1 offers; what firmware gives through a tunnel is 256 MiB."""


@pytest.mark.quick
def test_bars_are_as_config_space_says(window: Window) -> None:
    """Operating system, BAR registers and the resize control agree: powers of two, aligned, registers and window there.

    "BAR 1: no space" and half-done resizes are known from owners of eGPUs; a BAR that was cleared by a reset or a
    sleep reads as no address.
    """
    sizes = window.sizes()
    assert sizes.get(0) == REGISTERS, f"BAR 0 has {sizes.get(0)} bytes, expected {REGISTERS} of registers"
    assert sizes.get(1, 0) >= SMALLEST_WINDOW, f"BAR 1 has {sizes.get(1)} bytes, expected at least {SMALLEST_WINDOW}"


@pytest.mark.quick
@pytest.mark.needs("window")
@pytest.mark.parametrize("nbytes", [64, 4 * KIB, 256 * KIB])
def test_the_window_shows_what_the_copy_engine_wrote(window: Window, nbytes: int) -> None:
    """Bytes uploaded by the copy engine read back through BAR 1.

    A failure with "not written" is a posted write that a completion overtook; another place's data is a window mapped
    to the wrong pages.
    """
    window.read(nbytes)


@pytest.mark.needs("window")
@pytest.mark.parametrize("skew", [1, 2, 3, 5, 4095])
def test_unaligned_reads_of_the_window_are_true(window: Window, skew: int) -> None:
    """Reads that begin off a word's boundary, and across a page's.

    Bridges split them into accesses with byte enables of their own: a wrong one shifts data by up to three bytes.
    """
    window.read(8 * KIB, skew=skew)


@pytest.mark.needs("window", "bar_write")
@pytest.mark.parametrize("at", [4096, 4097, 4099])
def test_the_copy_engine_sees_what_was_written_through_the_window(window: Window, at: int) -> None:
    """4 KiB written through BAR 1, aligned and not, are fetched by the copy engine, and their neighbours are untouched.

    A failure is a write that was combined, torn, or dropped on its way; drivers write their page tables like this.
    """
    window.write(4 * KIB, at=at)


@pytest.mark.quick
@pytest.mark.needs("window", "bar_write")
def test_none_of_many_small_writes_through_the_window_is_lost(window: Window) -> None:
    """400 writes of 64 to 256 bytes through BAR 1, each with data of its own, are all there for the copy engine.

    A failure with "not written" is a posted write that a bridge dropped: nobody is told of those.
    """
    window.write_pieces(400)


@pytest.mark.parametrize("nbytes", [1, 4, 64])
def test_the_last_bytes_of_the_window_can_be_read(window: Window, nbytes: int) -> None:
    """The end of BAR 1 answers, and the chip lives on: bridges' windows must be as long as the BAR.

    A failure means a bridge with a shorter memory window than the BAR behind it: accesses beyond end as all ones, or
    take the link down.
    """
    window.edge(nbytes)


def test_reads_past_the_end_are_refused(window: Window) -> None:
    """A read behind config space comes back with an error of the driver's.

    A failure means that a program's mistake reaches another device's registers.
    """
    assert window.past_the_end(), "4 bytes behind the end of config space: expected a refusal, seen an answer"


@pytest.mark.needs("window")
def test_memory_beyond_the_window_is_reached(window: Window) -> None:
    """A 256 MiB window is no limit: memory behind its end can be copied to and from, and does not wrap around into it.

    A larger window shows that memory, and not what lies at its beginning.

    Drivers that map all of VRAM through BAR 1 fail behind a tunnel, where no larger BAR fits.
    """
    window.beyond(64 * KIB)


@pytest.mark.quick
@pytest.mark.needs("window")
def test_every_way_to_the_data_shows_the_same(window: Window) -> None:
    """Sent H2D and moved D2D, the same bytes are seen D2H and through BAR 1.

    Where one way alone is wrong, that way is: the copy engine's read, its write, or the window.
    """
    window.paths(64 * KIB)
