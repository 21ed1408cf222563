"""Serial ports of the local machine, by pyserial."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hil.errors import NotSupported

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from hil.hosts.base import Clock

_WRITE_TIMEOUT = 5.0
"""Seconds; a command to a USB switch is 20 bytes: a port that takes longer does not listen."""


class LocalSerialPort:
    """An open serial port; what came behind an end mark is kept for the next read."""

    def __init__(self, path: str, baud: int, clock: Clock) -> None:
        """Open `path` at `baud` bit/s, 8N1, for this process alone.

        Raises:
            NotSupported: pyserial is not installed.
            OSError: the port is missing, busy or not permitted.

        """
        self._library = _library()
        self._path = path
        self._clock = clock
        self._kept = b""
        with self._system_errors("opening"):
            self._port: Any = self._library.Serial(path, baud, write_timeout=_WRITE_TIMEOUT, exclusive=True)

    def write(self, data: bytes) -> None:
        """Send all of `data`.

        Raises:
            OSError: the port failed, or (ETIMEDOUT) did not take it within 5 seconds.

        """
        with self._system_errors("writing to"):
            self._port.write(data)
            self._port.flush()

    def read_until(self, end: bytes, timeout: float) -> bytes:
        """Bytes up to and including `end`; what came so far if `timeout` seconds pass first.

        Raises:
            OSError: the port failed or was unplugged.

        """
        deadline = self._clock.now() + timeout
        while end not in self._kept and (left := deadline - self._clock.now()) > 0:
            with self._system_errors("reading from"):
                self._port.timeout = left
                self._kept += self._port.read(max(1, self._port.in_waiting))
        before, mark, behind = self._kept.partition(end)
        self._kept = behind
        return before + mark

    def close(self) -> None:
        """Close the port; a second time does nothing."""
        self._port.close()

    @contextmanager
    def _system_errors(self, doing: str) -> Iterator[None]:
        """Raise pyserial's errors as the operating system's, with their number and the port's name."""
        try:
            yield
        except self._library.SerialTimeoutException as error:
            raise TimeoutError(errno.ETIMEDOUT, f"{doing} the serial port: it takes nothing", self._path) from error
        except self._library.SerialException as error:
            code = error.errno or errno.EIO
            said = os.strerror(code) if error.errno else str(error)
            raise OSError(code, f"{doing} the serial port: {said}", self._path) from error


def _library() -> ModuleType:
    try:
        import serial  # noqa: PLC0415  (optional: only a bench with a serial actuator needs it)
    except ImportError as error:
        raise NotSupported("serial ports need pyserial: pip install 'hil[serial]'") from error
    module: ModuleType = serial
    return module
