"""The local host: the machine that runs this program, Linux or macOS."""

from __future__ import annotations

import errno
import mmap
import os
import socket
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

from hil.errors import NotSupported, UsageError
from hil.hosts.base import Clock, Completed, FileStat, LogLine, Process
from hil.hosts.local_command import run_command
from hil.hosts.local_events import UeventStream, open_uevents
from hil.hosts.local_facts import linux_facts, linux_processes, mac_facts, mac_processes
from hil.hosts.local_log import kmsg_lead, mac_log, read_kmsg
from hil.hosts.local_serial import LocalSerialPort

if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterator, Sequence

    from hil.model import HostFacts


class _Closable(Protocol):
    def close(self) -> None: ...


class LocalClock:
    """Real time: CLOCK_MONOTONIC on Linux, uptime without sleep on macOS."""

    def now(self) -> float:
        """Seconds; never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait `seconds`."""
        time.sleep(seconds)

    @contextmanager
    def operation(self, name: str, deadline: float) -> Iterator[None]:
        """Nobody needs to be told on a real host: time passes by itself.

        Raises:
            ValueError: `deadline` is not above 0 seconds.

        """
        if not deadline > 0:
            raise ValueError(f"`deadline` of {name!r} must be above 0 seconds, not {deadline}")
        yield


class LocalHost:
    """The machine that runs this program (see `hil.hosts.base.Host` for what each method promises).

    Args:
        root: a folder that stands in for ``/`` in every path given (captured ``/sys`` and ``/proc``). Such a
            tree is not the running machine: it tells no events, and processes listed in it cannot be killed.

    """

    kind = "local"

    def __init__(self, root: str = "/") -> None:
        self.clock: Clock = LocalClock()  # as the protocol declares it: attributes are invariant
        self._root = Path(root)
        self._open: WeakSet[_Closable] = WeakSet()
        self._began = (time.time(), time.monotonic())

    def facts(self) -> HostFacts:
        """Operating system, model, boot id; what the machine does not tell is empty."""
        return mac_facts(self._run) if _is_mac() else linux_facts(self._root)

    def read(self, path: str) -> bytes:
        """The whole of a file."""
        return self._real(path).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        """Replace what an existing file holds by `data`, in one system call.

        Raises:
            OSError: the kernel's refusal (EINVAL, EBUSY, …), or EIO where it took only a part.

        """
        # Never created: a missing sysfs attribute must not turn into a plain file.
        with self._descriptor(path, os.O_WRONLY | os.O_TRUNC) as descriptor:
            taken = os.write(descriptor, data)
        if taken != len(data):
            raise OSError(errno.EIO, f"writing: only {taken} of {len(data)} bytes were taken", path)

    def pread(self, path: str, size: int, offset: int) -> bytes:
        """At most `size` bytes at `offset`."""
        with self._descriptor(path, os.O_RDONLY) as descriptor:
            return os.pread(descriptor, size, offset)

    def pwrite(self, path: str, data: bytes, offset: int) -> int:
        """Write `data` at `offset`; returns the number of bytes written."""
        with self._descriptor(path, os.O_WRONLY) as descriptor:
            return os.pwrite(descriptor, data, offset)

    def list(self, path: str) -> builtins.list[str]:
        """Names in a directory, sorted."""
        return sorted(os.listdir(self._real(path)))  # noqa: PTH208  (names are asked for, not paths)

    def stat(self, path: str) -> FileStat:
        """Size and mode, links followed."""
        facts = self._real(path).stat()
        return FileStat(size=facts.st_size, mode=facts.st_mode)

    def readlink(self, path: str) -> str:
        """Target of a symbolic link, as it is written in the link."""
        return os.readlink(self._real(path))  # noqa: PTH115  (Path would normalize what is written there)

    def map(self, path: str, size: int, offset: int = 0) -> memoryview:
        """Map `size` bytes at any `offset`; they are unmapped when the view is dropped.

        Raises:
            OSError: EINVAL where `size` or `offset` does not lie within the file.

        """
        skip = offset % mmap.ALLOCATIONGRANULARITY
        with self._descriptor(path, os.O_RDWR) as descriptor:
            if size < 1 or offset < 0 or offset + size > os.fstat(descriptor).st_size:
                raise OSError(errno.EINVAL, f"mapping {size} bytes at {offset}: not within the file", path)
            mapped = mmap.mmap(descriptor, size + skip, offset=offset - skip)
        return memoryview(mapped)[skip:]

    def run(self, argv: Sequence[str], *, timeout: float) -> Completed:
        """Run a command with ``LC_ALL=C``; after `timeout` seconds its process group is killed.

        Raises:
            FileNotFoundError: there is no such command.
            ValueError: `argv` is empty or `timeout` is not above 0.

        """
        return run_command(argv, timeout=timeout)

    def connect(self, address: str) -> socket.socket:
        """A connected UNIX stream socket; the caller closes it.

        Raises:
            NotSupported: `address` is the bare name of a simulated machine's service.
            OSError: nobody listens there.

        """
        if "/" not in address:
            raise NotSupported(
                f"connecting to {address!r}: only a simulated machine has services by name; "
                "on a real host give the path of a socket",
                operation="connect",
            )
        real = str(self._real(address))
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(real)
        except OSError as error:
            sock.close()
            raise OSError(error.errno, f"connecting: {error.strerror or error}", address) from error
        return sock

    def serial(self, path: str, baud: int) -> LocalSerialPort:
        """Open a serial port for this process alone.

        Raises:
            NotSupported: pyserial is not installed.
            OSError: the port is missing, busy or not permitted.

        """
        port = LocalSerialPort(str(self._real(path)), baud, self.clock)
        self._open.add(port)
        return port

    def nvml(self) -> None:
        """`None`: pynvml loads the system's library."""

    def usb_backend(self) -> None:
        """`None`: pyusb finds libusb."""

    def watch(self, subsystems: Sequence[str]) -> UeventStream:
        """Subscribe to kernel uevents of `subsystems` (none named: all).

        Raises:
            NotSupported: macOS, a stand-in tree, or the socket was refused; poll instead.

        """
        if not self._is_machine():
            raise NotSupported("watching for hot plug: a stand-in tree tells no events; poll the inventory instead")
        stream = UeventStream(open_uevents(), subsystems, self.clock)
        self._open.add(stream)
        return stream

    def kernel_log(self, since: float = 0.0) -> builtins.list[LogLine]:
        """Lines of the kernel log from `since` on; on a Mac those of the last hour at most.

        Raises:
            PermissionError: this user may not read it; says what to do.
            BenchFault: macOS's `log` failed or took too long.

        """
        now, wall = time.monotonic(), time.time()
        if _is_mac():
            # What the wall clock gained on the monotonic one since the start was spent asleep.
            slept = max(0.0, (wall - self._began[0]) - (now - self._began[1]))
            return mac_log(self._run, since=since, monotonic=now, wall=wall, slept=slept)
        lead = kmsg_lead(self._root / "sys/kernel/tracing", now)
        return read_kmsg(self._root / "dev/kmsg", lead, since)

    def processes(self) -> builtins.list[Process]:
        """Processes on the host, as far as this user may see them."""
        return mac_processes(self._run) if _is_mac() else linux_processes(self._root / "proc")

    def kill(self, pid: int, signal: int) -> None:
        """Send a signal to one process.

        Raises:
            NotSupported: this host is a stand-in tree, whose pids are another machine's.
            ValueError: `pid` is below 1, which the system takes for a whole group.
            ProcessLookupError: there is no such process.

        """
        if not self._is_machine():
            raise NotSupported(f"killing process {pid}: {self._root} stands in for another machine")
        if pid < 1:
            raise ValueError(f"`pid` must be that of one process, not {pid}")
        os.kill(pid, signal)

    def close(self) -> None:
        """End subscriptions and close serial ports; a second time does nothing."""
        for item in tuple(self._open):
            item.close()
        self._open.clear()

    def _is_machine(self) -> bool:
        return self._root == Path("/")

    def _real(self, path: str) -> Path:
        if not path.startswith("/"):
            raise UsageError(f"{path!r} is no absolute path: on a host, paths begin with /")
        return self._root / path.lstrip("/")

    @contextmanager
    def _descriptor(self, path: str, flags: int) -> Iterator[int]:
        descriptor = os.open(self._real(path), flags | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _run(self, argv: builtins.list[str], timeout: float) -> Completed:
        return run_command(argv, timeout=timeout)


def _is_mac() -> bool:
    return sys.platform == "darwin"
