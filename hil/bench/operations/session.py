"""The open engine of a device process, and the buffers that it keeps from one operation to the next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hil.bench import child
from hil.copy import CopyEngine, DeviceBuffer, HostBuffer, engine
from hil.errors import BenchFault
from hil.model import KIB, MIB, to_dict

if TYPE_CHECKING:
    from hil.bench.worker import Context

KEPT = 512 * MIB
"""Bytes of host buffers that a device process keeps: fresh pages cost more than the copy that uses them."""
MARGIN = 16 * KIB
"""Bytes of every host buffer beyond a power of two: guard zones shall not make data need twice the memory."""


@dataclass(slots=True)
class Session:
    """An open engine and its pool of host buffers, by pinned and size class."""

    engine: CopyEngine
    pool: dict[tuple[bool, int], list[HostBuffer]] = field(default_factory=dict)
    kept: int = 0

    def borrow(self, nbytes: int, *, pinned: bool = True) -> HostBuffer:
        """A host buffer of at least `nbytes` bytes; its content is whatever it was."""
        size = max(1 << (max(nbytes - MARGIN, 1) - 1).bit_length(), 4096) + MARGIN
        free = self.pool.get((pinned, size))
        if free:
            self.kept -= size
            return free.pop()
        return self.engine.host_alloc(size, pinned=pinned)

    def give_back(self, buffer: HostBuffer) -> None:
        """Keep `buffer` for the next, or free it where enough is kept."""
        if self.kept + buffer.nbytes > KEPT:
            self.engine.host_free(buffer)
            return
        self.kept += buffer.nbytes
        self.pool.setdefault((buffer.pinned, buffer.nbytes), []).append(buffer)

    def alloc(self, nbytes: int) -> DeviceBuffer:
        """Device memory of `nbytes` bytes, at least one."""
        return self.engine.alloc(max(nbytes, 1))


def session(context: Context) -> Session:
    """The open session of this process.

    Raises:
        BenchFault: none is open.

    """
    found = context.state.get("session")
    if not isinstance(found, Session):
        raise BenchFault("no device is open in this process", device=context.device, operation="use the engine")
    return found


def open_session(context: Context, *, name: str, target: str) -> dict[str, Any]:
    """Open the device `target` with engine `name`, unless it is open; facts of the device as its engine sees it."""
    if "session" not in context.state:
        began = context.host.clock.now()
        context.state["session"] = Session(engine(name).open(context.host, target))
        context.state["opened in"] = context.host.clock.now() - began
    facts: dict[str, Any] = to_dict(session(context).engine.describe())
    return facts


def opened_in(context: Context) -> float:
    """Seconds on the host's clock that the last opening by `open_session` took."""
    seconds = context.state["opened in"]
    assert isinstance(seconds, float)  # noqa: S101  (noted above)
    return seconds


def close_session(context: Context) -> None:
    """Close the device, if it is open."""
    found = context.state.pop("session", None)
    if isinstance(found, Session):
        found.engine.close()


def renew(context: Context) -> bool:
    """Close what a re-plug or a reset has made stale.

    Returns:
        Whether the engine's library must be loaded anew: this process should be ended.

    """
    found = context.state.get("session")
    close_session(context)
    return isinstance(found, Session) and found.engine.fresh_process_after_replug


def devices(context: Context, *, name: str) -> list[dict[str, Any]]:
    """Devices that engine `name` can open now, sorted by target."""
    found = engine(name).devices(context.host)
    return [to_dict(device) for device in sorted(found, key=lambda device: device.target)]


def footprint(_: Context) -> dict[str, int]:
    """What this process holds of its own system: ``descriptors`` that are open, ``bytes`` it had in memory at most."""
    return {"descriptors": child.open_descriptors(), "bytes": child.peak_bytes()}


def memory(context: Context) -> tuple[int, int]:
    """Free and total bytes of device memory."""
    return session(context).engine.memory()
