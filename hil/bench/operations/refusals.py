"""Calls that a driver has to refuse: each must come back with an error code, and leave the device as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hil.bench.operations.session import Session, session
from hil.bench.worker import Context
from hil.copy import engine
from hil.errors import DeviceGone, DriverError, UsageError
from hil.model import MIB

PIECE = MIB
"""Bytes of the buffers that the wrong calls are made with."""
NOBODY = "4096"
"""A device that no host has."""


def refused(context: Context, *, call: str) -> dict[str, Any]:
    """Make the wrong call named `call`.

    Returns:
        ``refused``: whether it was; ``kind`` and ``code`` of the error, ``text``. Of a refusal by the engine itself,
        before the driver saw the call, ``kind`` is ``ValueError`` and ``code`` `None`.

    Raises:
        UsageError: no such call is known.

    """
    if call not in WRONG_CALLS:
        raise UsageError(f"no wrong call {call!r}; known: {', '.join(WRONG_CALLS)}")
    try:
        WRONG_CALLS[call](session(context), context)
    except (DriverError, DeviceGone, ValueError) as error:
        return {
            "refused": True,
            "kind": type(error).__name__,
            "code": getattr(error, "code", None),
            "text": str(error),
        }
    return {"refused": False, "kind": "", "code": None, "text": "the driver accepted it"}


def _copy_past_the_end(work: Session, _context: Context) -> None:
    there, here = work.engine.alloc(PIECE), work.borrow(2 * PIECE)
    try:
        work.engine.upload(there, here, 2 * PIECE)
        work.engine.synchronize()
    finally:
        work.engine.free(there)
        work.give_back(here)


def _offset_past_the_end(work: Session, _context: Context) -> None:
    there, here = work.engine.alloc(PIECE), work.borrow(PIECE)
    try:
        work.engine.download(here, there, 1, src_offset=PIECE)
        work.engine.synchronize()
    finally:
        work.engine.free(there)
        work.give_back(here)


def _free_twice(work: Session, _context: Context) -> None:
    there = work.engine.alloc(PIECE)
    work.engine.free(there)
    work.engine.free(there)


def _copy_to_freed_memory(work: Session, _context: Context) -> None:
    there, here = work.engine.alloc(PIECE), work.borrow(PIECE)
    work.engine.free(there)
    try:
        work.engine.upload(there, here, PIECE)
        work.engine.synchronize()
    finally:
        work.give_back(here)


def _allocate_nothing(work: Session, _context: Context) -> None:
    work.engine.free(work.engine.alloc(0))


def _allocate_more_than_there_is(work: Session, _context: Context) -> None:
    _, total = work.engine.memory()
    work.engine.free(work.engine.alloc(total + PIECE))


def _allocate_as_good_as_all_addresses(work: Session, _context: Context) -> None:
    work.engine.free(work.engine.alloc((1 << 63) - 1))


def _use_freed_host_memory(work: Session, _context: Context) -> None:
    there, here = work.engine.alloc(PIECE), work.engine.host_alloc(PIECE)
    work.engine.host_free(here)
    try:
        work.engine.upload(there, here, PIECE)
        work.engine.synchronize()
    finally:
        work.engine.free(there)


def _open_what_is_not_there(work: Session, context: Context) -> None:
    engine(work.engine.name).open(context.host, NOBODY).close()


WRONG_CALLS: dict[str, Callable[[Session, Context], None]] = {
    "copy past the end": _copy_past_the_end,
    "offset past the end": _offset_past_the_end,
    "free twice": _free_twice,
    "copy to freed memory": _copy_to_freed_memory,
    "allocate nothing": _allocate_nothing,
    "allocate more than there is": _allocate_more_than_there_is,
    "allocate as good as all addresses": _allocate_as_good_as_all_addresses,
    "use freed host memory": _use_freed_host_memory,
    "open what is not there": _open_what_is_not_there,
}
"""By what is wrong with them."""
