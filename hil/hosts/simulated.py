"""The simulated host: this program's end of a simulated machine's sockets."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hil import errors
from hil.errors import BenchFault, DeviceHung, HilError, NotSupported
from hil.hosts.base import Completed, Event, FileStat, LogLine, Process, SerialPort
from hil.hosts.reading import Content
from hil.hosts.simulated_serial import SimulatedSerialPort
from hil.hosts.wires.frames import receive_frame, send_frame
from hil.model import HostFacts, from_dict


class SimulatedHost:
    """A `Host` on the machine that listens at `address`.

    `client` names this object to the machine; an operation announced on its clock is one actor there.
    """

    kind = "simulated"

    def __init__(self, address: str, *, client: str = "") -> None:
        self.address = address
        self.client = client or f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._lock = threading.Lock()
        # Never used for anything but to be closed: the machine then knows that this client is gone.
        self._life = self._dial("life")
        try:
            self._line = self._dial("host")
        except BaseException:
            self._life.close()
            raise
        self.clock = SimulatedClock(self)

    def facts(self) -> HostFacts:
        """The simulated computer."""
        return from_dict(HostFacts, self._ask("facts")[0]["facts"])

    def read(self, path: str) -> bytes:
        """The whole of a file."""
        return self._ask("read", path=path)[1]

    def read_many(self, paths: Sequence[str]) -> list[Content]:
        """What each of `paths` holds, or why it cannot be read, in one request."""
        reply, data = self._ask("read_many", paths=list(paths))
        found: list[Content] = []
        at = 0
        for one in reply["files"]:
            if "size" in one:
                found.append(data[at : at + one["size"]])
                at += one["size"]
            else:
                found.append(_refusal(one))
        return found

    def write(self, path: str, data: bytes) -> None:
        """Write in one call."""
        self._ask("write", data, path=path)

    def pread(self, path: str, size: int, offset: int) -> bytes:
        """At most `size` bytes at `offset`."""
        return self._ask("pread", path=path, size=size, offset=offset)[1]

    def pwrite(self, path: str, data: bytes, offset: int) -> int:
        """Write `data` at `offset`."""
        return int(self._ask("pwrite", data, path=path, offset=offset)[0]["count"])

    def list(self, path: str) -> list[str]:
        """Names in a directory, sorted."""
        names: list[str] = self._ask("list", path=path)[0]["names"]
        return names

    def stat(self, path: str) -> FileStat:
        """Size and mode."""
        return from_dict(FileStat, self._ask("stat", path=path)[0]["stat"])

    def readlink(self, path: str) -> str:
        """Target of a symbolic link."""
        return str(self._ask("readlink", path=path)[0]["target"])

    def map(self, path: str, size: int, offset: int = 0) -> memoryview:
        """Not on a simulated machine: a mapping would bypass the faults; use `pread` and `pwrite`."""
        raise NotSupported(f"{path}: a simulated machine's files cannot be mapped ({size} bytes at {offset})")

    def run(self, argv: Sequence[str], *, timeout: float) -> Completed:
        """Run a command on the simulated machine."""
        reply, data = self._ask("run", argv=list(argv), timeout=timeout)
        cut = reply["stdout_bytes"]
        return Completed(argv=tuple(argv), returncode=reply["returncode"], stdout=data[:cut], stderr=data[cut:])

    def connect(self, address: str) -> socket.socket:
        """A socket path of the simulated machine, or one of its services: ``driver``, ``plug``."""
        return self._dial(address)

    def serial(self, path: str, baud: int) -> SerialPort:
        """Open a serial port of the simulated machine."""
        return SimulatedSerialPort(
            path, baud, lambda what, payload, **more: self._ask("serial", payload, what=what, **more)[1]
        )

    def nvml(self) -> Any | None:
        """An object in the place of NVML's library.

        Raises:
            NotSupported: this machine is a Mac.

        """
        if self.facts().system != "Linux":
            raise NotSupported("NVML: there is none on macOS")
        from hil.hosts.simulated_nvml import SimulatedNvml  # noqa: PLC0415  (ctypes, for those who ask)

        return SimulatedNvml(self._ask_nvml)

    def usb_backend(self) -> Any | None:
        """A backend for pyusb.

        Raises:
            NotSupported: pyusb is not installed.

        """
        try:
            from hil.hosts.simulated_usb import SimulatedUsb  # noqa: PLC0415  (pyusb is an optional part)
        except ImportError as error:
            raise NotSupported("USB: pyusb is not installed: `pip install 'hil[usb]'`") from error
        return SimulatedUsb(lambda what, **more: self._ask("usb", what=what, **more))

    def watch(self, subsystems: Sequence[str]) -> SimulatedEvents:
        """Subscribe to what comes and goes."""
        events = SimulatedEvents(self._dial("events"))
        events.ask(subsystems=list(subsystems))
        return events

    def kernel_log(self, since: float = 0.0) -> Sequence[LogLine]:
        """Lines of the simulated kernel's log."""
        return [from_dict(LogLine, line) for line in self._ask("kernel_log", since=since)[0]["lines"]]

    def processes(self) -> Sequence[Process]:
        """A simulated machine runs no processes of its own."""
        return []

    def kill(self, pid: int, signal: int) -> None:
        """A simulated machine runs no processes of its own."""
        raise ProcessLookupError(3, f"{os.strerror(3)} (signal {signal} to {pid} on a simulated machine)")

    def close(self) -> None:
        """Hang up; the machine forgets this client."""
        for sock in (self._line, self._life):
            sock.close()

    def _ask_nvml(self, function: str, given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        reply, _ = self._ask("nvml", function=function, given=given)
        return reply["code"], reply["values"]

    def _dial(self, service: str) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(self.address)
            send_frame(sock, {"service": service, "client": self.client, "pid": os.getpid()})
            reply, _ = receive_frame(sock)
        except (OSError, EOFError) as error:
            sock.close()
            raise BenchFault(
                f"the simulated machine at {self.address} does not answer: {error}",
                operation=f"connect to {service}",
            ) from error
        if "errno" in reply:
            sock.close()
            raise OSError(reply["errno"], os.strerror(reply["errno"]), service)
        return sock

    def _ask(self, do: str, payload: bytes = b"", **request: Any) -> tuple[dict[str, Any], bytes]:
        with self._lock:
            try:
                send_frame(self._line, {"do": do, "pid": os.getpid(), **request}, payload)
                reply, data = receive_frame(self._line)
            except (OSError, EOFError) as error:
                # The machine hangs up on a client whose operation is past its deadline, or when it is switched off.
                raise DeviceHung(f"the simulated machine hung up during {do}: {error}", operation=do) from error
        if "os_error" in reply or "error" in reply:
            raise _refusal(reply)
        return reply, data


def _refusal(reply: dict[str, Any]) -> OSError | HilError:
    return OSError(*reply["os_error"]) if "os_error" in reply else errors.from_dict(reply["error"])


class SimulatedClock:
    """The machine's own clock."""

    def __init__(self, host: SimulatedHost) -> None:
        self._host = host

    def now(self) -> float:
        """Seconds since the machine was switched on."""
        return float(self._host._ask("now")[0]["now"])  # noqa: SLF001  (the host's own clock)

    def sleep(self, seconds: float) -> None:
        """Wait; time jumps once everybody waits."""
        if seconds > 0:
            self._host._ask("sleep", seconds=seconds)  # noqa: SLF001

    @contextmanager
    def operation(self, name: str, deadline: float) -> Iterator[None]:
        """Register this client as an actor until the end of the block."""
        self._host._ask("begin", name=name, deadline=deadline)  # noqa: SLF001
        try:
            yield
        finally:
            with contextlib.suppress(DeviceHung):  # hung up already: the machine has removed the actor
                self._host._ask("end")  # noqa: SLF001


class SimulatedEvents:
    """A subscription to the simulated machine's events."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def next(self, timeout: float) -> Event | None:
        """The next event, or `None` after `timeout` seconds of the machine's clock."""
        event = self.ask(timeout=timeout)["event"]
        return None if event is None else from_dict(Event, event)

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send `request` and wait for the answer.

        Raises:
            DeviceHung: the machine hung up.
            HilError: it failed; says how.

        """
        try:
            send_frame(self._sock, request)
            reply, _ = receive_frame(self._sock)
        except (OSError, EOFError) as error:
            self._sock.close()
            raise DeviceHung(f"the simulated machine hung up on a watch: {error}", operation="watch") from error
        if "error" in reply:
            raise errors.from_dict(reply["error"])
        return reply

    def close(self) -> None:
        """End the subscription."""
        self._sock.close()
