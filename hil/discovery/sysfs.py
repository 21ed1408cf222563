"""Lenient reads of sysfs: what is missing is missing, other failures become problems, nothing raises."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING

from hil.errors import HilError

if TYPE_CHECKING:
    from hil.hosts.base import Host

_ABSENT = {errno.ENODEV, errno.ENXIO}  # the device went away while it was being read
_NUMBER = re.compile(r"0[xX]([0-9a-fA-F]{1,16})|([0-9]{1,16})")


class Attributes:
    """Reads attributes on `host`; `problems` gathers a sentence for each failure that is no plain absence."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.problems: list[str] = []

    def names(self, folder: str) -> list[str]:
        """Names in `folder`, sorted; none when it is not there."""
        try:
            return sorted(str(name) for name in self._host.list(folder))
        except (OSError, HilError) as error:
            self._note("listed", folder, error)
            return []

    def text(self, path: str) -> str | None:
        """The attribute at `path` without white space around it; `None` if not there or unreadable."""
        try:
            return self._host.read(path).decode("utf-8", errors="replace").strip("\0 \t\r\n")
        except HilError:
            # A captured host that did not record an optional attribute: the same as a kernel without it.
            return None
        except OSError as error:
            self._note("read", path, error)
            return None

    def number(self, path: str) -> int | None:
        """The attribute at `path` as a number (decimal, or hexadecimal with ``0x``); `None` if it is none."""
        return number(self.text(path))

    def target(self, path: str) -> str | None:
        """What the symbolic link at `path` says; `None` when it is not there or no link."""
        try:
            return self._host.readlink(path)
        except HilError:
            return None
        except OSError as error:
            self._note("followed", path, error)
            return None

    def _note(self, done: str, path: str, error: OSError | HilError) -> None:
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return
        if isinstance(error, OSError) and error.errno in _ABSENT:
            return
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        self.problems.append(f"{path} could not be {done}: {reason}.")


def number(text: str | None) -> int | None:
    """`text` as a number (decimal, or hexadecimal with ``0x``); `None` when it is none."""
    match = _NUMBER.fullmatch(text or "")
    if match is None:
        return None
    return int(match[1], 16) if match[1] else int(match[2])
