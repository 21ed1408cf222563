"""What every copy engine promises, and the buffers it deals in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from hil.errors import NotSupported
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The shape of a pitched (2D) copy; all in bytes but `rows`."""

    row_bytes: int
    """Of a row that is copied; what lies from there to the next row is padding, and left alone."""
    rows: int
    src_pitch: int
    """From the start of a row to the start of the next, at least `row_bytes`."""
    dst_pitch: int
    src_offset: int = 0
    dst_offset: int = 0

    def span(self, pitch: int) -> int:
        """Bytes from the first row's start to the last row's end at `pitch`."""
        return pitch * (self.rows - 1) + self.row_bytes


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
    shows_memory: ClassVar[bool] = False
    """Whether `window` tells where device memory shows in BAR 1."""
    pitched: ClassVar[bool] = False
    """Whether it has `copy_rows`."""
    overlap: ClassVar[Literal["memmove", "refused", "undefined"]] = "undefined"
    """What `move` promises where source and destination overlap in one buffer: the bytes as if all were read before
    the first is written, an error, or nothing."""
    stages_pageable: ClassVar[bool] = False
    """Whether the driver stages copies from and to pageable memory, so that pinned memory is faster."""

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
        """Put a mark behind what was submitted to `stream`: reached as soon as that is done, waited for or not."""

    @abstractmethod
    def elapsed(self, start: Any, end: Any) -> float:
        """Seconds of the device's clock between two marks that were reached (call `synchronize` first)."""

    def copy_rows(
        self,
        direction: Direction,
        dst: DeviceBuffer | HostBuffer,
        src: DeviceBuffer | HostBuffer,
        shape: Rows,
        *,
        stream: int = 0,
    ) -> None:
        """Submit a pitched copy of `shape`; `direction` says which of `dst` and `src` is the host's.

        Raises:
            NotSupported: this engine has none.

        """
        del dst, src, stream
        raise NotSupported(f"engine {self.name} has no pitched copies: {direction} of {shape.rows} rows")

    @property
    def in_host_memory(self) -> bool:
        """Whether the device's memory is the host's: to fill all of it would take the host's away."""
        return False

    def window(self, buffer: DeviceBuffer) -> int | None:
        """Offset in BAR 1 at which `buffer` shows; `None` = nowhere, or this driver does not tell.

        It may lie beyond the BAR's end: a 256 MiB window shows the beginning of the card's memory.
        """
        del buffer
        return None

    @abstractmethod
    def memory(self) -> tuple[int, int]:
        """Free and total device memory in bytes."""

    @abstractmethod
    def close(self) -> None:
        """Free everything and let go of the device; never raises for a device that is gone."""
