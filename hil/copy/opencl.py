"""The copy engine of any OpenCL device, through pyopencl."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from hil.copy import opencl_driver as driver
from hil.copy.base import CopyEngine, DeviceBuffer, EngineDevice, HostBuffer, Rows
from hil.copy.opencl_memory import OpenCLMemory
from hil.copy.opencl_rows import rectangle
from hil.copy.opencl_stream import OpenCLMark, OpenCLStream, elapsed
from hil.errors import DeviceGone, DriverError, HilError, NotSupported
from hil.model import Direction, size_text

if TYPE_CHECKING:
    from hil.hosts.base import Host

_ELSEWHERE = frozenset({"simulated", "captured", "remote"})  # hosts that this process does not run on
_INVALID_CONTEXT = -34  # cl.h


class OpenCLEngine(CopyEngine):
    """One context of one OpenCL device; each stream is an in-order queue with profiling.

    OpenCL cannot tell free memory, and some drivers promise more than there is. So this engine keeps account
    of what it allocated, and refuses what is beyond the device's size or the largest allocation it allows.
    """

    name: ClassVar[str] = "opencl"
    device_time: ClassVar[bool] = True
    fresh_process_after_replug: ClassVar[bool] = True
    """The loader lists devices once in the life of a process."""
    directions: ClassVar[frozenset[Direction]] = frozenset(Direction)
    pitched: ClassVar[bool] = True
    overlap: ClassVar[Literal["memmove", "refused", "undefined"]] = "refused"
    """MEM_COPY_OVERLAP: OpenCL 3.0, clEnqueueCopyBuffer."""

    def __init__(self, about: EngineDevice, device: Any) -> None:
        self._about = about
        self._cl = driver.load()
        with driver.driver_errors("create a context", about.target):
            self._context = self._cl.Context([device])
        self._streams: dict[int, OpenCLStream] = {}
        self._in_host_memory = bool(device.host_unified_memory)
        self._memory = OpenCLMemory(self._context, about, device.max_mem_alloc_size)
        self._closed = False

    @classmethod
    def devices(cls, host: Host) -> list[EngineDevice]:
        """Every OpenCL device of every platform, in order of target.

        Empty without pyopencl, and for a host that is not the machine this process runs on.
        """
        if host.kind in _ELSEWHERE:
            return []
        try:
            return [about for about, _ in driver.found_devices()]
        except NotSupported:
            return []

    @classmethod
    def open(cls, host: Host, target: str) -> OpenCLEngine:
        """Open the device `target`, ``platform/device``.

        Raises:
            NotSupported: pyopencl is not installed, or `host` is not the machine this process runs on.
            DeviceGone: no device of that name is there; says which are.

        """
        if host.kind in _ELSEWHERE:
            raise NotSupported(
                f"open OpenCL device {target!r}: OpenCL reaches this machine's devices only, not a {host.kind} host's"
            )
        found = driver.found_devices()
        for about, device in found:
            if about.target == target:
                return cls(about, device)
        known = ", ".join(about.target for about, _ in found) or "none at all"
        raise DeviceGone(
            f"open OpenCL device {target!r}: it is not there; OpenCL lists {known}",
            device=target,
            operation="open",
        )

    def describe(self) -> EngineDevice:
        """The open device."""
        return self._about

    def host_alloc(self, nbytes: int, *, pinned: bool = True) -> HostBuffer:
        """Host memory of `nbytes` ≥ 1 bytes."""
        _check(least=1, nbytes=nbytes)
        return self._memory.host_alloc(nbytes, self._stream(0).queue, pinned=pinned)

    def host_free(self, buffer: HostBuffer) -> None:
        """Give host memory back; it stays mapped while a copy or an array on it needs it."""
        self._memory.host_free(buffer)

    def alloc(self, nbytes: int) -> DeviceBuffer:
        """Device memory of `nbytes` ≥ 1 bytes.

        Raises:
            OutOfMemory: there is not so much, or the device allows no single allocation of that size.

        """
        _check(least=1, nbytes=nbytes)
        self._check_open()
        return self._memory.alloc(nbytes)

    def free(self, buffer: DeviceBuffer) -> None:
        """Give device memory back; copies under way end first."""
        self._memory.free(buffer)

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
        """Submit a copy of `nbytes` bytes from host to device."""
        operation = f"copy {size_text(nbytes)} H2D"
        _check(nbytes=nbytes, dst_offset=dst_offset)
        memory = self._memory.device(dst, operation).handle
        part = self._memory.part(src, src_offset, nbytes, operation)
        if nbytes == 0:  # nothing to do; OpenCL before 2.1 refuses it
            return
        self._stream(stream).submit(
            operation,
            lambda queue: self._cl.enqueue_copy(queue, memory, part, dst_offset=dst_offset, is_blocking=False),
            part,
        )

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
        """Submit a copy of `nbytes` bytes from device to host."""
        operation = f"copy {size_text(nbytes)} D2H"
        _check(nbytes=nbytes, src_offset=src_offset)
        memory = self._memory.device(src, operation).handle
        part = self._memory.part(dst, dst_offset, nbytes, operation)
        if nbytes == 0:  # nothing to do; OpenCL before 2.1 refuses it
            return
        self._stream(stream).submit(
            operation,
            lambda queue: self._cl.enqueue_copy(queue, part, memory, src_offset=src_offset, is_blocking=False),
            part,
        )

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
        """Submit a copy of `nbytes` bytes within the device.

        Raises:
            DriverError: also where source and destination overlap in one buffer (MEM_COPY_OVERLAP).

        """
        operation = f"copy {size_text(nbytes)} D2D"
        _check(nbytes=nbytes, dst_offset=dst_offset, src_offset=src_offset)
        target = self._memory.device(dst, operation).handle
        source = self._memory.device(src, operation).handle
        if nbytes == 0:  # nothing to do; OpenCL before 2.1 refuses it
            return
        self._stream(stream).submit(
            operation,
            lambda queue: self._cl.enqueue_copy(
                queue, target, source, src_offset=src_offset, dst_offset=dst_offset, byte_count=nbytes
            ),
            None,
        )

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
        operation = f"copy {shape.rows} rows of {size_text(shape.row_bytes)} {direction}"
        _check(least=1, row_bytes=shape.row_bytes, rows=shape.rows)
        _check(least=shape.row_bytes, src_pitch=shape.src_pitch, dst_pitch=shape.dst_pitch)
        _check(src_offset=shape.src_offset, dst_offset=shape.dst_offset)
        target = self._end(dst, shape.dst_offset, shape.span(shape.dst_pitch), operation)
        source = self._end(src, shape.src_offset, shape.span(shape.src_pitch), operation)
        self._stream(stream).submit(
            operation,
            lambda queue: self._cl.enqueue_copy(queue, target, source, **rectangle(direction, shape)),
            next((end for end in (target, source) if isinstance(end, memoryview)), None),
        )

    def _end(self, buffer: Any, offset: int, nbytes: int, operation: str) -> Any:
        """The driver's handle of a device buffer; the memory of a host buffer, from `offset` on."""
        if hasattr(buffer, "view"):
            return self._memory.part(buffer, offset, nbytes, operation)
        return self._memory.device(buffer, operation).handle

    @property
    def in_host_memory(self) -> bool:
        """Whether it is a CPU, or shares its memory with one."""
        return self._in_host_memory

    def synchronize(self, stream: int | None = None) -> None:
        """Wait until all copies of `stream` (`None`: of all) are done; raises the first one's failure."""
        self._check_open()
        chosen = list(self._streams.values()) if stream is None else [self._stream(stream)]
        failures = [failure for one in chosen for failure in one.finish()]
        if failures:
            raise failures[0]

    def record(self, stream: int = 0) -> OpenCLMark:
        """Put a mark behind what was submitted to `stream`."""
        return self._stream(stream).record()

    def elapsed(self, start: OpenCLMark, end: OpenCLMark) -> float:
        """Seconds of the device's clock between two marks that were reached; see `opencl_stream.elapsed`."""
        return elapsed(start, end, self._about.target)

    def memory(self) -> tuple[int, int]:
        """Free and total device memory in bytes; free = total less what this engine allocated."""
        return self._memory.free_bytes, self._about.vram_bytes

    def close(self) -> None:
        """Wait for what is under way, free everything, let go of the device."""
        if self._closed:
            return
        with suppress(HilError):
            self.synchronize()
        self._memory.free_all()
        self._closed = True
        self._streams.clear()
        self._context = None

    def _stream(self, number: int) -> OpenCLStream:
        self._check_open()
        if number not in self._streams:
            self._streams[number] = OpenCLStream(self._context, self._about.target)
        return self._streams[number]

    def _check_open(self) -> None:
        if self._closed:
            target = self._about.target
            message = f"use the opencl engine on {target}: it was closed: open it again"
            raise DriverError(message, code=_INVALID_CONTEXT, device=target, operation="use a closed engine")


def _check(*, least: int = 0, **numbers: int) -> None:
    for name, value in numbers.items():
        if value < least:
            raise ValueError(f"`{name}` must be at least {least}, not {value}")
