"""What a user of a device does while something happens to the device: hold memory, copy, and try to go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hil.bench.operations.session import Session, session
from hil.errors import BenchFault, HilError
from hil.integrity import fill, verify
from hil.model import to_dict

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.bench.worker import Context
    from hil.copy import DeviceBuffer, HostBuffer

MARK = 9
"""Number of the buffer in the pattern by which a user knows its own memory."""


@dataclass(slots=True)
class Held:
    """Memory that a user holds."""

    here: HostBuffer
    there: DeviceBuffer
    nbytes: int
    epoch: int


def hold(context: Context, *, nbytes: int, epoch: int) -> int:
    """Allocate `nbytes` bytes, fill them with the pattern of `epoch`, and keep them; the device address."""
    work = session(context)
    here, there = work.borrow(nbytes), work.alloc(nbytes)
    fill(here.view[:nbytes], epoch=epoch, buffer_id=MARK)
    work.engine.upload(there, here, nbytes)
    work.engine.synchronize()
    context.state["held"] = Held(here, there, nbytes, epoch)
    return there.address


def intact(context: Context) -> dict[str, Any]:
    """Fetch what `hold` left; the `Report` on it as a dict, with ``text`` for people."""
    work, held = session(context), _held(context)
    fill(held.here.view[: held.nbytes], epoch=held.epoch - 1, buffer_id=MARK)
    _download(work, held)
    report = verify(held.here.view[: held.nbytes], epoch=held.epoch, buffer_id=MARK, unwritten_epoch=held.epoch - 1)
    return {**to_dict(report), "text": report.text()}


def load(context: Context, *, nbytes: int, copies: int) -> int:
    """`copies` copies of `nbytes` bytes in each direction at once, waiting at the end; bytes moved."""
    work = session(context)
    up, down = work.borrow(nbytes), work.borrow(nbytes)
    there = [work.alloc(nbytes), work.alloc(nbytes)]
    for _ in range(copies):
        work.engine.upload(there[0], up, nbytes, stream=0)
        work.engine.download(down, there[1], nbytes, stream=1)
    work.engine.synchronize()
    for buffer in there:
        work.engine.free(buffer)
    work.give_back(up)
    work.give_back(down)
    return 2 * nbytes * copies


def go_on(context: Context) -> list[dict[str, Any]]:
    """Try to go on with a session whose device was lost, and with the memory that `hold` left.

    Returns:
        Of each call: ``call``, ``refusal`` in words (empty if it reported success), ``type`` of the error, its
        ``code``, and ``seconds`` of the host's clock.

    """
    work, held = session(context), _held(context)
    return [
        _tried(context, "memory info", work.engine.memory),
        _tried(context, "allocate", lambda: work.engine.alloc(held.nbytes)),
        _tried(context, "upload to memory of before", lambda: _upload(work, held)),
        _tried(context, "download from memory of before", lambda: _download(work, held)),
    ]


def _upload(work: Session, held: Held) -> None:
    work.engine.upload(held.there, held.here, held.nbytes)
    work.engine.synchronize()


def _download(work: Session, held: Held) -> None:
    work.engine.download(held.here, held.there, held.nbytes)
    work.engine.synchronize()


def _tried(context: Context, call: str, act: Callable[[], object]) -> dict[str, Any]:
    clock = context.host.clock
    start = clock.now()
    error: HilError | None = None
    try:
        act()
    except HilError as caught:
        error = caught
    return {
        "call": call,
        "refusal": "" if error is None else str(error) or type(error).__name__,
        "type": "" if error is None else type(error).__name__,
        "code": None if error is None else error.code,
        "seconds": clock.now() - start,
    }


def _held(context: Context) -> Held:
    found = context.state.get("held")
    if not isinstance(found, Held):
        raise BenchFault("this process holds no memory of the device: call held:hold first", device=context.device)
    return found
