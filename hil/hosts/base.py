"""The seam: everything outside the program is touched through a `Host`, and time is told and spent by its clock.

Paths are the host's own absolute paths as text. Operating-system errors (`FileNotFoundError`, `PermissionError`,
`OSError` with its errno) are raised alike by all hosts: a simulated EINVAL is an `OSError` with ``errno == EINVAL``.
"""

from __future__ import annotations

import socket
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from hil.model import HostFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStat:
    """What `Host.stat` tells."""

    size: int
    mode: int
    """`st_mode`, type bits included."""

    @property
    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.mode)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A command that ended (or did not: `timed_out`)."""

    argv: tuple[str, ...]
    returncode: int | None
    """`None` when the command was killed at its timeout."""
    stdout: bytes
    stderr: bytes

    @property
    def timed_out(self) -> bool:
        """Whether it had to be killed at its timeout."""
        return self.returncode is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something came or went: a uevent on Linux, a service notification on macOS."""

    action: str
    """``add``, ``remove``, ``change``, …"""
    subsystem: str
    """``pci``, ``thunderbolt``, ``usb``, …"""
    path: str
    """Name of the node: a BDF, a router ``0-1``, …"""
    time: float
    """Seconds on the host's clock."""
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of the kernel log."""

    time: float
    """Seconds on the host's clock."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process on the host."""

    pid: int
    command: str


class Clock(Protocol):
    """The host's clock. Seconds; the zero is arbitrary, the clock never goes back."""

    def now(self) -> float:
        """Seconds on the host's clock."""
        ...

    def sleep(self, seconds: float) -> None:
        """Spend `seconds` on the host's clock."""
        ...

    def operation(self, name: str, deadline: float) -> AbstractContextManager[None]:
        """Announce an operation that must end within `deadline` seconds of the host's clock.

        On a simulated host this registers an actor: time cannot pass while it computes, only while it waits.
        """
        ...


class EventStream(Protocol):
    """A subscription to events; those that happen after it was made are kept until asked for."""

    def next(self, timeout: float) -> Event | None:
        """The next event, waiting at most `timeout` seconds of the host's clock; `None` if none came."""
        ...

    def close(self) -> None:
        """End the subscription."""
        ...


class SerialPort(Protocol):
    """An open serial port."""

    def write(self, data: bytes) -> None:
        """Send all of `data`."""
        ...

    def read_until(self, end: bytes, timeout: float) -> bytes:
        """Bytes up to and including `end`; what came so far if `timeout` seconds of the host's clock pass first."""
        ...

    def close(self) -> None:
        """Close the port."""
        ...


@runtime_checkable
class Host(Protocol):
    """A machine, as far as this program needs one."""

    kind: str
    """``local``, ``simulated``, ``captured``, ``remote``, or a third party's."""
    clock: Clock

    def facts(self) -> HostFacts:
        """Operating system, model, boot id."""
        ...

    def read(self, path: str) -> bytes:
        """The whole of a file."""
        ...

    def write(self, path: str, data: bytes) -> None:
        """Write `data` in one system call (as sysfs wants it); the kernel's refusal is raised as `OSError`."""
        ...

    def pread(self, path: str, size: int, offset: int) -> bytes:
        """At most `size` bytes at `offset`."""
        ...

    def pwrite(self, path: str, data: bytes, offset: int) -> int:
        """Write `data` at `offset`; returns the number of bytes written."""
        ...

    def list(self, path: str) -> list[str]:
        """Names in a directory, sorted."""
        ...

    def stat(self, path: str) -> FileStat:
        """Size and mode, links followed."""
        ...

    def readlink(self, path: str) -> str:
        """Target of a symbolic link, as it is written in the link."""
        ...

    def map(self, path: str, size: int, offset: int = 0) -> memoryview:
        """Map `size` bytes of a file (a BAR's ``resourceN``), readable and writable, shared."""
        ...

    def run(self, argv: Sequence[str], *, timeout: float) -> Completed:
        """Run a command; after `timeout` seconds of the host's clock it and its children are killed.

        Raises:
            FileNotFoundError: there is no such command.

        """
        ...

    def connect(self, address: str) -> socket.socket:
        """A connected UNIX stream socket (descriptors may come with it). `address` is a path.

        The simulated machine also knows the bare names of its own services: ``driver``, ``plug``.
        """
        ...

    def serial(self, path: str, baud: int) -> SerialPort:
        """Open a serial port."""
        ...

    def nvml(self) -> Any | None:
        """What to set `pynvml.nvmlLib` to: a Python object in simulation; `None` = let pynvml load its library."""
        ...

    def usb_backend(self) -> Any | None:
        """A pyusb `IBackend`; `None` = let pyusb find libusb."""
        ...

    def watch(self, subsystems: Sequence[str]) -> EventStream:
        """Subscribe to events of `subsystems`.

        Raises:
            NotSupported: this host tells no events; poll instead.

        """
        ...

    def kernel_log(self, since: float = 0.0) -> Sequence[LogLine]:
        """Lines of the kernel log from `since` (seconds on the host's clock) on.

        Raises:
            PermissionError: this user may not read it.

        """
        ...

    def processes(self) -> Sequence[Process]:
        """Processes on the host."""
        ...

    def kill(self, pid: int, signal: int) -> None:
        """Send a signal to a process on the host."""
        ...

    def close(self) -> None:
        """Let go of everything this object holds on the host."""
        ...


def wait_until(clock: Clock, condition: Callable[[], bool], *, deadline: float, interval: float = 0.05) -> bool:
    """Wait for `condition` on the host's clock.

    Args:
        clock: the host's clock.
        condition: asked at once, then every `interval` seconds.
        deadline: seconds from now.
        interval: seconds between two questions.

    Returns:
        Whether `condition` came true in time.

    """
    end = clock.now() + deadline
    while not condition():
        if clock.now() >= end:
            return False
        clock.sleep(min(interval, max(end - clock.now(), 0.0)))
    return True
