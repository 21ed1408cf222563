"""Several streams at once, in both directions and within the device: each one's data stay its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hil.bench.operations.session import Session, session
from hil.bench.operations.verdicts import verdict
from hil.integrity import Report, fill, verify
from hil.model import KIB, MIB, Direction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.bench.worker import Context
    from hil.copy import DeviceBuffer, HostBuffer

OTHERS = (1, 64 * KIB, 2 * MIB + 1, 32 * MIB)
"""Bytes that are allocated and freed meanwhile: of each of the driver's pages, and of several."""
FIRST = 16
"""Number of the first stream's data in the pattern; the next has the next."""


@dataclass(slots=True)
class Lane:
    """One stream, and the memory that it copies from and to."""

    number: int
    direction: Direction
    host: HostBuffer
    source: DeviceBuffer | None
    target: DeviceBuffer

    def __str__(self) -> str:
        return f"{self.direction} on stream {self.number}"


def crossing(
    context: Context, *, directions: list[str], nbytes: int, pieces: int, epoch: int, pinned: bool = True
) -> dict[str, Any]:
    """Let a stream of each of `directions` copy `nbytes` bytes in `pieces` at once with the others, and check all.

    The copies are submitted in turn, a piece of each stream, without waiting. Where a stream's data go to lies older
    data of its own; what it copies from is its own, too.

    Args:
        context: of this process.
        directions: one a stream.
        nbytes: of each stream; a multiple of `pieces`.
        pieces: copies of each stream.
        epoch: 2 … 4095, of the pattern.
        pinned: kind of host memory.

    Returns:
        See `verdict`; a part is a stream.

    """
    work, engine = session(context), session(context).engine
    lanes = [_lane(work, n, Direction(way), nbytes, epoch, pinned=pinned) for n, way in enumerate(directions)]
    size = nbytes // pieces
    for at in range(0, nbytes, size):
        for lane in lanes:
            _copy(work, lane, at, size)
    engine.synchronize()
    checked: list[tuple[str, Report]] = [(str(lane), _arrived(work, lane, nbytes, epoch)) for lane in lanes]
    _free(work, lanes)
    return verdict(checked)


def amid_allocations(
    context: Context, *, directions: list[str], nbytes: int, pieces: int, epoch: int
) -> dict[str, Any]:
    """As `crossing`, with other memory allocated and freed behind each piece, and some that is only held meanwhile.

    Returns:
        See `verdict`; a part is a stream, or the memory that was held.

    """
    work = session(context)
    lanes = [_lane(work, n, Direction(way), nbytes, epoch, pinned=True) for n, way in enumerate(directions)]
    held = _lane(work, len(lanes), Direction.D2H, nbytes, epoch, pinned=True)
    size = nbytes // pieces
    for at in range(0, nbytes, size):
        for lane in lanes:
            _copy(work, lane, at, size)
        others = [work.alloc(room) for room in OTHERS]
        for other in others:
            work.engine.free(other)
    work.engine.synchronize()
    checked: list[tuple[str, Report]] = [(str(lane), _arrived(work, lane, nbytes, epoch)) for lane in lanes]
    _copy(work, held, 0, nbytes)
    work.engine.synchronize()
    checked.append(("memory that was held and not copied to", _arrived(work, held, nbytes, epoch)))
    _free(work, [*lanes, held])
    return verdict(checked)


def _free(work: Session, lanes: Sequence[Lane]) -> None:
    for lane in lanes:
        for buffer in filter(None, (lane.source, lane.target)):
            work.engine.free(buffer)
        work.give_back(lane.host)


def _lane(work: Session, number: int, way: Direction, nbytes: int, epoch: int, *, pinned: bool) -> Lane:
    host, target = work.borrow(nbytes, pinned=pinned), work.alloc(nbytes)
    source = work.alloc(nbytes) if way is Direction.D2D else None
    _fill(host, nbytes, epoch - 1, number)
    if way is not Direction.D2H:
        work.engine.upload(target, host, nbytes)
        work.engine.synchronize()
    _fill(host, nbytes, epoch, number)
    if way is not Direction.H2D:
        work.engine.upload(source or target, host, nbytes)
        work.engine.synchronize()
        _fill(host, nbytes, epoch - 1, number)
    return Lane(number, way, host, source, target)


def _copy(work: Session, lane: Lane, at: int, size: int) -> None:
    place = {"dst_offset": at, "src_offset": at, "stream": lane.number}
    if lane.source is not None:
        work.engine.move(lane.target, lane.source, size, **place)
    elif lane.direction is Direction.H2D:
        work.engine.upload(lane.target, lane.host, size, **place)
    else:
        work.engine.download(lane.host, lane.target, size, **place)


def _arrived(work: Session, lane: Lane, nbytes: int, epoch: int) -> Report:
    if lane.direction is not Direction.D2H:
        _fill(lane.host, nbytes, epoch - 1, lane.number)
        work.engine.download(lane.host, lane.target, nbytes)
        work.engine.synchronize()
    return verify(lane.host.view[:nbytes], epoch=epoch, buffer_id=FIRST + lane.number, unwritten_epoch=epoch - 1)


def _fill(host: HostBuffer, nbytes: int, epoch: int, number: int) -> None:
    fill(host.view[:nbytes], epoch=epoch, buffer_id=FIRST + number)
