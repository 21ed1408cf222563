"""A read-only `Host` over a dict of files, links and command outputs: for tests of whatever reads a machine.

A tree is written as text. ``[pci A/B/C]`` opens the folder of PCI function C behind the bridges A and B
and links it into /sys/bus/pci/devices; ``[thunderbolt P]`` does the same for P below /sys/devices and the
Thunderbolt bus; ``[P]`` opens any folder. Then ``file = content`` and ``link -> target`` lines; ``#`` begins
a comment.
"""

from __future__ import annotations

import errno
import posixpath
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hil.errors import NotSupported
from hil.hosts.base import Completed, FileStat
from hil.model import HostFacts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DATA = Path(__file__).parent / "data"


@dataclass
class TreeHost:
    """`commands` maps a program's name to what it answers, or to the error that running it raises."""

    system: str = "Linux"
    files: dict[str, bytes | OSError] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    commands: Mapping[str, Completed | Exception] = field(default_factory=dict)
    reverse: bool = False
    """Whether directories are listed the wrong way round."""
    kind: str = "tree"

    def facts(self) -> HostFacts:
        return HostFacts(system=self.system, hostname="bench")

    def read(self, path: str) -> bytes:
        content = self.files.get(self._real(path))
        if content is None:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        if isinstance(content, OSError):
            raise content
        return content

    def list(self, path: str) -> list[str]:
        folder = self._real(path).rstrip("/") + "/"
        names = {p[len(folder) :].split("/", 1)[0] for p in (*self.files, *self.links) if p.startswith(folder)}
        if not names:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        return sorted(names, reverse=self.reverse)

    def stat(self, path: str) -> FileStat:
        real = self._real(path)
        if real in self.files:
            return FileStat(size=len(self.read(real)), mode=0o100444)
        self.list(real)
        return FileStat(size=0, mode=0o040555)

    def readlink(self, path: str) -> str:
        folder, name = posixpath.split(path)
        place = posixpath.join(self._real(folder), name)
        if place in self.links:
            return self.links[place]
        self.stat(place)
        raise OSError(errno.EINVAL, "Invalid argument", path)

    def run(self, argv: Sequence[str], *, timeout: float) -> Completed:
        answer = self.commands.get(argv[0])
        if answer is None:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", argv[0])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def nvml(self) -> None:
        raise NotSupported("a tree has no NVML")

    def usb_backend(self) -> None:
        raise NotSupported("a tree has no USB")

    def put(self, path: str, value: str | OSError) -> None:
        """Set what reading `path` gives."""
        self.files[self._real(path)] = value if isinstance(value, OSError) else value.encode() + b"\n"

    def drop(self, pattern: str) -> None:
        """Remove the files and links whose path `pattern` is found in."""
        self.files = {path: data for path, data in self.files.items() if not re.search(pattern, path)}
        self.links = {path: target for path, target in self.links.items() if not re.search(pattern, path)}

    def _real(self, path: str) -> str:
        for _ in range(40):
            parts = path.strip("/").split("/")
            for n in range(1, len(parts) + 1):
                place = "/" + "/".join(parts[:n])
                if place in self.links:
                    target = posixpath.join(posixpath.dirname(place), self.links[place])
                    path = posixpath.normpath("/".join([target, *parts[n:]]))
                    break
            else:
                return posixpath.normpath(path)
        raise OSError(errno.ELOOP, "Too many levels of symbolic links", path)


def answered(stdout: bytes | str, *, status: int | None = 0, stderr: bytes = b"") -> Completed:
    """What a command came back with; `status` `None` = killed at its timeout."""
    output = stdout.encode() if isinstance(stdout, str) else stdout
    return Completed(argv=(), returncode=status, stdout=output, stderr=stderr)


def tree(text: str) -> TreeHost:
    """The Linux host that `text` describes."""
    host = TreeHost()
    folder = ""
    for raw in text.splitlines():
        line = raw.split("#", 1)[0].strip()
        if line.startswith("["):
            kind, _, path = line.strip("[]").partition(" ")
            folder = kind
            if kind == "pci":
                folder = f"/sys/devices/pci0000:00/{path}"
            elif kind == "thunderbolt":
                folder = f"/sys/devices/{path}"
            if path:
                name = posixpath.basename(path)
                host.links[f"/sys/bus/{kind}/devices/{name}"] = folder.replace("/sys/", "../../../", 1)
        elif "->" in line:
            name, target = (part.strip() for part in line.split("->"))
            host.links[f"{folder}/{name}"] = target
        elif line:
            name, value = (part.strip() for part in line.split("=", 1))
            host.files[f"{folder}/{name}"] = value.replace(r"\n", "\n").encode() + b"\n"
    return host


def load(name: str) -> TreeHost:
    """The Linux host described in tests/data/`name`."""
    return tree((DATA / name).read_text(encoding="utf-8"))
