"""One rung of a ladder of copies: one direction, one size, nothing else under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.bench.operations.session import session
from hil.integrity import fill, verify
from hil.model import Direction, size_text

if TYPE_CHECKING:
    from hil.bench.worker import Context

SENT, HELD = 41, 42
"""Numbers of the buffers in the pattern."""
SPOT = 64
"""Bytes that are looked at in one place."""
SPOTS = 33
"""Places that are looked at: the whole of a copy is the transfer suite's business."""


def rung(context: Context, *, direction: str, nbytes: int, epoch: int) -> list[str]:
    """Copy `nbytes` bytes in `direction`, and look at them in `SPOTS` places, both ends among them.

    Returns:
        What is wrong, one sentence a place.

    """
    work = session(context)
    context.progress(f"{direction} {size_text(nbytes)}")
    spots = _spots(nbytes)
    there, here = work.alloc(nbytes), work.borrow(nbytes)
    # The other end's spots go with copies of their own, no larger than the smallest rung before.
    small = work.borrow(SPOT)
    if direction == Direction.H2D:
        for offset, size in spots:
            fill(here.view[offset : offset + size], epoch=epoch, buffer_id=SENT, first_byte=offset)
        work.engine.upload(there, here, nbytes)
        work.engine.synchronize()
    else:
        for offset, size in spots:
            fill(small.view[:size], epoch=epoch, buffer_id=SENT, first_byte=offset)
            work.engine.upload(there, small, size, dst_offset=offset)
            work.engine.synchronize()
            fill(here.view[offset : offset + size], epoch=epoch, buffer_id=HELD)
        work.engine.download(here, there, nbytes)
        work.engine.synchronize()
    wrong = []
    for offset, size in spots:
        view = here.view[offset : offset + size]
        if direction == Direction.H2D:
            view = small.view[:size]
            fill(view, epoch=epoch, buffer_id=HELD)
            work.engine.download(small, there, size, src_offset=offset)
            work.engine.synchronize()
        report = verify(view, epoch=epoch, buffer_id=SENT, first_byte=offset)
        if not report.intact:
            wrong.append(f"at {offset:#x}: {report.text()}")
        view.release()
    work.engine.free(there)
    work.give_back(here)
    work.give_back(small)
    return wrong


def _spots(nbytes: int) -> list[tuple[int, int]]:
    """Offsets and sizes of the places to look at, in bytes."""
    if nbytes <= SPOT:
        return [(0, nbytes)]
    last = nbytes - SPOT
    # On whole words of the pattern, so that a place that is wrong tells what it holds instead.
    return [(offset, SPOT) for offset in sorted({n * last // (SPOTS - 1) // 8 * 8 for n in range(SPOTS)})]
