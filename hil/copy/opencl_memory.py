"""Memory of the OpenCL engine, on the device and pinned on the host, and whether it still may be used.

OpenCL cannot tell free memory, and some drivers promise more than there is: account is kept here.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hil.copy import opencl_driver as driver
from hil.errors import DriverError, HilError, OutOfMemory
from hil.model import size_text

if TYPE_CHECKING:
    from hil.copy.base import DeviceBuffer, EngineDevice, HostBuffer

_INVALID_MEM_OBJECT = -38  # these codes are cl.h's
_ALLOCATION_FAILURE = -4
_INVALID_BUFFER_SIZE = -61


@dataclass(eq=False, slots=True)
class OpenCLHostBuffer:
    """Host memory; pinned = memory of the driver's choice (CL_MEM_ALLOC_HOST_PTR), mapped for good."""

    nbytes: int
    pinned: bool
    view: memoryview
    freed: bool = False


@dataclass(eq=False, slots=True)
class OpenCLDeviceBuffer:
    """A memory object; `address` is its handle, for OpenCL hides device addresses."""

    nbytes: int
    address: int
    handle: Any


class OpenCLMemory:
    """All memory of one context."""

    def __init__(self, context: Any, about: EngineDevice, largest: int) -> None:
        self._cl = driver.load()
        self._context = context
        self._target = about.target
        self._total = about.vram_bytes
        self._largest = largest
        self._buffers: set[OpenCLDeviceBuffer] = set()

    @property
    def free_bytes(self) -> int:
        """Size of the device's memory less what was allocated here."""
        return self._total - sum(buffer.nbytes for buffer in self._buffers)

    def alloc(self, nbytes: int) -> OpenCLDeviceBuffer:
        """Device memory.

        Raises:
            OutOfMemory: there is not so much, or the device allows no single allocation of that size.

        """
        operation = f"allocate {size_text(nbytes)}"
        if nbytes > self._largest:
            limit, code = f"it allows at most {size_text(self._largest)} at once", _INVALID_BUFFER_SIZE
        else:
            limit = f"{size_text(self.free_bytes)} of {size_text(self._total)} are free"
            code = _ALLOCATION_FAILURE
        if nbytes > min(self._largest, self.free_bytes):
            message = f"{operation} on {self._target}: {limit}: free some or ask for less"
            raise OutOfMemory(message, code=code, device=self._target, operation=operation)
        with driver.driver_errors(operation, self._target):
            handle = self._cl.Buffer(self._context, self._cl.mem_flags.READ_WRITE, nbytes)
        buffer = OpenCLDeviceBuffer(nbytes, handle.int_ptr, handle)
        self._buffers.add(buffer)
        return buffer

    def free(self, buffer: DeviceBuffer) -> None:
        """Give device memory back; copies under way end first (OpenCL keeps it for them)."""
        mine = self.device(buffer, "free device memory")
        self._buffers.discard(mine)
        with driver.driver_errors("free device memory", self._target):
            mine.handle.release()

    def free_all(self) -> None:
        """Give all device memory back, whatever the driver says to it."""
        for buffer in list(self._buffers):
            with suppress(HilError):
                self.free(buffer)

    def host_alloc(self, nbytes: int, queue: Any, *, pinned: bool) -> OpenCLHostBuffer:
        """Host memory; pinned memory is mapped by way of `queue`.

        Raises:
            OutOfMemory: the driver has no pinned memory of that size.

        """
        if not pinned:
            return OpenCLHostBuffer(nbytes, pinned, memoryview(bytearray(nbytes)))
        flags, access = self._cl.mem_flags, self._cl.map_flags
        with driver.driver_errors(f"map {size_text(nbytes)} of pinned host memory", self._target):
            handle = self._cl.Buffer(self._context, flags.READ_WRITE | flags.ALLOC_HOST_PTR, nbytes)
            array, _ = self._cl.enqueue_map_buffer(
                queue, handle, access.READ | access.WRITE, 0, (nbytes,), np.uint8, is_blocking=True
            )
        return OpenCLHostBuffer(nbytes, pinned, memoryview(array))

    def host_free(self, buffer: HostBuffer) -> None:
        """Give host memory back; it stays mapped while a copy or an array on it needs it."""
        mine = self._host(buffer, "free host memory")
        mine.freed = True
        with suppress(BufferError):  # an array on the view lives on; the memory goes with it
            mine.view.release()
        mine.view = memoryview(b"")

    def device(self, buffer: DeviceBuffer, operation: str) -> OpenCLDeviceBuffer:
        """`buffer`, if it is a live one of this context.

        Raises:
            DriverError: it is not. OpenCL itself crashes the process on a released handle.

        """
        if not isinstance(buffer, OpenCLDeviceBuffer) or buffer not in self._buffers:
            raise self._stale(operation, "the device buffer was freed, or is another engine's")
        return buffer

    def part(self, buffer: HostBuffer, offset: int, nbytes: int, operation: str) -> memoryview:
        """Bytes ``offset … offset + nbytes`` of a live host buffer.

        Raises:
            DriverError: the buffer is not live.
            ValueError: the bytes lie outside it.

        """
        mine = self._host(buffer, operation)
        if not 0 <= offset <= mine.nbytes - nbytes:
            raise ValueError(
                f"{operation}: {nbytes} bytes at {offset} lie outside the host buffer of {mine.nbytes} bytes"
            )
        return mine.view[offset : offset + nbytes]

    def _host(self, buffer: HostBuffer, operation: str) -> OpenCLHostBuffer:
        if not isinstance(buffer, OpenCLHostBuffer) or buffer.freed:
            raise self._stale(operation, "the host buffer was freed, or is another engine's")
        return buffer

    def _stale(self, operation: str, reason: str) -> DriverError:
        message = f"{operation} on {self._target}: {reason}"
        return DriverError(message, code=_INVALID_MEM_OBJECT, device=self._target, operation=operation)
