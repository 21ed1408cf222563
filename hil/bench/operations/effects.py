"""Calls that a driver reports as done: whether what they promise has happened. One function a call.

Each returns an empty text, or what was expected and what was seen instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.bench.operations.session import Session, close_session, session
from hil.copy import engine
from hil.errors import HilError
from hil.integrity import fill, verify
from hil.model import MIB, size_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.bench.worker import Context
    from hil.copy import DeviceBuffer, HostBuffer

PIECE = 4 * MIB
"""Bytes that calls are tried with: more than a staging buffer takes, and a matter of milliseconds."""
TAKEN = 64 * MIB
"""Bytes of the allocation whose cost is looked at."""
SLACK = 4 * MIB
"""Bytes that an allocation may cost beyond what was asked: pages of 2 MiB, and the tables that map them."""
SMALL = 64 << 10
FASTEST = 1e12
"""bytes/s that no copy reaches here: one that seems to was not done."""
REST = 1.0
"""Seconds over which the two clocks are compared: copies are over too soon for that, and cost the host time."""
CLOCKS_DIFFER, LATE = 0.02, 0.04
"""By which share they may differ, a hundred times what quartzes do; and so many seconds more, for marks that a busy
host submits late."""
_OLD, _NEW, _EMPTY = 21, 22, 23


def opening(context: Context, *, epoch: int) -> str:
    """Open: the device answers, under its own name."""
    del epoch
    name, target = _closed(context)
    opened = engine(name).open(context.host, target)
    context.state["session"] = Session(opened)
    about = opened.describe()
    free, total = opened.memory()
    if about.target != target:
        return f"expected device {target!r} to be open; {about.target!r} is"
    return "" if 0 < free <= total else f"expected an open device to have free memory; {free} of {total} bytes are"


def closing(context: Context, *, epoch: int) -> str:
    """Close: what was allocated is free again, and the closed device refuses to work."""
    del epoch
    before = session(context).engine.memory()[0]
    work = session(context)
    there, here = work.alloc(TAKEN), work.borrow(SMALL)
    old = work.engine
    name, target = _closed(context)
    try:
        old.upload(there, here, SMALL)
        old.synchronize()
    except (HilError, ValueError):
        pass
    else:
        return "expected a closed device to refuse a copy; it reported success"
    context.state["session"] = Session(engine(name).open(context.host, target))
    after = session(context).engine.memory()[0]
    return "" if after == before else _bytes("free memory after close and open", before, after)


def allocation(context: Context, *, epoch: int) -> str:
    """Alloc and free: free memory goes down by as much, and comes back."""
    del epoch
    card = session(context).engine
    before = card.memory()[0]
    there = card.alloc(TAKEN)
    taken = before - card.memory()[0]
    card.free(there)
    after = card.memory()[0]
    if not TAKEN <= taken <= TAKEN + SLACK:
        return _bytes("memory taken by an allocation", TAKEN, taken)
    return "" if after == before else _bytes("free memory after the buffer was freed", before, after)


def host_allocation(context: Context, *, epoch: int) -> str:
    """Host alloc and free: memory of that size that keeps what is written to it, and can be copied from."""
    card = session(context).engine
    here = card.host_alloc(SMALL, pinned=True)
    try:
        if here.view.nbytes < SMALL:
            return _bytes("host memory", SMALL, here.view.nbytes)
        fill(here.view[:SMALL], epoch=epoch, buffer_id=_NEW)
        kept = verify(here.view[:SMALL], epoch=epoch, buffer_id=_NEW)
    finally:
        card.host_free(here)
    return "" if kept.intact else f"expected host memory to keep what was written to it; {kept.text()}"


def upload(context: Context, *, epoch: int) -> str:
    """H2D: the device holds what was sent, not what it held before."""
    return _copied(context, "upload", epoch)


def download(context: Context, *, epoch: int) -> str:
    """D2H: the host buffer holds what the device has, not what it held before."""
    return _copied(context, "download", epoch)


def move(context: Context, *, epoch: int) -> str:
    """D2D: the second buffer holds what the first has."""
    return _copied(context, "move", epoch)


def synchronization(context: Context, *, epoch: int) -> str:
    """Synchronize: once it has come back, bytes and events are there."""
    work = session(context)
    there, here, back = work.alloc(PIECE), work.borrow(PIECE), work.borrow(PIECE)
    _hold(here, _NEW, epoch)
    _hold(back, _EMPTY, epoch)
    start = work.engine.record() if work.engine.device_time else None
    work.engine.upload(there, here, PIECE)
    work.engine.download(back, there, PIECE)
    end = work.engine.record() if work.engine.device_time else None
    work.engine.synchronize()
    seen = verify(back.view[:PIECE], epoch=epoch, buffer_id=_NEW)
    # An event that was not reached is refused: the driver error says so.
    seconds = work.engine.elapsed(start, end) if work.engine.device_time else None
    _give_back(work, [there], [here, back])
    if seconds is not None and seconds <= 0:
        return f"expected device time to pass over a copy; {seconds:g} s did"
    return "" if seen.intact else f"expected the bytes to be there when synchronize came back; {seen.text()}"


def timing(context: Context, *, epoch: int) -> str:
    """Record and elapsed: a copy takes device time, no more than the host saw pass, and no less than is possible.

    Over a rest, which costs neither side anything, both clocks have to tell the same.
    """
    del epoch
    work, clock = session(context), context.host.clock
    if not work.engine.device_time:
        return ""
    there, here = work.alloc(PIECE), work.borrow(PIECE)
    began = clock.now()
    start = work.engine.record()
    work.engine.upload(there, here, PIECE)
    end = work.engine.record()
    work.engine.synchronize()
    passed = clock.now() - began
    seconds = work.engine.elapsed(start, end)
    _give_back(work, [there], [here])
    if not PIECE / FASTEST <= seconds <= 1.05 * passed + 1e-3:
        return (
            f"expected the device to take {PIECE / FASTEST:g} to {passed:.6g} s (the host's clock) for "
            f"{size_text(PIECE)}; its events say {seconds:.6g} s"
        )
    began = clock.now()
    start = work.engine.record()
    clock.sleep(REST)
    end = work.engine.record()
    work.engine.synchronize()
    rested, told = clock.now() - began, work.engine.elapsed(start, end)
    if abs(told - rested) <= CLOCKS_DIFFER * rested + LATE:
        return ""
    return (
        f"expected device and host to tell the same time over a rest, within {CLOCKS_DIFFER * rested + LATE:.3g} s; "
        f"the device's events say {told:.6g} s, the host's clock {rested:.6g} s"
    )


def _copied(context: Context, call: str, epoch: int) -> str:
    work = session(context)
    first, second = work.alloc(PIECE), work.alloc(PIECE)
    here, back = work.borrow(PIECE), work.borrow(PIECE)
    card = work.engine
    _hold(here, _OLD, epoch)
    for there in (first, second):
        card.upload(there, here, PIECE)
    card.synchronize()
    _hold(here, _NEW, epoch)
    _hold(back, _EMPTY, epoch)
    card.upload(first, here, PIECE)
    card.synchronize()
    if call == "move":
        card.move(second, first, PIECE)
        card.synchronize()
    card.download(back, second if call == "move" else first, PIECE)
    card.synchronize()
    seen = verify(back.view[:PIECE], epoch=epoch, buffer_id=_NEW)
    begins = {number: _begins(back, number, epoch) for number in (_OLD, _EMPTY)}
    _give_back(work, [first, second], [here, back])
    if seen.intact:
        return ""
    if begins[_OLD]:
        return f"expected the buffer to hold what was copied there; it holds what it held before ({seen.text()})"
    if begins[_EMPTY]:
        return f"expected the host buffer to hold what the device has; it holds what it held before ({seen.text()})"
    return f"expected the bytes that were copied; {seen.text()}"


def _begins(buffer: HostBuffer, number: int, epoch: int) -> bool:
    return verify(buffer.view[:SMALL], epoch=epoch, buffer_id=number).intact


def _closed(context: Context) -> tuple[str, str]:
    """Close the session; the engine's name and target."""
    card = session(context).engine
    about = card.name, card.describe().target
    close_session(context)
    return about


def _hold(buffer: HostBuffer, number: int, epoch: int) -> None:
    fill(buffer.view[:PIECE], epoch=epoch, buffer_id=number)


def _give_back(work: Session, memory: Sequence[DeviceBuffer], buffers: Sequence[HostBuffer]) -> None:
    for there in memory:
        work.engine.free(there)
    for here in buffers:
        work.give_back(here)


def _bytes(what: str, expected: int, seen: int) -> str:
    return f"expected {what} to be {expected} bytes; it is {seen}"
