"""Lenient reads of sysfs: what is missing is missing, other failures become problems, nothing raises."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING

from hil.errors import HilError
from hil.hosts.reading import read_many

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.hosts.base import Host
    from hil.hosts.reading import Content

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

    def texts(self, folder: str, names: Sequence[str]) -> dict[str, str | None]:
        """The attributes `names` in `folder` without white space around them; `None` if not there or unreadable."""
        try:
            contents = read_many(self._host, [f"{folder}/{name}" for name in names])
        except HilError:
            return dict.fromkeys(names)
        return {name: self._text(f"{folder}/{name}", content) for name, content in zip(names, contents, strict=True)}

    def _text(self, path: str, content: Content) -> str | None:
        if isinstance(content, bytes):
            return content.decode("utf-8", errors="replace").strip("\0 \t\r\n")
        if isinstance(content, OSError):
            self._note("read", path, content)
        # Else a captured host that did not record an optional attribute: the same as a kernel without it.
        return None

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
