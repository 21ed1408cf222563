"""The captured host: answers what was read on a real bench when it was captured, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hil.hosts.base import Clock, Completed, FileStat, LogLine
from hil.hosts.captures import nvml
from hil.hosts.captures.contents import Capture, from_archive
from hil.hosts.captures.journal import Journal, refused
from hil.hosts.captures.reading_only import ReadingOnly
from hil.model import HostFacts, from_dict


class FrozenClock:
    """The moment of the capture."""

    def __init__(self, time: float) -> None:
        self._time = time

    def now(self) -> float:
        """Seconds on the captured host's clock when recording began."""
        return self._time

    def sleep(self, seconds: float) -> None:
        """There is nothing to wait for.

        Raises:
            NotCaptured: always, unless `seconds` is 0.

        """
        if seconds > 0:
            raise refused(f"waiting {seconds:g} s")

    @contextmanager
    def operation(self, name: str, deadline: float) -> Iterator[None]:
        """Nobody needs to be told: no time passes in `name`, so its `deadline` is kept."""
        del name, deadline
        yield


class CapturedHost(ReadingOnly):
    """A `Host` on the capture in a file, or on one already read.

    Everything that was not recorded, and everything that is not reading, raises `NotCaptured`.

    Raises:
        UsageError: the file is no capture that can be read; says why.

    """

    kind = "captured"

    def __init__(self, capture: str | Capture) -> None:
        self.capture = from_archive(capture) if isinstance(capture, str) else capture
        self.clock: Clock = FrozenClock(self.capture.clock)
        self._journal = Journal(self.capture.entries, source=self.capture.source)

    def facts(self) -> HostFacts:
        """The captured computer."""
        return from_dict(HostFacts, self._journal.replay("facts", ()))

    def read(self, path: str) -> bytes:
        """The whole of a file."""
        content: bytes = self._journal.replay("read", (path,))
        return content

    def pread(self, path: str, size: int, offset: int) -> bytes:
        """At most `size` bytes at `offset`."""
        content: bytes = self._journal.replay("pread", (path, size, offset))
        return content

    def list(self, path: str) -> list[str]:
        """Names in a directory, sorted."""
        return sorted(self._journal.replay("list", (path,)))

    def stat(self, path: str) -> FileStat:
        """Size and mode."""
        return from_dict(FileStat, self._journal.replay("stat", (path,)))

    def readlink(self, path: str) -> str:
        """Target of a symbolic link."""
        target: str = self._journal.replay("readlink", (path,))
        return target

    def run(self, argv: Sequence[str], *, timeout: float) -> Completed:
        """What the command answered, whatever its `timeout` was."""
        del timeout
        return Completed(argv=tuple(argv), **self._journal.replay("run", tuple(argv)))

    def kernel_log(self, since: float = 0.0) -> Sequence[LogLine]:
        """Lines of the kernel log, for a `since` that was asked for."""
        return [from_dict(LogLine, line) for line in self._journal.replay("kernel_log", (float(since),))]

    def nvml(self) -> Any:
        """A library for pynvml that answers from the capture."""
        absent = self._journal.replay("nvml", ()) == "absent"
        return nvml.NoLibrary() if absent else nvml.ReplayedLibrary(self._journal)

    def usb_backend(self) -> Any:
        """A backend for pyusb that answers from the capture."""
        absent = self._journal.replay("usb", ()) == "absent"
        from hil.hosts.captures import usb  # noqa: PLC0415  (pyusb is an optional part)

        return usb.NoBackend() if absent else usb.ReplayedBackend(self._journal)

    def close(self) -> None:
        """Nothing is open."""
