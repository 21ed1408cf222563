"""Pitched copies: rows out of a wider rectangle into another one, as images and matrices are copied."""

from __future__ import annotations

import pytest

from hil.fixtures.copies import Copies
from hil.model import KIB, MIB

pytestmark = pytest.mark.severity("blocker")
DIRECTIONS = ["H2D", "D2H", "D2D"]


@pytest.mark.quick
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_rows_of_a_matrix_arrive_and_its_padding_stays(copies: Copies, direction: str) -> None:
    """200 rows of 1000 bytes, 1024 apart at the source and 1280 at the destination.

    A copy engine takes pitches as numbers of its own. Taken from the wrong end, or rounded, each row lies further from
    its place than the one before; copied as one block, the padding of the source arrives, too.
    """
    copies.rows(direction, row_bytes=1000, rows=200, src_pitch=1024, dst_pitch=1280)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    ("row_bytes", "rows", "src_pitch", "dst_pitch"),
    [
        (1, 64, 64, 7),
        (64, 33, 64, 64),
        (4097, 31, 8192, 4352),
        (257, 1, 300, 257),
        (64 * KIB + 3, 40, 96 * KIB, 66 * KIB),
        (24, 4099, 32, 28),
        pytest.param(24, 65537, 32, 28, marks=pytest.mark.grid),
    ],
)
def test_rows_of_odd_shapes_arrive(
    copies: Copies, direction: str, row_bytes: int, rows: int, src_pitch: int, dst_pitch: int
) -> None:
    """A column of bytes, rows without padding, one row alone, rows longer than a page, thousands of rows.

    Limits of 2D descriptors. A failure at one shape points at how the driver cuts it: a column is often done byte by
    byte, rows without padding as one block. More rows than 16 bits count are for ``-m grid``.
    """
    copies.rows(direction, row_bytes=row_bytes, rows=rows, src_pitch=src_pitch, dst_pitch=dst_pitch)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_an_unaligned_rectangle_arrives(copies: Copies, direction: str) -> None:
    """A rectangle that begins in the middle of a row, at odd offsets on both sides: a part of an image.

    A failure points at how row and column become an address.
    """
    copies.rows(direction, row_bytes=509, rows=96, src_pitch=1021, dst_pitch=701, src_offset=63, dst_offset=7)


def test_rows_from_pageable_memory_arrive(copies: Copies) -> None:
    """Staging has to keep the pitch of the source: 2 MiB of rows, more than one staging buffer holds with padding."""
    copies.rows(
        "H2D", row_bytes=16 * KIB, rows=2 * MIB // (16 * KIB), src_pitch=24 * KIB, dst_pitch=20 * KIB, pinned=False
    )


def test_rows_into_pageable_memory_arrive(copies: Copies) -> None:
    """The way back: what comes out of staging has to be laid out with the pitch of the destination.

    A failure here, and not with pinned memory, is in that step: it takes the source's pitch, or loses a row's end.
    """
    copies.rows(
        "D2H", row_bytes=16 * KIB, rows=2 * MIB // (16 * KIB), src_pitch=24 * KIB, dst_pitch=20 * KIB, pinned=False
    )
