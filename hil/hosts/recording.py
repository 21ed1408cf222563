"""A host that records everything that is read through it, for a capture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hil.errors import NotSupported
from hil.hosts.base import Completed, FileStat, Host, LogLine
from hil.hosts.captures import nvml
from hil.hosts.captures.journal import Journal
from hil.hosts.captures.reading_only import ReadingOnly
from hil.model import HostFacts, to_dict


class RecordingHost(ReadingOnly):
    """`host`, read-only, with every answer and every refusal of its kept in `journal`.

    What cannot be captured is refused while recording as it will be when the capture is replayed: nothing that only
    works today finds its way into what is found.
    """

    def __init__(self, host: Host) -> None:
        self.kind = host.kind
        self.clock = host.clock
        self.journal = Journal()
        self._host = host
        self._library: Any = None
        self._backend: Any = None

    def facts(self) -> HostFacts:
        """Operating system, model, boot id."""
        facts: HostFacts = self.journal.record("facts", (), self._host.facts, to_dict)
        return facts

    def read(self, path: str) -> bytes:
        """The whole of a file."""
        content: bytes = self.journal.record("read", (path,), lambda: self._host.read(path))
        return content

    def pread(self, path: str, size: int, offset: int) -> bytes:
        """At most `size` bytes at `offset`."""
        ask = lambda: self._host.pread(path, size, offset)  # noqa: E731
        content: bytes = self.journal.record("pread", (path, size, offset), ask)
        return content

    def list(self, path: str) -> list[str]:
        """Names in a directory, sorted."""
        names: list[str] = self.journal.record("list", (path,), lambda: self._host.list(path))
        return names

    def stat(self, path: str) -> FileStat:
        """Size and mode, links followed."""
        found: FileStat = self.journal.record("stat", (path,), lambda: self._host.stat(path), to_dict)
        return found

    def readlink(self, path: str) -> str:
        """Target of a symbolic link."""
        target: str = self.journal.record("readlink", (path,), lambda: self._host.readlink(path))
        return target

    def run(self, argv: Sequence[str], *, timeout: float) -> Completed:
        """Run a command; whoever captures sees to it that it changes nothing."""
        ask = lambda: self._host.run(argv, timeout=timeout)  # noqa: E731
        done: Completed = self.journal.record("run", tuple(argv), ask, _command)
        return done

    def kernel_log(self, since: float = 0.0) -> Sequence[LogLine]:
        """Lines of the kernel log."""
        ask = lambda: self._host.kernel_log(since)  # noqa: E731
        lines: Sequence[LogLine] = self.journal.record("kernel_log", (float(since),), ask, to_dict)
        return lines

    def nvml(self) -> Any:
        """A library for pynvml that records; never `None`, so that pynvml cannot pass it by."""
        if self._library is None:
            library = self.journal.record("nvml", (), self._nvml_library, lambda found: _kind(found, nvml.NoLibrary))
            absent = isinstance(library, nvml.NoLibrary)
            self._library = library if absent else nvml.RecordingLibrary(library, self.journal)
        return self._library

    def usb_backend(self) -> Any:
        """A backend for pyusb that records; never `None`."""
        if self._backend is None:
            try:
                from hil.hosts.captures import usb  # noqa: PLC0415  (pyusb is an optional part)
            except ImportError as error:
                raise NotSupported(f"USB: pyusb is not installed ({error}): `pip install 'hil[usb]'`") from error
            ask = lambda: self._host.usb_backend() or usb.load()  # noqa: E731
            backend = self.journal.record("usb", (), ask, lambda found: _kind(found, usb.NoBackend))
            absent = isinstance(backend, usb.NoBackend)
            self._backend = backend if absent else usb.RecordingBackend(backend, self.journal)
        return self._backend

    def close(self) -> None:
        """Nothing: the host recorded belongs to whoever opened it."""

    def _nvml_library(self) -> Any:
        library = self._host.nvml()
        return nvml.load() if library is None else library


def _command(done: Completed) -> dict[str, Any]:
    return {"returncode": done.returncode, "stdout": done.stdout, "stderr": done.stderr}


def _kind(found: Any, absent: type) -> str:
    return "absent" if isinstance(found, absent) else "present"
