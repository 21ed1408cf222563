"""A copy within one buffer whose source and destination overlap: as memmove does it, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hil.bench.operations.session import session
from hil.bench.operations.verdicts import verdict
from hil.errors import DriverError
from hil.integrity import fill, verify

if TYPE_CHECKING:
    from hil.bench.worker import Context

MOVED, LEAD = 13, 4096
"""Number of the buffer in the pattern; bytes that are left alone at both of its ends."""


def move(context: Context, *, nbytes: int, shift: int, epoch: int) -> dict[str, Any]:
    """Move `nbytes` bytes of a buffer by `shift` bytes, upwards if that is positive, and check the whole buffer.

    Returns:
        See `verdict`; and ``refused``: the driver's words, empty if it took the copy. Then the buffer has to be as it
        was.

    """
    work, engine = session(context), session(context).engine
    room = 2 * LEAD + nbytes + abs(shift)
    here, there = work.borrow(room), work.alloc(room)
    view = here.view[:room]
    fill(view, epoch=epoch, buffer_id=MOVED)
    engine.upload(there, here, room)
    engine.synchronize()
    source, target = LEAD + max(-shift, 0), LEAD + max(shift, 0)
    refused = ""
    try:
        engine.move(there, there, nbytes, src_offset=source, dst_offset=target)
        engine.synchronize()
    except DriverError as error:
        refused = str(error) or type(error).__name__
        target = source
    fill(view, epoch=epoch - 1, buffer_id=MOVED)
    engine.download(here, there, room)
    engine.synchronize()
    end = target + nbytes
    parts = [
        ("what was moved", target, end, source),
        ("what lies below", 0, target, 0),
        ("what lies above", end, room, end),
    ]
    checked = [
        (
            name,
            verify(view[first:last], epoch=epoch, buffer_id=MOVED, first_byte=belongs, unwritten_epoch=epoch - 1),
        )
        for name, first, last, belongs in parts
    ]
    view.release()
    engine.free(there)
    work.give_back(here)
    return {**verdict(checked), "refused": refused}
