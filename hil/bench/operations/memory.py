"""Device memory to its end and back."""

from __future__ import annotations

import resource
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from hil.bench.operations.session import session
from hil.copy import Rows
from hil.errors import OutOfMemory
from hil.integrity import decode, fill
from hil.model import MIB, Direction

IMPRINT = 7
"""Number of the buffer in the pattern that one owner leaves and the next must not see."""
PAGE = 4096

if TYPE_CHECKING:
    from hil.bench.worker import Context
    from hil.copy import CopyEngine, DeviceBuffer


def exhaust(context: Context, *, nbytes: int) -> dict[str, Any]:
    """Allocate pieces of `nbytes` bytes until the device refuses, then free them all.

    Returns:
        ``free_before``, ``free_after`` and ``total`` in bytes; ``pieces`` allocated; ``code``, ``refusal`` of the
        allocation that was refused (`None` where none was: more was given than there is).

    """
    engine = session(context).engine
    free_before, total = engine.memory()
    held: list[DeviceBuffer] = []
    code: int | str | None = None
    refusal: str | None = None
    try:
        while len(held) * nbytes <= total:
            held.append(engine.alloc(nbytes))
    except OutOfMemory as error:
        code, refusal = error.code, str(error)
    pieces = len(held)
    for buffer in held:
        engine.free(buffer)
    free_after, _ = engine.memory()
    return {
        "free_before": free_before,
        "free_after": free_after,
        "total": total,
        "pieces": pieces,
        "code": code,
        "refusal": refusal,
    }


def cycle(context: Context, *, nbytes: int, cycles: int, copied: int = 0, moved: int = 0) -> dict[str, int]:
    """Allocate and free `nbytes` bytes `cycles` times, never two at once.

    Args:
        context: of this process.
        nbytes: of each allocation.
        cycles: how often.
        copied: bytes that are sent there and waited for each time; 0 = none.
        moved: bytes that are moved within the device, and waited for, each time; 0 = none. Into what is freed, as
            rows into it (where the engine has pitched copies), out of it, as rows out of it, in turn.

    Returns:
        ``free_before``, ``free_after`` in bytes.

    """
    work = session(context)
    here = work.borrow(copied) if copied else None
    stays = work.alloc(moved) if moved else None
    free_before, _ = work.engine.memory()
    for turn in range(cycles):
        there = work.engine.alloc(nbytes)
        if here is not None:
            work.engine.upload(there, here, copied)
            work.engine.synchronize()
        if stays is not None:
            source, target = (there, stays) if turn & 2 else (stays, there)
            _move(work.engine, target, source, moved, pitched=bool(turn & 1))
            work.engine.synchronize()
        work.engine.free(there)
    free_after, _ = work.engine.memory()
    if here is not None:
        work.give_back(here)
    if stays is not None:
        work.engine.free(stays)
    return {"free_before": free_before, "free_after": free_after}


def _move(card: CopyEngine, target: DeviceBuffer, source: DeviceBuffer, nbytes: int, *, pitched: bool) -> None:
    """Move `nbytes` bytes within the device, as two rows where that is wanted and can be."""
    if pitched and card.pitched:
        half = nbytes // 2
        card.copy_rows(Direction.D2D, target, source, Rows(row_bytes=half, rows=2, src_pitch=half, dst_pitch=half))
    else:
        card.move(target, source, nbytes)


def host_cycle(context: Context, *, nbytes: int, cycles: int) -> dict[str, int]:
    """Allocate, touch and free `nbytes` bytes of pinned host memory `cycles` times, never two at once.

    Returns:
        ``grown``: bytes by which the most memory that this process ever had has grown over all but the first tenth
        of the cycles; ``free_before``, ``free_after``: device memory, which pinning must not cost.

    """
    card = session(context).engine
    free_before, _ = card.memory()
    peak = 0
    for n in range(cycles):
        here = card.host_alloc(nbytes, pinned=True)
        for page in range(0, nbytes, PAGE):
            here.view[page] = 1  # a page that nobody touched costs nothing
        card.host_free(here)
        if n == cycles // 10:
            peak = _peak()
    return {"grown": _peak() - peak, "free_before": free_before, "free_after": card.memory()[0]}


def refill(context: Context, *, pieces: int) -> dict[str, Any]:
    """Fill the card with about `pieces` allocations, free every second one, and fill the gaps again.

    Returns:
        ``gaps`` that were made, ``filled`` again; ``whole``: whether half of all memory can be had in one piece once
        all is freed; ``free_before``, ``free_after`` in bytes.

    """
    card = session(context).engine
    free_before, _ = card.memory()
    size = max(free_before // pieces // MIB, 1) * MIB
    held = _filled(card, size, 2 * pieces)
    gaps = held[::2]
    for buffer in gaps:
        card.free(buffer)
    again = _filled(card, size, len(gaps))
    for buffer in (*held[1::2], *again):
        card.free(buffer)
    half = _filled(card, free_before // 2, 1)
    for buffer in half:
        card.free(buffer)
    return {
        "gaps": len(gaps),
        "filled": len(again),
        "whole": bool(half),
        "free_before": free_before,
        "free_after": card.memory()[0],
    }


def _filled(card: CopyEngine, nbytes: int, most: int) -> list[DeviceBuffer]:
    held: list[DeviceBuffer] = []
    try:
        while len(held) < most:
            held.append(card.alloc(nbytes))
    except OutOfMemory:
        pass
    return held


def _peak() -> int:
    """Bytes of memory that this process had at the most; Linux counts KiB, macOS bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most << 10


def fragment(context: Context, *, nbytes: int, pieces: int) -> dict[str, Any]:
    """Allocate `pieces` of `nbytes` bytes, free every second one, then ask for two at once in all the gaps.

    Returns:
        ``overlaps``: pairs of live allocations that share an address; ``free_before``, ``free_after`` in bytes.

    """
    engine = session(context).engine
    free_before, _ = engine.memory()
    held = [engine.alloc(nbytes) for _ in range(pieces)]
    for buffer in held[::2]:
        engine.free(buffer)
    held = held[1::2] + [engine.alloc(2 * nbytes) for _ in range(pieces // 4)]
    ranges = sorted((buffer.address, buffer.address + buffer.nbytes) for buffer in held)
    overlaps = sum(end > start for (_, end), (start, _) in pairwise(ranges))
    for buffer in held:
        engine.free(buffer)
    return {"overlaps": overlaps, "free_before": free_before, "free_after": engine.memory()[0]}


def imprint(context: Context, *, nbytes: int, epoch: int) -> int:
    """Fill `nbytes` bytes of fresh device memory with the pattern of `epoch`, and keep them allocated."""
    work = session(context)
    here, there = work.borrow(nbytes), work.alloc(nbytes)
    fill(here.view[:nbytes], epoch=epoch, buffer_id=IMPRINT)
    work.engine.upload(there, here, nbytes)
    work.engine.synchronize()
    work.give_back(here)
    context.state[f"imprint {there.address}"] = there
    return there.address


def forget_imprint(context: Context, *, address: int) -> None:
    """Free what `imprint` left at device address `address` by a call; the session stays open."""
    session(context).engine.free(cast("DeviceBuffer", context.state.pop(f"imprint {address}")))


def find_imprint(context: Context, *, nbytes: int, epoch: int) -> int:
    """Pages of fresh memory of `nbytes` bytes that begin with the pattern of `epoch`: somebody else's data."""
    work = session(context)
    here, there = work.borrow(nbytes), work.alloc(nbytes)
    work.engine.download(here, there, nbytes)
    work.engine.synchronize()
    words = np.frombuffer(here.view[: nbytes - nbytes % 8], dtype="<u8")
    # One word a page is enough to find a page that was not cleared, and decoding is slow.
    origins = (decode(int(word)) for word in words[:: PAGE // 8])
    found = sum(origin is not None and origin.epoch == epoch for origin in origins)
    del words
    work.engine.free(there)
    work.give_back(here)
    return found
