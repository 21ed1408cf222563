"""Digests of what was measured with, so that a measurement does not go on with something else."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from hil.cli.coverage import catalogue, command
from hil.cli.coverage.catalogue import Entry
from hil.cli.coverage.command import Suites

_LENGTH = 12
"""Hexadecimal digits: enough to tell versions of a project apart."""
_BESIDE = ("cli", "report", "sim")
"""Rooms of hil that decide no alarm: this one, what shows results, and the machine that is tested."""


def suites(where: Suites) -> str:
    """Of the suites, their fixtures, and all of hil that they run on."""
    return _digest([*_files(where.folder), *_files(_package("hil.fixtures")), *_stack()])


def faults(entries: Sequence[Entry]) -> str:
    """Of the simulated machine, the registered faults, and the faults `entries`, wherever those come from.

    The registered ones count whether they are among `entries` or not: a part of a measurement can be made alone.
    """
    sources = {inspect.getsourcefile(entry.kind) for entry in (*catalogue.chosen(()), *entries)}
    foreign = [Path(source) for source in sources if source]
    return _digest([*_files(_package("hil.sim")), *sorted(foreign)])


def _stack() -> Iterator[Path]:
    root = _package("hil")
    for path in sorted(root.iterdir()):
        # In a checkout suites and their like are links; they are told of by their own names.
        if path.is_dir() and not path.is_symlink() and path.name not in _BESIDE:
            yield from _files(path)
        elif path.suffix == ".py":
            yield path


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".toml"))


def _package(name: str) -> Path:
    folder = command.package(name)
    assert folder is not None  # noqa: S101  (it comes with this one)
    return folder


def _digest(paths: Iterable[Path]) -> str:
    total = hashlib.sha256()
    for path in paths:
        total.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:_LENGTH]
