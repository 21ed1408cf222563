"""Calls that a driver has to refuse: each must come back with an error code, and leave the device as it was."""

from __future__ import annotations

from collections.abc import Callable

from hil.bench.operations.session import Session, session
from hil.bench.worker import Context
from hil.errors import DriverError, UsageError
from hil.model import MIB

PIECE = MIB
"""Bytes of the buffers that the wrong calls are made with."""


def refused(context: Context, *, call: str) -> str:
    """Make the wrong call named `call`.

    Returns:
        The refusal in words; empty if the driver accepted it.

    Raises:
        UsageError: no such call is known.

    """
    if call not in WRONG_CALLS:
        raise UsageError(f"no wrong call {call!r}; known: {', '.join(WRONG_CALLS)}")
    try:
        WRONG_CALLS[call](session(context))
    except (DriverError, ValueError) as error:  # ValueError: the engine's own check, before the driver saw it
        return f"{type(error).__name__}: {error}"
    return ""


def _copy_past_the_end(work: Session) -> None:
    there, here = work.engine.alloc(PIECE), work.borrow(2 * PIECE)
    try:
        work.engine.upload(there, here, 2 * PIECE)
        work.engine.synchronize()
    finally:
        work.engine.free(there)
        work.give_back(here)


def _offset_past_the_end(work: Session) -> None:
    there, here = work.engine.alloc(PIECE), work.borrow(PIECE)
    try:
        work.engine.download(here, there, 1, src_offset=PIECE)
        work.engine.synchronize()
    finally:
        work.engine.free(there)
        work.give_back(here)


def _free_twice(work: Session) -> None:
    there = work.engine.alloc(PIECE)
    work.engine.free(there)
    work.engine.free(there)


def _copy_to_freed_memory(work: Session) -> None:
    there, here = work.engine.alloc(PIECE), work.borrow(PIECE)
    work.engine.free(there)
    try:
        work.engine.upload(there, here, PIECE)
        work.engine.synchronize()
    finally:
        work.give_back(here)


def _allocate_nothing(work: Session) -> None:
    work.engine.free(work.engine.alloc(0))


def _allocate_more_than_there_is(work: Session) -> None:
    _, total = work.engine.memory()
    work.engine.free(work.engine.alloc(total + PIECE))


WRONG_CALLS: dict[str, Callable[[Session], None]] = {
    "copy past the end": _copy_past_the_end,
    "offset past the end": _offset_past_the_end,
    "free twice": _free_twice,
    "copy to freed memory": _copy_to_freed_memory,
    "allocate nothing": _allocate_nothing,
    "allocate more than there is": _allocate_more_than_there_is,
}
"""By what is wrong with them."""
