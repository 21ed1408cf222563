"""Copies far into an allocation, and copies so large that 32 bits do not count them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hil.bench.operations.placing import DATA
from hil.bench.operations.session import session
from hil.bench.operations.verdicts import verdict
from hil.errors import OutOfMemory
from hil.integrity import fill, verify
from hil.model import GIB, KIB, size_text

if TYPE_CHECKING:
    from hil.bench.worker import Context

SPOT = 64 * KIB
"""Bytes of one copy."""


def spots(context: Context, *, offsets: list[int], epoch: int) -> dict[str, Any]:
    """Copy a spot of data across each of `offsets` in one allocation, all before the first is fetched, and check them.

    Returns:
        See `verdict`; and ``room``: why there is no allocation of that size, empty if there is.

    """
    work, engine = session(context), session(context).engine
    room = max(offsets) + SPOT
    try:
        there = work.alloc(room)
    except OutOfMemory as error:
        return {"intact": True, "room": str(error)}
    # The same 32 bits as each offset has: where a copy lands whose offset was cut short.
    begins = sorted({max(at % wrap - SPOT // 2, 0) for at in offsets for wrap in (room, 2 * GIB, 4 * GIB)})
    here = work.borrow(SPOT * len(begins))
    size = SPOT * len(begins)
    for number, begin in enumerate(begins):
        fill(here.view, epoch=epoch, buffer_id=DATA, first_byte=begin, offset=number * SPOT, nbytes=SPOT)
        engine.upload(there, here, SPOT, src_offset=number * SPOT, dst_offset=begin)
    engine.synchronize()
    fill(here.view[:size], epoch=epoch - 1, buffer_id=DATA)
    for number, begin in enumerate(begins):
        engine.download(here, there, SPOT, src_offset=begin, dst_offset=number * SPOT)
    engine.synchronize()
    checked = [
        (
            f"{size_text(SPOT)} at {begin:#x} of {size_text(room)}",
            verify(
                here.view[number * SPOT : (number + 1) * SPOT],
                epoch=epoch,
                buffer_id=DATA,
                first_byte=begin,
                address=begin,
                unwritten_epoch=epoch - 1,
            ),
        )
        for number, begin in enumerate(begins)
    ]
    engine.free(there)
    work.give_back(here)
    return {**verdict(checked), "room": ""}


def huge(context: Context, *, nbytes: int, epoch: int) -> dict[str, Any]:
    """One upload and one download of `nbytes` bytes, through one host buffer, and a check of every byte.

    Returns:
        As `spots`.

    """
    engine = session(context).engine
    if engine.in_host_memory:
        return {"intact": True, "room": f"its memory is the host's, which {size_text(2 * nbytes)} would fill"}
    try:
        there = engine.alloc(nbytes)
    except OutOfMemory as error:
        return {"intact": True, "room": str(error)}
    here = engine.host_alloc(nbytes)
    fill(here.view, epoch=epoch, buffer_id=DATA)
    engine.upload(there, here, nbytes)
    engine.synchronize()
    fill(here.view, epoch=epoch - 1, buffer_id=DATA)
    engine.download(here, there, nbytes)
    engine.synchronize()
    report = verify(here.view, epoch=epoch, buffer_id=DATA, unwritten_epoch=epoch - 1)
    engine.free(there)
    engine.host_free(here)
    return {**verdict([(f"one copy of {size_text(nbytes)}", report)]), "room": ""}
