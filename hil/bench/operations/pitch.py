"""Pitched copies: each row arrives where its pitch says, and what lies between the rows is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hil.bench.operations.session import session
from hil.bench.operations.verdicts import verdict
from hil.copy import Rows
from hil.integrity import fill, verify
from hil.model import Direction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hil.bench.worker import Context

    Bytes = NDArray[np.uint8]

DATA, SOURCE_PADDING, PADDING = 1, 14, 15
"""Numbers in the pattern: of the rows one behind the other, of what lies between them here and there."""


def rows(context: Context, *, direction: str, shape: dict[str, int], epoch: int, pinned: bool = True) -> dict[str, Any]:
    """Copy rows in `direction`, and check them and the padding of the destination.

    Args:
        context: of this process.
        direction: of the copy under test.
        shape: `Rows` as a dict.
        epoch: 2 … 4095, of the pattern.
        pinned: kind of host memory.

    Returns:
        See `verdict`.

    """
    work, way, grid = session(context), Direction(direction), Rows(**shape)
    engine = work.engine
    sizes = [grid.src_offset + grid.span(grid.src_pitch), grid.dst_offset + grid.span(grid.dst_pitch)]
    sizes[1] += grid.dst_pitch  # what a pitch too large would reach
    here, there = (work.borrow(size, pinned=pinned) for size in sizes)
    data, padding = _pattern(grid.rows * grid.row_bytes, DATA, epoch), _pattern(sizes[1], PADDING, epoch - 1)
    source, target = (
        np.frombuffer(buffer.view, np.uint8)[:size] for buffer, size in zip((here, there), sizes, strict=True)
    )
    source[:] = _pattern(sizes[0], SOURCE_PADDING, epoch)
    _rows(source, grid.src_offset, grid.src_pitch, grid)[:] = data.reshape(grid.rows, grid.row_bytes)
    target[:] = padding
    first, second = (work.alloc(size) for size in sizes)
    engine.upload(first, here, sizes[0])
    engine.upload(second, there, sizes[1])
    engine.synchronize()
    from_host, to_host = way is Direction.H2D, way is Direction.D2H
    engine.copy_rows(way, there if to_host else second, here if from_host else first, grid)
    engine.synchronize()
    if not to_host:
        target[:] = 0
        engine.download(there, second, sizes[1])
        engine.synchronize()
    arrived = _rows(target, grid.dst_offset, grid.dst_pitch, grid)
    got = arrived.copy()
    arrived[:] = _rows(padding, grid.dst_offset, grid.dst_pitch, grid)
    checked = [
        ("the rows, one behind the other", verify(got, epoch=epoch, buffer_id=DATA)),
        ("the padding around the rows", verify(target, epoch=epoch - 1, buffer_id=PADDING)),
    ]
    del source, target, arrived
    for memory in (first, second):
        engine.free(memory)
    for buffer in (here, there):
        work.give_back(buffer)
    return verdict(checked)


def _pattern(nbytes: int, number: int, epoch: int) -> Bytes:
    made = np.empty(nbytes, np.uint8)
    fill(made, epoch=epoch, buffer_id=number)
    return made


def _rows(memory: Bytes, offset: int, pitch: int, shape: Rows) -> Bytes:
    """The rows of `shape` in `memory`, as an array of two dimensions."""
    return np.lib.stride_tricks.as_strided(memory[offset:], (shape.rows, shape.row_bytes), (pitch, 1))
