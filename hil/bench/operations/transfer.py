"""Copies whose every byte is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hil.bench.operations.session import session
from hil.integrity import GUARD_BYTES, check_guards, fill, fill_guards, picture, verify
from hil.model import to_dict

if TYPE_CHECKING:
    from hil.bench.operations.session import Session
    from hil.bench.worker import Context
    from hil.copy import DeviceBuffer, HostBuffer
    from hil.integrity import Finding

SENT = 1
"""Number of the sending buffer in the pattern."""
SENT_GUARD, RECEIVED_GUARD, FIRST_GUARD = 255, 254, 252
"""Numbers of the guard zones: of the host's two buffers, and of the device's first one; the second has the next."""


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

    Guard zones lie around all buffers, the device's too. What came back is checked first, then the guards.

    Args:
        context: of this process.
        nbytes: bytes to send.
        epoch: 1 … 4095, of the pattern; the buffer that receives holds the one before.
        pinned: kind of host memory.
        src_offset: where in the host's sending buffer the copy begins.
        dst_offset: where in the device's buffer it lands.
        via_device: move it within the device to a second buffer before fetching it.

    Returns:
        The `Report` of the received bytes and of the guards as a dict, with ``text`` for people, and where it is not
        intact, ``picture``: an SVG.

    """
    work = session(context)
    engine = work.engine
    room = 2 * GUARD_BYTES + nbytes
    sent, received = work.borrow(room + src_offset, pinned=pinned), work.borrow(room, pinned=pinned)
    ours, theirs = sent.view[: room + src_offset], received.view[:room]
    data, back = src_offset + nbytes, slice(GUARD_BYTES, GUARD_BYTES + nbytes)
    fill_guards(ours, GUARD_BYTES, data, epoch=epoch - 1, buffer_id=SENT_GUARD)
    fill(ours, epoch=epoch, buffer_id=SENT, offset=GUARD_BYTES, nbytes=data)
    fill_guards(theirs, GUARD_BYTES, nbytes, epoch=epoch - 1, buffer_id=RECEIVED_GUARD)
    fill(theirs[back], epoch=epoch - 1, buffer_id=SENT, first_byte=src_offset)
    zones = [_Zones(work, number, GUARD_BYTES + dst_offset, nbytes, epoch - 1) for number in range(1 + via_device)]
    there, lead = [zone.memory for zone in zones], GUARD_BYTES + dst_offset
    engine.upload(there[0], sent, nbytes, src_offset=GUARD_BYTES + src_offset, dst_offset=lead)
    if via_device:
        engine.move(there[1], there[0], nbytes, src_offset=lead, dst_offset=lead)
    engine.download(received, there[-1], nbytes, src_offset=lead, dst_offset=GUARD_BYTES)
    for zone in zones:
        zone.fetch()
    engine.synchronize()
    report = verify(theirs[back], epoch=epoch, buffer_id=SENT, first_byte=src_offset, unwritten_epoch=epoch - 1)
    report = report.with_findings(
        (
            *check_guards(
                theirs, GUARD_BYTES, nbytes, epoch=epoch - 1, buffer_id=RECEIVED_GUARD, name="the receiving buffer"
            ),
            *check_guards(ours, GUARD_BYTES, data, epoch=epoch - 1, buffer_id=SENT_GUARD, name="the sending buffer"),
            *(finding for zone in zones for finding in zone.check()),
        )
    )
    for zone in zones:
        zone.free()
    ours.release()
    theirs.release()
    work.give_back(sent)
    work.give_back(received)
    told = {**to_dict(report), "text": report.text()}
    return told if report.intact else {**told, "picture": picture(report)}


class _Zones:
    """A device buffer for `nbytes` bytes, with guard zones on both sides; copies of the zones in host memory."""

    def __init__(self, work: Session, number: int, lead: int, nbytes: int, epoch: int) -> None:
        """Allocate, and fill the zones: `lead` bytes below the data, `GUARD_BYTES` behind them."""
        self._work, self._number, self._lead, self._nbytes, self._epoch = work, number, lead, nbytes, epoch
        self._copy: HostBuffer = work.borrow(lead + GUARD_BYTES)
        self._view = self._copy.view[: lead + GUARD_BYTES]
        self.memory: DeviceBuffer = work.alloc(lead + nbytes + GUARD_BYTES)
        fill_guards(self._view, lead, 0, epoch=epoch, buffer_id=FIRST_GUARD + number)
        work.engine.upload(self.memory, self._copy, lead)
        work.engine.upload(self.memory, self._copy, GUARD_BYTES, src_offset=lead, dst_offset=lead + nbytes)

    def fetch(self) -> None:
        """Submit copies of the zones back to the host."""
        engine, end = self._work.engine, self._lead + self._nbytes
        engine.download(self._copy, self.memory, self._lead)
        engine.download(self._copy, self.memory, GUARD_BYTES, src_offset=end, dst_offset=self._lead)

    def check(self) -> tuple[Finding, ...]:
        """What was written into the zones."""
        return check_guards(
            self._view,
            self._lead,
            0,
            epoch=self._epoch,
            buffer_id=FIRST_GUARD + self._number,
            absent=self._nbytes,
            name="the device's buffer" if not self._number else "the device's second buffer",
        )

    def free(self) -> None:
        """Give the memory back."""
        self._work.engine.free(self.memory)
        self._view.release()
        self._work.give_back(self._copy)


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
