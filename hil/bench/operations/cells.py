"""Marks all over a card's memory: every allocation and every address bit leads to cells of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hil.bench.operations.session import Session, session
from hil.errors import OutOfMemory
from hil.integrity import decode, fill
from hil.model import MIB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.bench.worker import Context
    from hil.copy import DeviceBuffer

MARK = 64
"""Bytes: a cache line, eight words that say which mark they belong to."""
CELLS = 31
"""Number of the buffer in the pattern."""
Place = tuple["DeviceBuffer", int]
"""A buffer, and a mark's offset in it."""


def full_card(context: Context, *, pieces: int, epoch: int) -> dict[str, Any]:
    """Fill the card with about `pieces` allocations, mark both ends of each, and read all marks back.

    Returns:
        ``held``: allocations; ``left``: bytes that were still free; ``wrong``: marks that are not as they were
        written, one sentence each.

    """
    work = session(context)
    size = max(work.engine.memory()[0] // pieces // MIB, 1) * MIB
    held: list[DeviceBuffer] = []
    try:
        try:
            while len(held) <= 2 * pieces:
                held.append(work.alloc(size))
        except OutOfMemory:
            pass
        left = work.engine.memory()[0]
        wrong = _marked(work, [(buffer, offset) for buffer in held for offset in (0, size - MARK)], epoch)
    finally:
        for buffer in held:
            work.engine.free(buffer)
    return {"held": len(held), "left": left, "wrong": wrong}


def address_bits(context: Context, *, epoch: int) -> dict[str, Any]:
    """In the largest allocation that can be had, mark cells whose addresses differ in one bit, and read them back.

    Returns:
        ``nbytes`` of the allocation; ``bits`` of the address that were told apart; ``wrong`` as `full_card`.

    """
    work = session(context)
    buffer = _largest(work)
    try:
        start, end = buffer.address, buffer.address + buffer.nbytes
        anchors = [1 << (start - 1).bit_length() if start else 0, _roundest(start, end)]
        pairs = {
            (anchor, anchor ^ 1 << bit): bit
            for anchor in anchors
            for bit in range(MARK.bit_length() - 1, (end - 1).bit_length())
            if start <= anchor <= end - MARK and start <= anchor ^ 1 << bit <= end - MARK
        }
        cells = sorted({cell for pair in pairs for cell in pair} | {start, end - MARK})
        wrong = _marked(work, [(buffer, cell - start) for cell in cells], epoch)
    finally:
        work.engine.free(buffer)
    return {"nbytes": buffer.nbytes, "bits": sorted(set(pairs.values())), "wrong": wrong}


def _marked(work: Session, places: Sequence[Place], epoch: int) -> list[str]:
    """Write a mark to each of `places`, all before the first is read; what is wrong, one sentence each."""
    engine, nbytes = work.engine, MARK * len(places)
    here, back = work.borrow(nbytes), work.borrow(nbytes)
    fill(here.view[:nbytes], epoch=epoch, buffer_id=CELLS)
    back.view[:nbytes] = bytes(nbytes)
    for number, (buffer, offset) in enumerate(places):
        engine.upload(buffer, here, MARK, src_offset=number * MARK, dst_offset=offset)
    engine.synchronize()
    for number, (buffer, offset) in enumerate(places):
        engine.download(back, buffer, MARK, src_offset=offset, dst_offset=number * MARK)
    engine.synchronize()
    sent, seen = bytes(here.view[:nbytes]), bytes(back.view[:nbytes])
    work.give_back(here)
    work.give_back(back)
    wrong = []
    for number, place in enumerate(places):
        part = slice(number * MARK, (number + 1) * MARK)
        if sent[part] != seen[part]:
            wrong.append(f"the mark at {_address(place):#x} is wrong: {_instead(seen[part], places, epoch)}")
    return wrong


def _instead(data: bytes, places: Sequence[Place], epoch: int) -> str:
    words = np.frombuffer(data, dtype="<u8")
    origins = [decode(int(word)) for word in words]
    theirs = {o.index * 8 // MARK for o in origins if o is not None and o.epoch == epoch and o.buffer_id == CELLS}
    others = sorted(number for number in theirs if number < len(places))
    if len(others) == 1:
        return f"it holds the mark that was written to {_address(places[others[0]]):#x}"
    if not words.any():
        return "it reads as zeros"
    return f"it reads {data[:16].hex(' ')} …"


def _address(place: Place) -> int:
    return place[0].address + place[1]


def _largest(work: Session) -> DeviceBuffer:
    size = work.engine.memory()[0] // MIB * MIB
    while True:
        try:
            return work.alloc(size)
        except OutOfMemory:
            if size <= MIB:
                raise
            size = max(size * 15 // 16 // MIB, 1) * MIB


def _roundest(start: int, end: int) -> int:
    """The address in ``start … end`` with the most trailing zero bits."""
    for bit in reversed(range(end.bit_length())):
        found = -(-max(start, 1) // (1 << bit)) * (1 << bit)
        if found < end:
            return found
    return start
