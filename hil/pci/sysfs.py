"""A PCI function through Linux' sysfs: ``config``, ``resourceN``, ``reset``."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from hil.errors import DeviceGone, DriverError, HilError, NotPermitted, NotSupported
from hil.pci.base import DEFAULT_RESET, check_range
from hil.pci.refusal import refusal, write_attribute

if TYPE_CHECKING:
    from hil.hosts import Host

DEVICES: Final = "/sys/bus/pci/devices"
UNPRIVILEGED_CONFIG: Final = 64
"""Bytes of config space that Linux shows to a user without CAP_SYS_ADMIN (pci_read_config in pci-sysfs.c)."""
_IORESOURCE_IO: Final = 0x100  # include/linux/ioport.h
_WORDS_AT_MOST: Final = 1 << 16  # bytes; above this a plain copy, below it single 32-bit accesses


class SysfsFunction:
    """One PCI function below ``/sys/bus/pci/devices``; implements `hil.pci.base.FunctionAccess`.

    BARs are mapped where the host can map (a real kernel offers no other way to memory), else read as files.
    """

    def __init__(self, host: Host, address: str) -> None:
        self.address = address
        self._host = host
        self._folder = f"{DEVICES}/{address}"
        self._maps: dict[int, memoryview | None] = {}
        """By BAR; `None` = this one cannot be mapped, read and write it."""

    def config_read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes of config space; see `FunctionAccess`."""
        doing, path = f"reading config space of {self.address} at {offset:#x}", f"{self._folder}/config"
        try:
            data = self._host.pread(path, size, offset)
            if len(data) == size:
                return data
            whole = self._host.stat(path).size
        except OSError as error:
            raise self._error(error, doing, path) from error
        end = offset + size
        if UNPRIVILEGED_CONFIG < end <= whole:
            raise NotPermitted(
                f"{doing}: {len(data)} of {size} bytes came; only root may read beyond {UNPRIVILEGED_CONFIG}",
                operation=doing,
            )
        raise NotSupported(f"{doing}: {len(data)} of {size} bytes came; it has {whole}", operation=doing)

    def config_write(self, offset: int, data: bytes) -> None:
        """Write `data` to config space; see `FunctionAccess`."""
        doing = f"writing config space of {self.address} at {offset:#x}"
        self._pwrite(f"{self._folder}/config", data, offset, doing)

    def bar_size(self, bar: int) -> int:
        """Size of a BAR in bytes; 0 = there is none, or firmware found no room for it."""
        return self._resource(bar)[0]

    def mmio_read(self, bar: int, offset: int, size: int) -> bytes:
        """Exactly `size` bytes of a BAR; see `FunctionAccess`."""
        view = self._map(bar, offset, size)
        if view is not None:
            return _read_words(view, offset, size)
        doing, path = self._mmio("reading", bar, offset), f"{self._folder}/resource{bar}"
        try:
            data = self._host.pread(path, size, offset)
        except OSError as error:
            raise self._error(error, doing, path) from error
        if len(data) != size:
            raise DriverError(f"{doing}: {len(data)} of {size} bytes came", operation=doing)
        return data

    def mmio_write(self, bar: int, offset: int, data: bytes) -> None:
        """Write `data` to a BAR; see `FunctionAccess`."""
        view = self._map(bar, offset, len(data))
        if view is not None:
            _write_words(view, offset, data)
            return
        self._pwrite(f"{self._folder}/resource{bar}", data, offset, self._mmio("writing", bar, offset))

    def reset(self, kind: str | None = None) -> None:
        """Reset the function by `kind`, or by the kernel's first choice; see `FunctionAccess`."""
        doing = f"resetting {self.address} ({kind or DEFAULT_RESET})"
        kinds = self.reset_kinds()
        if not kinds or (kind is not None and kind not in {*kinds, DEFAULT_RESET}):
            self._must_exist(doing)
            offered = ", ".join(kinds) or "none"
            raise NotSupported(f"{doing}: the kernel offers {offered} for this function", operation=doing)
        if kind is None or kind == DEFAULT_RESET:
            self._write("reset", "1", doing)
            return
        self._write("reset_method", kind, doing)
        # The kernel keeps the choice until somebody writes another: leave it as it was found.
        choice, putting = " ".join(kinds), f"{doing}: putting reset_method back"
        try:
            self._write("reset", "1", doing)
        except HilError:
            with contextlib.suppress(HilError):  # the failed reset is the news
                self._write("reset_method", choice, putting)
            raise
        self._write("reset_method", choice, putting)

    def reset_kinds(self) -> tuple[str, ...]:
        """Kinds named by ``reset_method``; ``default`` on a kernel before 5.15, which has ``reset`` only."""
        try:
            return tuple(self._host.read(f"{self._folder}/reset_method").decode().split())
        except OSError:
            pass
        try:
            self._host.stat(f"{self._folder}/reset")
        except OSError:
            return ()
        return (DEFAULT_RESET,)

    def close(self) -> None:
        """Unmap the BARs."""
        for view in self._maps.values():
            if view is not None:
                view.release()
        self._maps.clear()

    def _resource(self, bar: int) -> tuple[int, int]:
        doing, path = f"reading the BARs of {self.address}", f"{self._folder}/resource"
        try:
            lines = self._host.read(path).decode().splitlines()
        except OSError as error:
            raise self._error(error, doing, path) from error
        if not 0 <= bar < len(lines):
            return 0, 0
        try:
            start, end, flags = (int(part, 16) for part in lines[bar].split())
        except ValueError as error:
            raise DriverError(
                f"{doing}: {path} line {bar + 1} is no resource: {lines[bar]!r}", operation=doing
            ) from error
        return (end - start + 1 if end else 0), flags

    def _map(self, bar: int, offset: int, size: int) -> memoryview | None:
        if bar in self._maps:
            view = self._maps[bar]
            if view is not None:
                check_range(bar, view.nbytes, offset, size)
                return view
        bar_size, flags = self._resource(bar)
        check_range(bar, bar_size, offset, size)
        if bar not in self._maps:
            self._maps[bar] = None if flags & _IORESOURCE_IO else self._try_map(bar, bar_size)
        return self._maps[bar]

    def _try_map(self, bar: int, bar_size: int) -> memoryview | None:
        path = f"{self._folder}/resource{bar}"
        try:
            return self._host.map(path, bar_size)
        except (NotSupported, AttributeError):
            return None
        except OSError as error:
            raise self._error(error, f"mapping BAR {bar} of {self.address}", path) from error

    def _mmio(self, verb: str, bar: int, offset: int) -> str:
        return f"{verb} BAR {bar} of {self.address} at {offset:#x}"

    def _pwrite(self, path: str, data: bytes, offset: int, doing: str) -> None:
        try:
            written = self._host.pwrite(path, data, offset)
        except OSError as error:
            raise self._error(error, doing, path) from error
        if written != len(data):
            raise DriverError(f"{doing}: the kernel took {written} of {len(data)} bytes", operation=doing)

    def _write(self, name: str, text: str, doing: str) -> None:
        try:
            write_attribute(self._host, f"{self._folder}/{name}", text, doing)
        except NotSupported:
            self._must_exist(doing)
            raise

    def _error(self, error: OSError, doing: str, path: str) -> HilError:
        meant = refusal(error, doing, path)
        if isinstance(meant, NotSupported):
            try:
                self._must_exist(doing)
            except DeviceGone as gone:
                return gone
        return meant

    def _must_exist(self, doing: str) -> None:
        try:
            self._host.stat(self._folder)
        except OSError as error:
            raise DeviceGone(
                f"{doing}: {self._folder} is not there any more; the function was removed",
                code=error.errno,
                operation=doing,
            ) from error


def _aligned(offset: int, size: int) -> bool:
    return offset % 4 == 0 and size % 4 == 0 and size <= _WORDS_AT_MOST


def _read_words(view: memoryview, offset: int, size: int) -> bytes:
    # Registers want one 32-bit access each: a copy of bytes may read them twice or in pieces.
    part = view[offset : offset + size]
    if not _aligned(offset, size):
        return bytes(part)
    return b"".join(word.to_bytes(4, "little") for word in part.cast("I"))


def _write_words(view: memoryview, offset: int, data: bytes) -> None:
    part = view[offset : offset + len(data)]
    if not _aligned(offset, len(data)):
        part[:] = data
        return
    words = part.cast("I")
    for i in range(len(words)):
        words[i] = int.from_bytes(data[4 * i : 4 * i + 4], "little")
