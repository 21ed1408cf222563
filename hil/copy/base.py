"""What every copy engine promises, and the buffers it deals in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from hil.hosts.base import Host
from hil.model import Direction


class HostBuffer(Protocol):
    """Host memory that an engine can copy from and to."""

    nbytes: int
    pinned: bool
    view: memoryview
    """Writable, format ``B``, shape ``(nbytes,)``; valid until the buffer is freed."""


class DeviceBuffer(Protocol):
    """Memory on the device."""

    nbytes: int
    address: int
    """Device address where the engine knows one, else a number unique among live buffers."""


class Mark(Protocol):
    """A point in a stream whose device time can be told once it was reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineDevice:
    """A device as its engine sees it."""

    target: str
    """What `CopyEngine` is opened with: stable over runs."""
    name: str
    vram_bytes: int
    driver_version: str = ""
    uuid: str = ""
    pci_address: str = ""
    """BDF where the engine tells it: the join with discovery."""


class CopyEngine(ABC):
    """Moves bytes between host and device through one driver. Used in a device process only.

    Copies are submitted and run in the order of their stream; `synchronize` waits and raises what went wrong.

    Raises (any method):
        DriverError: the driver refused; `code` is its number.
        DeviceGone: the device left.
    """

    name: ClassVar[str]
    device_time: ClassVar[bool]
    """Whether `record` / `elapsed` tell the device's own time."""
    fresh_process_after_replug: ClassVar[bool]
    """Whether the driver's library must be loaded anew (a new process) once a device was lost."""
    directions: ClassVar[frozenset[Direction]]

    @classmethod
    @abstractmethod
    def devices(cls, host: Host) -> list[EngineDevice]:
        """Devices that this engine can open on `host`; empty where its library is missing or finds none."""

    @classmethod
    @abstractmethod
    def open(cls, host: Host, target: str) -> CopyEngine:
        """Open the device `target`.

        Raises:
            NotSupported: the engine's library is not installed; the message says what to install.

        """

    @abstractmethod
    def describe(self) -> EngineDevice:
        """The open device."""

    @abstractmethod
    def host_alloc(self, nbytes: int, *, pinned: bool = True) -> HostBuffer:
        """Host memory of `nbytes` ≥ 1 bytes."""

    @abstractmethod
    def host_free(self, buffer: HostBuffer) -> None:
        """Give host memory back."""

    @abstractmethod
    def alloc(self, nbytes: int) -> DeviceBuffer:
        """Device memory of `nbytes` ≥ 1 bytes.

        Raises:
            OutOfMemory: there is not so much.

        """

    @abstractmethod
    def free(self, buffer: DeviceBuffer) -> None:
        """Give device memory back."""

    @abstractmethod
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

    @abstractmethod
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

    @abstractmethod
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
        """Submit a copy of `nbytes` bytes within the device."""

    @abstractmethod
    def synchronize(self, stream: int | None = None) -> None:
        """Wait until all copies of `stream` (`None`: of all streams) are done; raises the first one's failure."""

    @abstractmethod
    def record(self, stream: int = 0) -> Any:
        """Put a mark behind what was submitted to `stream`."""

    @abstractmethod
    def elapsed(self, start: Any, end: Any) -> float:
        """Seconds of the device's clock between two marks that were reached (call `synchronize` first)."""

    @abstractmethod
    def memory(self) -> tuple[int, int]:
        """Free and total device memory in bytes."""

    @abstractmethod
    def close(self) -> None:
        """Free everything and let go of the device; never raises for a device that is gone."""
