"""The simulated host's file tree: static files, files that ask or tell the machine, and symbolic links."""

from __future__ import annotations

import errno
import os
import posixpath
from collections.abc import Callable
from dataclasses import dataclass

from hil.hosts.base import FileStat

_DIR = 0o040755
_LINKS = 40
"""Symbolic links that Linux follows on one path."""


@dataclass(slots=True)
class File:
    """A file. `read` gives its content at this moment; `write` takes what one write call brought."""

    read: Callable[[], bytes] | None
    """`None` = nobody may read it, as sysfs' ``remove``."""
    write: Callable[[bytes], float | None] | None = None
    """May return the seconds that the caller has to spend before its write call is over."""
    pread: Callable[[int, int], bytes] | None = None
    """size, offset → bytes; default: a slice of `read`."""
    pwrite: Callable[[bytes, int], int] | None = None
    """data, offset → bytes written."""
    mode: int = 0o100444
    size: int = 4096
    """As `stat` tells it; sysfs says 4096 of every attribute."""


class VirtualTree:
    """Files and links by absolute path; folders exist as long as something is in them.

    Raises the `OSError` that a kernel would: ENOENT, EACCES, EISDIR, ENOTDIR, EINVAL, ELOOP.
    """

    def __init__(self) -> None:
        self._files: dict[str, File] = {}
        self._links: dict[str, str] = {}
        self._folders: dict[str, set[str]] = {"/": set()}

    def add(self, path: str, content: File | bytes | str) -> None:
        """Put a file at `path`; text and bytes are static content (text gets no newline of its own)."""
        if isinstance(content, str):
            content = content.encode()
        if isinstance(content, bytes):
            data = content
            content = File(read=lambda: data)
        self._files[path] = content
        self._enter(path)

    def link(self, path: str, target: str) -> None:
        """Put a symbolic link at `path`; `target` as it is written in the link, relative or absolute."""
        self._links[path] = target
        self._enter(path)

    def folder(self, path: str) -> None:
        """Make an empty folder at `path`."""
        self._folders.setdefault(path, set())
        self._enter(path)

    def remove(self, path: str) -> None:
        """Remove what is at `path` and below; nothing if there is nothing."""
        for name in list(self._folders.pop(path, ())):
            self.remove(posixpath.join(path, name))
        self._files.pop(path, None)
        self._links.pop(path, None)
        parent, name = posixpath.split(path)
        if parent != path:
            self._folders.get(parent, set()).discard(name)

    def read(self, path: str) -> bytes:
        """The whole file."""
        return self._content(self._file(path), path)

    def write(self, path: str, data: bytes) -> float:
        """One write call; returns the seconds that it takes and that the caller has to spend."""
        file = self._file(path)
        if file.write is None:
            raise _error(errno.EACCES, path)
        return file.write(data) or 0.0

    def pread(self, path: str, size: int, offset: int) -> bytes:
        """At most `size` bytes at `offset`."""
        file = self._file(path)
        if file.pread is not None:
            return file.pread(size, offset)
        return self._content(file, path)[offset : offset + size]

    def pwrite(self, path: str, data: bytes, offset: int) -> int:
        """Write `data` at `offset`; returns the bytes written. Takes no time: attributes that do want `write`."""
        file = self._file(path)
        if file.pwrite is not None:
            return file.pwrite(data, offset)
        if offset:
            raise _error(errno.EINVAL, path)
        self.write(path, data)
        return len(data)

    def list(self, path: str) -> list[str]:
        """Names in a folder, sorted."""
        real = self.resolve(path)
        if real not in self._folders:
            raise _error(errno.ENOTDIR if real in self._files else self._absent(real), path)
        return sorted(self._folders[real])

    def stat(self, path: str) -> FileStat:
        """Size and mode, links followed."""
        real = self.resolve(path)
        if real in self._folders:
            return FileStat(size=0, mode=_DIR)
        file = self._files.get(real)
        if file is None:
            raise _error(self._absent(real), path)
        return FileStat(size=file.size, mode=file.mode)

    def readlink(self, path: str) -> str:
        """Target as it is written in the link."""
        parent, name = posixpath.split(path)
        real = posixpath.join(self.resolve(parent), name)
        if real not in self._links:
            there = real in self._files or real in self._folders
            raise _error(errno.EINVAL if there else self._absent(real), path)
        return self._links[real]

    def resolve(self, path: str) -> str:
        """`path` with all symbolic links followed; need not exist."""
        real = "/"
        parts = [part for part in path.split("/") if part and part != "."]
        links = 0
        while parts:
            part = parts.pop(0)
            if part == "..":
                real = posixpath.dirname(real)
                continue
            here = posixpath.join(real, part)
            target = self._links.get(here)
            if target is None:
                real = here
                continue
            links += 1
            if links > _LINKS:
                raise _error(errno.ELOOP, path)
            parts = [piece for piece in target.split("/") if piece and piece != "."] + parts
            if target.startswith("/"):
                real = "/"
        return real

    def _content(self, file: File, path: str) -> bytes:
        if file.read is None:
            raise _error(errno.EACCES, path)
        return file.read()

    def _file(self, path: str) -> File:
        real = self.resolve(path)
        file = self._files.get(real)
        if file is None:
            raise _error(errno.EISDIR if real in self._folders else self._absent(real), path)
        return file

    def _absent(self, real: str) -> int:
        return errno.ENOTDIR if posixpath.dirname(real) in self._files else errno.ENOENT

    def _enter(self, path: str) -> None:
        while path != "/":
            parent, name = posixpath.split(path)
            self._folders.setdefault(parent, set()).add(name)
            path = parent


def _error(code: int, path: str) -> OSError:
    return OSError(code, os.strerror(code), path)
