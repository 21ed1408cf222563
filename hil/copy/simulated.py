"""The copy engine of simulated machines: speaks the reference driver's wire."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import socket
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from hil.copy.base import CopyEngine, DeviceBuffer, EngineDevice, HostBuffer, Rows
from hil.errors import BenchFault, DeviceGone, DeviceHung, DriverError, HilError, NotSupported, OutOfMemory
from hil.hosts.base import Host
from hil.hosts.wires.driver import ALL_STREAMS, REQUEST, RESPONSE, Call, Status, Way
from hil.hosts.wires.frames import receive_exactly, receive_with_descriptors
from hil.model import Direction

_KINDS: dict[int, type[HilError]] = {
    Status.DEVICE_LOST: DeviceGone,
    Status.NO_DEVICE: DeviceGone,
    Status.OUT_OF_MEMORY: OutOfMemory,
    Status.BROKEN: BenchFault,
}
_NAMES = {status.value: status.name for status in Status}


@dataclass(eq=False, slots=True)
class SimulatedHostBuffer:
    """Host memory that the machine shares with this process by descriptor."""

    nbytes: int
    pinned: bool
    view: memoryview
    handle: int
    mapping: mmap.mmap


@dataclass(eq=False, slots=True)
class SimulatedDeviceBuffer:
    """Memory on a simulated card."""

    nbytes: int
    address: int


class SimulatedEngine(CopyEngine):
    """One context of the reference driver."""

    name: ClassVar[str] = "simulated"
    device_time: ClassVar[bool] = True
    fresh_process_after_replug: ClassVar[bool] = False
    directions: ClassVar[frozenset[Direction]] = frozenset(Direction)
    shows_memory: ClassVar[bool] = True
    pitched: ClassVar[bool] = True
    overlap: ClassVar[Literal["memmove", "refused", "undefined"]] = "memmove"
    stages_pageable: ClassVar[bool] = True

    def __init__(self, sock: socket.socket, target: str) -> None:
        self._sock = sock
        self._target = target
        self._facts: dict[str, Any] = {}

    @classmethod
    def devices(cls, host: Host) -> list[EngineDevice]:
        """Cards that the reference driver can open now."""
        try:
            engine = cls(host.connect("driver"), "")
        except (NotSupported, OSError):
            return []
        try:
            _, text, _ = engine._call(Call.DEVICES)
        finally:
            engine._sock.close()
        return [EngineDevice(**facts) for facts in _told(text, "devices")]

    @classmethod
    def open(cls, host: Host, target: str) -> SimulatedEngine:
        """Open the card `target` (its index)."""
        engine = cls(host.connect("driver"), target)
        try:
            _, text, _ = engine._call(Call.OPEN, int(target))
            engine._facts = _told(text, "open")
        except BaseException:
            engine._sock.close()
            raise
        return engine

    def describe(self) -> EngineDevice:
        """The open card."""
        return EngineDevice(**self._facts)

    def host_alloc(self, nbytes: int, *, pinned: bool = True) -> HostBuffer:
        """Host memory that the machine can reach."""
        (handle, *_), _, descriptors = self._call(Call.HOST_ALLOC, nbytes, int(pinned))
        if not descriptors:
            raise DriverError("driver call host_alloc answered OK without memory", operation="driver call host_alloc")
        try:
            mapping = mmap.mmap(descriptors[0], nbytes)
        finally:
            os.close(descriptors[0])
        return SimulatedHostBuffer(nbytes, pinned, memoryview(mapping), handle, mapping)

    def host_free(self, buffer: HostBuffer) -> None:
        """Unmap and give back."""
        assert isinstance(buffer, SimulatedHostBuffer)  # noqa: S101  (its own)
        buffer.view.release()
        buffer.mapping.close()
        self._call(Call.HOST_FREE, buffer.handle)

    def alloc(self, nbytes: int) -> DeviceBuffer:
        """Memory on the card."""
        (address, *_), _, _ = self._call(Call.ALLOC, nbytes)
        return SimulatedDeviceBuffer(nbytes, address)

    def free(self, buffer: DeviceBuffer) -> None:
        """Give the card's memory back."""
        self._call(Call.FREE, buffer.address)

    def upload(
        self,
        dst: DeviceBuffer,
        src: HostBuffer,
        nbytes: int,
        *,
        dst_offset: int = 0,
        src_offset: int = 0,
        stream: int = 0,
    ) -> None:
        """Submit a copy to the card."""
        self._copy(Way.H2D, stream, (_handle(src), src_offset), (dst.address, dst_offset), nbytes)

    def download(
        self,
        dst: HostBuffer,
        src: DeviceBuffer,
        nbytes: int,
        *,
        dst_offset: int = 0,
        src_offset: int = 0,
        stream: int = 0,
    ) -> None:
        """Submit a copy from the card."""
        self._copy(Way.D2H, stream, (src.address, src_offset), (_handle(dst), dst_offset), nbytes)

    def move(
        self,
        dst: DeviceBuffer,
        src: DeviceBuffer,
        nbytes: int,
        *,
        dst_offset: int = 0,
        src_offset: int = 0,
        stream: int = 0,
    ) -> None:
        """Submit a copy within the card."""
        self._copy(Way.D2D, stream, (src.address, src_offset), (dst.address, dst_offset), nbytes)

    def synchronize(self, stream: int | None = None) -> None:
        """Wait for the copies of `stream`, or of all."""
        self._call(Call.SYNCHRONIZE, ALL_STREAMS if stream is None else stream)

    def record(self, stream: int = 0) -> int:
        """Put an event into `stream`."""
        return int(self._call(Call.RECORD, stream)[0][0])

    def elapsed(self, start: int, end: int) -> float:
        """Seconds between two events."""
        return int(self._call(Call.ELAPSED, start, end)[0][0]) * 1e-9

    def copy_rows(
        self,
        direction: Direction,
        dst: DeviceBuffer | HostBuffer,
        src: DeviceBuffer | HostBuffer,
        shape: Rows,
        *,
        stream: int = 0,
    ) -> None:
        """Submit a pitched copy."""
        source = _place(src), shape.src_offset
        target = _place(dst), shape.dst_offset
        extent = shape.row_bytes, shape.rows, shape.src_pitch, shape.dst_pitch
        self._call(Call.COPY, Way[direction.name], stream, *source, *target, *extent)

    @property
    def in_host_memory(self) -> bool:
        """The card is a model: what is written to it takes the host's memory."""
        return True

    def window(self, buffer: DeviceBuffer) -> int | None:
        """Its device address: the reference driver maps the card's memory one to one."""
        return buffer.address

    def memory(self) -> tuple[int, int]:
        """Free and total bytes."""
        (free, total, *_), _, _ = self._call(Call.MEMORY)
        return free, total

    def close(self) -> None:
        """Let the driver free what this context holds, and hang up."""
        with contextlib.suppress(HilError):  # gone already
            self._call(Call.CLOSE)
        self._sock.close()

    def _copy(self, way: Way, stream: int, source: tuple[int, int], target: tuple[int, int], nbytes: int) -> None:
        self._call(Call.COPY, way, stream, *source, *target, nbytes, 1, 0, 0)

    def _call(self, call: Call, *arguments: int) -> tuple[tuple[int, ...], str, list[int]]:
        padded = (*arguments, *[0] * (10 - len(arguments)))
        name = f"driver call {call.name.lower()}"
        try:
            self._sock.sendall(REQUEST.pack(call, 0, *padded))
            head, descriptors = receive_with_descriptors(self._sock, RESPONSE.size)
            status, length, *results = RESPONSE.unpack(head)
            text = receive_exactly(self._sock, length).decode()
        except (OSError, EOFError) as error:
            # Only the machine hangs up: on a client past its deadline, or when it is switched off.
            raise DeviceHung(f"{name} never came back: the driver hung up ({error})", operation=name) from error
        if status != Status.OK:
            said = f"{name} failed: {_NAMES.get(status, 'code')} ({status}){': ' + text if text else ''}"
            raise _KINDS.get(status, DriverError)(said, code=status, operation=name)
        return tuple(results), text, descriptors


def _told(text: str, name: str) -> Any:
    if not text:
        raise DriverError(f"driver call {name} answered OK and told nothing", operation=f"driver call {name}")
    return json.loads(text)


def _place(buffer: DeviceBuffer | HostBuffer) -> int:
    return buffer.address if isinstance(buffer, SimulatedDeviceBuffer) else _handle(buffer)  # type: ignore[arg-type]


def _handle(buffer: HostBuffer) -> int:
    assert isinstance(buffer, SimulatedHostBuffer)  # noqa: S101  (its own)
    return buffer.handle
