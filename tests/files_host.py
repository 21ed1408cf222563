"""A `Host` over a dict of files that can also be written, with a clock, a kernel log and sockets."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hil.errors import NotSupported
from hil.model import HostFacts
from tests.tree_host import TreeHost

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from hil.hosts import LogLine
    from hil.hosts.base import EventStream


class SteppedClock:
    """A clock that passes when someone sleeps, and tells a listener."""

    def __init__(self) -> None:
        self.time = 100.0
        self.on_step: Callable[[float], None] = lambda _: None

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += max(seconds, 1e-6)
        self.on_step(self.time)


@dataclass
class FilesHost(TreeHost):
    """`on_write` sees each write before it lands, and may raise or change other files."""

    arch: str = "x86_64"
    boot_id: str = "boot-1"
    clock: Any = field(default_factory=SteppedClock)
    on_write: Callable[[str, bytes], None] = lambda _path, _data: None
    written: list[tuple[str, bytes]] = field(default_factory=list)
    log: list[LogLine] | OSError = field(default_factory=list)
    sockets: dict[str, socket.socket | OSError] = field(default_factory=dict)
    news: EventStream | None = None
    maps: bool = False
    """Whether files can be mapped."""

    def facts(self) -> HostFacts:
        return HostFacts(system=self.system, arch=self.arch, boot_id=self.boot_id)

    def write(self, path: str, data: bytes) -> None:
        self.read(path)
        self.on_write(path, data)
        self.written.append((path, data))
        self.files[self._real(path)] = data

    def pread(self, path: str, size: int, offset: int) -> bytes:
        return self.read(path)[offset : offset + size]

    def pwrite(self, path: str, data: bytes, offset: int) -> int:
        content = bytearray(self.read(path))
        self.on_write(path, data)
        content[offset : offset + len(data)] = data
        self.files[self._real(path)] = bytes(content)
        return len(data)

    def map(self, path: str, size: int, offset: int = 0) -> memoryview:
        if not self.maps:
            raise NotSupported(f"{path}: not mapped")
        content = bytearray(self.read(path))
        self.files[self._real(path)] = content  # type: ignore[assignment]
        return memoryview(content)[offset : offset + size]

    def kernel_log(self, since: float = 0.0) -> list[LogLine]:
        if isinstance(self.log, OSError):
            raise self.log
        return [line for line in self.log if line.time >= since]

    def watch(self, subsystems: Sequence[str]) -> EventStream:
        if self.news is None:
            raise NotSupported("this host announces nothing")
        return self.news

    def connect(self, address: str) -> socket.socket:
        found = self.sockets.get(address, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), address))
        if isinstance(found, OSError):
            raise found
        return found


def refused(code: int) -> OSError:
    """What the kernel raises for `code`."""
    return OSError(code, os.strerror(code))
