"""What a host refuses that only reads: the same words while a capture is made and when it is replayed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from hil.hosts.captures.journal import refused


class ReadingOnly:
    """The methods of a `Host` that do more than read, or read what no capture holds. All raise `NotCaptured`."""

    def write(self, path: str, data: bytes) -> NoReturn:
        """Refused."""
        raise refused(f"writing {len(data)} bytes to {path}")

    def pwrite(self, path: str, data: bytes, offset: int) -> NoReturn:
        """Refused."""
        raise refused(f"writing {len(data)} bytes to {path} at {offset}")

    def map(self, path: str, size: int, offset: int = 0) -> NoReturn:
        """Refused."""
        raise refused(f"mapping {size} bytes of {path} at {offset}")

    def connect(self, address: str) -> NoReturn:
        """Refused."""
        raise refused(f"connecting to {address}")

    def serial(self, path: str, baud: int) -> NoReturn:
        """Refused."""
        raise refused(f"opening the serial port {path} at {baud} baud")

    def watch(self, subsystems: Sequence[str]) -> NoReturn:
        """Refused."""
        raise refused(f"watching for events of {', '.join(subsystems) or 'everything'}")

    def processes(self) -> NoReturn:
        """Refused: command lines hold what is no business of a bug report."""
        raise refused("listing processes")

    def kill(self, pid: int, signal: int) -> NoReturn:
        """Refused."""
        raise refused(f"sending signal {signal} to process {pid}")
