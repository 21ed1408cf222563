"""Sysfs attributes of the simulated Linux: how the kernel prints them, and how it takes what is written to them."""

from __future__ import annotations

import errno
import os
import posixpath
from collections.abc import Callable
from typing import TYPE_CHECKING

from hil.sim.tree import File

if TYPE_CHECKING:
    from hil.sim.tree import VirtualTree

Write = Callable[[bytes], float | None]
"""Takes what was written; may return the seconds that it takes."""

READ_WRITE, WRITE_ONLY = 0o100644, 0o100200


class Folder:
    """One device's folder in sysfs."""

    def __init__(self, tree: VirtualTree, path: str) -> None:
        self.path = path
        self._tree = tree
        tree.folder(path)

    def show(self, name: str, content: str | Callable[[], str], write: Write | None = None) -> None:
        """An attribute: fixed text or what a function says at each read; the line's end is added."""

        def read() -> bytes:
            return f"{content if isinstance(content, str) else content()}\n".encode()

        self._tree.add(f"{self.path}/{name}", File(read, write, mode=READ_WRITE if write else 0o100444))

    def take(self, name: str, write: Write) -> None:
        """An attribute that can only be written."""
        self._tree.add(f"{self.path}/{name}", File(None, write, mode=WRITE_ONLY))

    def add(self, name: str, file: File) -> None:
        """Any other file."""
        self._tree.add(f"{self.path}/{name}", file)

    def link(self, name: str, target: str) -> None:
        """A symbolic link to the absolute path `target`, written relative as in sysfs."""
        link(self._tree, f"{self.path}/{name}", target)


def link(tree: VirtualTree, path: str, target: str) -> None:
    """Put a relative symbolic link at `path` to the absolute path `target`."""
    tree.link(path, posixpath.relpath(target, posixpath.dirname(path)))


def number(data: bytes) -> int:
    """What the kernel's ``kstrtoul`` reads.

    Raises:
        OSError: EINVAL; it is no number of 64 bits.

    """
    try:
        value = int(data.decode("ascii").removesuffix("\n"), 0)
    except ValueError:
        raise refused(errno.EINVAL) from None
    if not 0 <= value < 1 << 64:
        raise refused(errno.EINVAL)
    return value


def refused(code: int) -> OSError:
    """The error that a write call ends with."""
    return OSError(code, os.strerror(code))
