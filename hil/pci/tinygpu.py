"""A PCI function through the TinyGPU server's UNIX socket: the only way to an eGPU on a Mac."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Final

from hil.errors import BenchFault, DeviceGone, DriverError, NotSupported
from hil.hosts.wires.frames import receive_exactly
from hil.hosts.wires.tinygpu import MMIO_BURST_LIMIT, REQUEST, RESPONSE, Command
from hil.pci.base import DEFAULT_RESET, check_range

if TYPE_CHECKING:
    import socket

    from hil.hosts import Host

BARS: Final = 6
_TEXT_LIMIT: Final = 1 << 16  # bytes; an error text longer than this is no text, the stream is out of step
_DEVICE: Final = 0  # the server drives one GPU
_NO_DRIVER: Final = "driver not available"


def socket_path() -> str:
    """Where the TinyGPU server listens: ``APL_REMOTE_SOCK``, else ``tinygpu.sock`` in the temporary folder.

    The same rule as tinygrad's, so that both find the same server.
    """
    return os.environ.get("APL_REMOTE_SOCK") or os.path.join(tempfile.gettempdir(), "tinygpu.sock")  # noqa: PTH118  (a host's path is text)


def open_tinygpu(host: Host, address: str) -> TinyGpuFunction:
    """Connect to the TinyGPU server that runs on `host`. It is never installed or started from here.

    Args:
        host: where the server runs.
        address: BDF of the GPU, for messages: the server knows one GPU and no addresses.

    Raises:
        BenchFault: no server listens, it has no driver, or it serves somebody else; says what to do.
        DeviceGone: the server closed the connection at once.
        DriverError: the server refused with another text.

    """
    path = socket_path()
    try:
        connection = host.connect(path)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise BenchFault(
            f"opening {address}: no TinyGPU server listens at {path} ({error.strerror or error}); "
            f"run `/Applications/TinyGPU.app/Contents/MacOS/TinyGPU server {path}`",
            code=error.errno,
            operation="connect",
        ) from error
    except PermissionError as error:
        raise BenchFault(
            f"opening {address}: {path} belongs to another user ({error.strerror or error}); "
            "run the TinyGPU server as the user who runs the tests",
            code=error.errno,
            operation="connect",
        ) from error
    function = TinyGpuFunction(connection, address, path)
    try:
        function.probe()
    except BaseException:
        function.close()
        raise
    return function


class TinyGpuFunction:
    """The GPU behind one connection to the server; implements `hil.pci.base.FunctionAccess`."""

    def __init__(self, connection: socket.socket, address: str, path: str) -> None:
        self.address = address
        self._connection = connection
        self._path = path
        self._bars: dict[int, int] = {}

    def probe(self) -> None:
        """Ask whether a driver matched; the first request of a connection.

        The server in TinyGPU.app does not know this request and answers status 1 without a text, which is
        fine. It serves one client and lets the next wait until the first has gone: the operation's deadline ends
        that. One whose driver is missing answers any first request with a text and hangs up.
        """
        doing = f"opening {self.address} at {self._path}"
        status, _, text = self._exchange(doing, Command.PROBE, 0, ())
        if status and _NO_DRIVER in text.lower():
            raise BenchFault(
                f"{doing}: {text!r}; check that System Report > PCI shows the GPU and that "
                "`systemextensionsctl list` shows TinyGPU's extension as [activated enabled]; approve it in "
                "System Settings if it waits",
                operation="probe",
            )
        if status and text:
            raise DriverError(f"{doing}: {text}", code=status, operation="probe")

    def config_read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes of config space; see `FunctionAccess`."""
        doing = f"reading config space of {self.address} at {offset:#x}"
        data = b""
        for at, length in _pieces(offset, size):
            value, _ = self._call(doing, Command.CFG_READ, 0, at, length)
            data += (value & ((1 << 8 * length) - 1)).to_bytes(length, "little")
        return data

    def config_write(self, offset: int, data: bytes) -> None:
        """Write `data` to config space; see `FunctionAccess`."""
        doing = f"writing config space of {self.address} at {offset:#x}"
        for at, length in _pieces(offset, len(data)):
            piece = data[at - offset : at - offset + length]
            self._call(doing, Command.CFG_WRITE, 0, at, length, int.from_bytes(piece, "little"))

    def bar_size(self, bar: int) -> int:
        """Size of a BAR in bytes.

        Raises:
            DriverError: the server could not map it, be it that there is no such BAR: it does not tell.

        """
        if not 0 <= bar < BARS:
            return 0
        if bar not in self._bars:
            # The server refuses (or, for writes, silently drops) what goes to a BAR it was not asked to map.
            _, self._bars[bar] = self._call(f"mapping BAR {bar} of {self.address}", Command.MAP_BAR, bar)
        return self._bars[bar]

    def mmio_read(self, bar: int, offset: int, size: int) -> bytes:
        """Exactly `size` bytes of a BAR; see `FunctionAccess`."""
        doing = f"reading BAR {bar} of {self.address} at {offset:#x}"
        check_range(bar, self.bar_size(bar), offset, size)
        data = bytearray()
        while len(data) < size:
            length = min(size - len(data), MMIO_BURST_LIMIT)
            count, _ = self._call(doing, Command.MMIO_READ, bar, offset + len(data), length)
            if count != length:
                raise DriverError(f"{doing}: the server announced {count} of {length} bytes", operation=doing)
            data += self._receive(doing, length)
        return bytes(data)

    def mmio_write(self, bar: int, offset: int, data: bytes) -> None:
        """Write `data` to a BAR; the server answers nothing, and drops silently what it cannot write."""
        doing = f"writing BAR {bar} of {self.address} at {offset:#x}"
        check_range(bar, self.bar_size(bar), offset, len(data))
        for start in range(0, len(data), MMIO_BURST_LIMIT):
            piece = data[start : start + MMIO_BURST_LIMIT]
            head = REQUEST.pack(Command.MMIO_WRITE, _DEVICE, bar, offset + start, len(piece), 0)
            self._send(doing, head + piece)

    def reset(self, kind: str | None = None) -> None:
        """Reset the GPU: the extension tries a function-level, then a hot reset; nobody can choose."""
        doing = f"resetting {self.address} ({kind or DEFAULT_RESET})"
        if kind not in {None, DEFAULT_RESET}:
            raise NotSupported(f"{doing}: TinyGPU chooses the kind itself; name none", operation=doing)
        self._call(doing, Command.RESET, 0)

    def reset_kinds(self) -> tuple[str, ...]:
        """``default`` alone."""
        return (DEFAULT_RESET,)

    def close(self) -> None:
        """Hang up: the server unmaps everything and takes the next client."""
        self._connection.close()

    def _call(self, doing: str, command: Command, bar: int, *arguments: int) -> tuple[int, int]:
        status, results, text = self._exchange(doing, command, bar, arguments)
        if status:
            said = text or "no reason given; `log show --last 1m` may tell the extension's"
            raise DriverError(f"{doing}: {command.name} refused: {said}", code=status, operation=doing)
        return results

    def _exchange(
        self, doing: str, command: Command, bar: int, arguments: tuple[int, ...]
    ) -> tuple[int, tuple[int, int], str]:
        self._send(doing, REQUEST.pack(command, _DEVICE, bar, *(*arguments, 0, 0, 0)[:3]))
        status, first, second = RESPONSE.unpack(self._receive(doing, RESPONSE.size))
        if status and first > _TEXT_LIMIT:
            raise DriverError(f"{doing}: an error text of {first} bytes announced", operation=doing)
        text = self._receive(doing, first).decode(errors="replace") if status else ""
        return status, (first, second), text

    def _send(self, doing: str, data: bytes) -> None:
        try:
            self._connection.sendall(data)
        except ConnectionError as error:
            raise self._gone(doing, error) from error

    def _receive(self, doing: str, count: int) -> bytes:
        try:
            return receive_exactly(self._connection, count)
        except (EOFError, ConnectionError) as error:
            raise self._gone(doing, error) from error

    def _gone(self, doing: str, error: EOFError | ConnectionError) -> DeviceGone:
        code = error.errno if isinstance(error, OSError) else None
        return DeviceGone(
            f"{doing}: the TinyGPU server at {self._path} hung up ({error}); it exits when the GPU leaves",
            code=code,
            operation=doing,
        )


def _pieces(offset: int, size: int) -> list[tuple[int, int]]:
    """`size` bytes at `offset` as naturally aligned accesses of 4, 2 and 1 bytes."""
    found = []
    end = offset + size
    while offset < end:
        length = next(width for width in (4, 2, 1) if offset % width == 0 and offset + width <= end)
        found.append((offset, length))
        offset += length
    return found
