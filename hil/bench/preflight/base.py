"""What `hil doctor` looks at and what it says: one finding for each thing that was checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hil.bench.file import BenchFile
    from hil.copy import EngineDevice
    from hil.hosts import Host
    from hil.model import Inventory


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    ADVICE = "advice"
    """Something works less well, or cannot be told."""
    MUST = "must"
    """Tests on this bench will not work until it is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What came of one check."""

    check: str
    """``room.what``, e.g. ``linux.authorization``."""
    level: Level
    sentence: str
    """What is, or what is wrong."""
    todo: str = ""
    """What to do about it, with the exact command where there is one; empty if it is `Level.OK`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """All that the checks look at."""

    host: Host
    """Under test."""
    inventory: Inventory
    here: Host
    """The machine that runs hil: the one under test, or the one that steers it."""
    packages: Mapping[str, str]
    """Installed Python distributions, name in lower case with dashes → version."""
    python: tuple[int, ...]
    project: Path
    """Where hil was called: its ``node_modules`` are looked at."""
    scratch: Path
    """Folder for temporary files."""
    scratch_free: int
    """Bytes."""
    lock_folder: Path
    file: BenchFile | None = None
    offers: Mapping[str, Sequence[EngineDevice]] = field(default_factory=dict)
    """What each copy engine can open; empty if nobody was asked."""
    offer_problems: Sequence[str] = ()
    timed_out: Sequence[str] = ()
    """Commands that were killed at their deadline while this bench was looked at."""

    @property
    def system(self) -> str:
        """``Linux`` or ``Darwin``, of the host under test."""
        return self.inventory.host.system

    @property
    def serious(self) -> Level:
        """How much it matters that something which GPUs need is missing: hardly, where none hangs."""
        return Level.MUST if self.inventory.gpus or (self.file is not None and self.file.device) else Level.ADVICE


Check = Callable[[Scene], Iterator[Finding]]
"""Yields nothing where it does not apply."""


def ok(check: str, sentence: str) -> Finding:
    """Nothing is wrong."""
    return Finding(check=check, level=Level.OK, sentence=sentence)


def advice(check: str, sentence: str, todo: str) -> Finding:
    """Something would be better otherwise."""
    return Finding(check=check, level=Level.ADVICE, sentence=sentence, todo=todo)


def must(check: str, sentence: str, todo: str) -> Finding:
    """Something has to be done."""
    return Finding(check=check, level=Level.MUST, sentence=sentence, todo=todo)
