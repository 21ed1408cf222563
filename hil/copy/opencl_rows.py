"""Pitched copies in OpenCL's words: origins, a region, row pitches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hil.model import Direction

if TYPE_CHECKING:
    from hil.copy.base import Rows


def rectangle(direction: Direction, shape: Rows) -> dict[str, Any]:
    """`shape` as pyopencl's arguments; a host buffer's offset is taken off beforehand."""
    region = (shape.row_bytes, shape.rows, 1)
    if direction is Direction.D2D:
        return {
            "src_origin": _origin(shape.src_offset, shape.src_pitch),
            "dst_origin": _origin(shape.dst_offset, shape.dst_pitch),
            "region": region,
            "src_pitches": (shape.src_pitch, 0),
            "dst_pitches": (shape.dst_pitch, 0),
        }
    up = direction is Direction.H2D
    offset, pitch, host = (
        (shape.dst_offset, shape.dst_pitch, shape.src_pitch)
        if up
        else (shape.src_offset, shape.src_pitch, shape.dst_pitch)
    )
    return {
        "buffer_origin": _origin(offset, pitch),
        "host_origin": (0, 0, 0),
        "region": region,
        "buffer_pitches": (pitch, 0),
        "host_pitches": (host, 0),
        "is_blocking": False,
    }


def _origin(offset: int, pitch: int) -> tuple[int, int, int]:
    """`offset` as a column and a row."""
    row, column = divmod(offset, pitch)
    return column, row, 0
