"""A serial port of the simulated machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Ask = Callable[..., bytes]
"""``ask(what, payload, **request)`` → what came back."""


class SimulatedSerialPort:
    """An open port; implements `hil.hosts.base.SerialPort`.

    Raises:
        OSError: there is no such port.

    """

    def __init__(self, path: str, baud: int, ask: Ask) -> None:
        self._path = path
        self._ask = ask
        # A USB device takes any baud rate; it goes along so that the machine's log of requests tells it.
        self._request("open", baud=baud)

    def write(self, data: bytes) -> None:
        """Send all of `data`."""
        self._request("write", data)

    def read_until(self, end: bytes, timeout: float) -> bytes:
        """Bytes up to and including `end`; what came so far if `timeout` seconds of the host's clock pass first."""
        return self._request("read", end=end.hex(), timeout=timeout)

    def close(self) -> None:
        """Nothing is held."""

    def _request(self, what: str, payload: bytes = b"", **more: Any) -> bytes:
        return self._ask(what, payload, path=self._path, **more)
