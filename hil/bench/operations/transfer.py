"""Copies whose every byte is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hil.bench.operations.session import session
from hil.integrity import fill, verify
from hil.model import to_dict

if TYPE_CHECKING:
    from hil.bench.worker import Context

SENT = 1
"""Number of the sending buffer in the pattern."""


def round_trip(
    context: Context,
    *,
    nbytes: int,
    epoch: int,
    pinned: bool = True,
    src_offset: int = 0,
    dst_offset: int = 0,
    via_device: bool = False,
) -> dict[str, Any]:
    """Send a pattern to the device and fetch it back into a buffer that held another.

    Args:
        context: of this process.
        nbytes: bytes to send.
        epoch: 1 … 4095, of the pattern; the buffer that receives holds the one before.
        pinned: kind of host memory.
        src_offset: where in the host's sending buffer the copy begins.
        dst_offset: where in the device's buffer it lands.
        via_device: move it within the device to a second buffer before fetching it.

    Returns:
        The `Report` of the received bytes as a dict, with ``text`` for people.

    """
    work = session(context)
    engine = work.engine
    span = nbytes + max(src_offset, dst_offset)
    sent, received = work.borrow(span, pinned=pinned), work.borrow(span, pinned=pinned)
    there = [work.alloc(span) for _ in range(1 + via_device)]
    fill(sent.view[: nbytes + src_offset], epoch=epoch, buffer_id=SENT)
    fill(received.view[:nbytes], epoch=epoch - 1, buffer_id=SENT, first_byte=src_offset)
    engine.upload(there[0], sent, nbytes, src_offset=src_offset, dst_offset=dst_offset)
    if via_device:
        engine.move(there[1], there[0], nbytes, src_offset=dst_offset, dst_offset=dst_offset)
    engine.download(received, there[-1], nbytes, src_offset=dst_offset)
    engine.synchronize()
    report = verify(
        received.view[:nbytes], epoch=epoch, buffer_id=SENT, first_byte=src_offset, unwritten_epoch=epoch - 1
    )
    for buffer in there:
        engine.free(buffer)
    work.give_back(sent)
    work.give_back(received)
    return {**to_dict(report), "text": report.text()}


def repeat(context: Context, *, nbytes: int, copies: int, epoch: int) -> int:
    """Upload the same buffer `copies` times, waiting once at the end: something to pull a cable out of.

    Returns:
        Bytes sent.

    """
    work = session(context)
    buffer, there = work.borrow(nbytes), work.alloc(nbytes)
    fill(buffer.view[:nbytes], epoch=epoch, buffer_id=SENT)
    for _ in range(copies):
        work.engine.upload(there, buffer, nbytes)
    work.engine.synchronize()
    work.engine.free(there)
    work.give_back(buffer)
    return nbytes * copies
