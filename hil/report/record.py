"""The record of a run: a line of JSON for every test, on disk as soon as it ended, for whoever counts or goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self, TypeVar

from hil.errors import UsageError

VERSION = 1
"""Of the format. Keys are added without a new one; a reader ignores those it does not know."""
OWN_END = (0, 1, 5)
"""Exit codes of a run that came to its own end; one that was interrupted, or failed in pytest itself, can go on."""
_LIKE = "a record that --hil-record or --hil-resume wrote"

Line = TypeVar("Line", "Part", "Began", "Finished", "End")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A run begins, or goes on after it was cut off."""

    hil: str
    """Version."""
    bench: str
    nature: str
    """``simulated``, ``real hardware``, …"""
    simulated: bool
    seed: int
    boot_id: str
    """Changes with every boot of the machine under test."""
    command: str
    started: str
    """ISO 8601, with its time zone."""
    faults: tuple[str, ...] = ()
    """Of a simulated machine, as given."""
    context: Mapping[str, str] = field(default_factory=dict)
    """What the bench runs: ``host``, ``os``, ``hil``; ``scenario`` where a demonstration made the record."""
    devices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By alias: ``id``, ``name``, ``link``, ``enclosure``, ``firmware``, ``driver``, ``engine``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    """A test begins: what a run without its end was doing."""

    began: str
    """Node id."""
    at: float
    """Real seconds since this part of the run began."""
    epochs: int = 0
    """Patterns written so far by the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A test that has ended."""

    test: str
    """Node id."""
    device: str | None
    """Alias."""
    outcome: str
    """``passed``, ``failed`` (the device), ``broken`` (the bench) or ``skipped``."""
    error: str = ""
    """Name of the error's class."""
    hop: str = ""
    """Where on the way to the card an error of ours shows."""
    operation: str = ""
    """What was being done, of an error of ours."""
    message: str = ""
    """First paragraph of the error, or why it was skipped."""
    seconds: float
    """From its beginning to its end, fixtures included; on the machine's clock on a simulated bench, else real."""
    at: float
    """Real seconds from the beginning of this part of the run to its end."""
    markers: tuple[str, ...] = ()
    """The folder of its suite, then its markers."""
    attempts: int = 1
    """How often it was begun; all but the last time it was cut off."""
    evidence: tuple[Mapping[str, str], ...] = field(default=(), repr=False)
    """Of what was attached: ``name``, ``kind`` (``txt``, ``json``, ``svg``), ``text``; see `hil.report.evidence`."""
    reports: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    """pytest's own reports, so that a run that goes on tells of it as if it had just ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The end of a run that could still write it down."""

    ended: str
    """ISO 8601, with its time zone."""
    exit: int
    """Exit code."""
    struck: Mapping[str, int] = field(default_factory=dict)
    """How often each fault of the simulated machine has acted, by its text as given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """All that the file of a run holds."""

    parts: tuple[Part, ...]
    """The run's beginning, and each time it went on."""
    tests: tuple[Finished, ...]
    """In the order in which they ended; the last line counts where there are several of one test."""
    begun: Mapping[str, int]
    """How often each test was begun, by node id; without what an orderly interruption ended."""
    end: End | None
    """`None` = it was cut off, or is not over."""
    epochs: int

    @property
    def head(self) -> Part:
        """The run's beginning."""
        return self.parts[0]

    @property
    def finished(self) -> bool:
        """Whether the run came to its own end."""
        return self.end is not None and self.end.exit in OWN_END

    @property
    def cut_off(self) -> Mapping[str, int]:
        """Tests that began and never ended, by node id: how often."""
        over = {test.test for test in self.tests}
        return {test: count for test, count in self.begun.items() if test not in over}

    def counts(self) -> str:
        """How the tests ended, in words."""
        outcomes = [test.outcome for test in self.tests]
        told = [f"{outcomes.count(name)} {name}" for name in ("failed", "broken", "passed", "skipped")]
        return ", ".join(text for text in told if not text.startswith("0 ")) or "no test"


class Writer:
    """Appends to a record; every line is one write, so that whatever kills the run leaves whole lines behind it.

    Args:
        path: of the file; folders above it are made.
        append: go on with the file that is there, without what was torn off at its end; else begin it anew.
        durable: wait after each line until the disk has it: for a run whose own machine may go down.

    Raises:
        OSError: it cannot be written.

    """

    def __init__(self, path: Path, *, append: bool, durable: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | (0 if append else os.O_TRUNC)
        self._descriptor: int | None = os.open(path, mode, 0o644)
        self._durable = durable
        self._begun = append
        if append:
            os.ftruncate(self._descriptor, path.read_bytes().rfind(b"\n") + 1)

    def part(self, part: Part) -> None:
        """The run begins, or goes on."""
        key = "resumed" if self._begun else "record"
        self._write({key: VERSION, **asdict(part)})

    def began(self, line: Began) -> None:
        """A test begins."""
        self._write(asdict(line))

    def test(self, line: Finished) -> None:
        """A test has ended."""
        self._write(asdict(line))

    def end(self, line: End) -> None:
        """The run is over; the file is closed."""
        self._write(asdict(line))
        self.close()

    def close(self) -> None:
        """Close the file; may be called again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _write(self, facts: Mapping[str, Any]) -> None:
        if self._descriptor is None:
            return  # a second end: pytest calls some hooks twice where its start failed
        os.write(self._descriptor, json.dumps(facts, default=str).encode() + b"\n")
        if self._durable:
            os.fsync(self._descriptor)


def read(path: Path) -> Record:
    """Read the record of a run, whatever ended that; a line torn off at the end of the file is left out.

    Raises:
        UsageError: it cannot be read, is no record, or one of another version of the format.

    """
    try:
        *lines, _torn = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; expected {_LIKE}") from error
    return _found(path, lines)


def read_head(path: Path) -> Part:
    """The beginning of a record alone, whatever follows it; raises as `read`."""
    try:
        with path.open("rb") as file:
            *lines, _torn = file.readline().split(b"\n")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; expected {_LIKE}") from error
    return _found(path, lines).head


def _found(path: Path, lines: Sequence[bytes]) -> Record:
    if not lines:
        raise UsageError(f"{path} is not {_LIKE}: it has not one whole line")
    found = _Found()
    for number, line in enumerate(lines, start=1):
        try:
            facts = json.loads(line)
            version = facts.get("record", VERSION) if number == 1 else VERSION
            if version != VERSION:
                raise UsageError(f"{path} is a record of version {version}, and this hil reads version {VERSION}")
            if number == 1 and "record" not in facts:
                raise UsageError(f"{path} is not {_LIKE}: its first line does not say so")
            found.take(facts)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise UsageError(f"{path} is not {_LIKE}: line {number}: {error}") from error
    return found.record()


def begun(path: Path) -> bool:
    """Whether there is anything to go on from: not where the file is missing, empty, or torn in its first line."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; expected {_LIKE}") from error
    start = f'{{"record": {VERSION}'.encode()
    return not (start.startswith(content) or (content.startswith(start) and b"\n" not in content))


class _Found:
    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._tests: dict[str, Finished] = {}
        self._begun: dict[str, int] = {}
        self._end: End | None = None
        self._epochs = 0

    def take(self, facts: Mapping[str, Any]) -> Self:
        if "record" in facts or "resumed" in facts:
            self._parts.append(_made(Part, facts))
            self._end = None
        elif "began" in facts:
            line = _made(Began, facts)
            self._begun[line.began] = self._begun.get(line.began, 0) + 1
            self._epochs = line.epochs
        elif "test" in facts:
            self._tests.pop(str(facts["test"]), None)
            self._tests[str(facts["test"])] = _made(Finished, facts)
        elif "ended" in facts:
            # Somebody ended the run in order: what was under way then has taken nobody down.
            self._begun = {test: count for test, count in self._begun.items() if test in self._tests}
            self._end = _made(End, facts)
        return self

    def record(self) -> Record:
        return Record(
            parts=tuple(self._parts),
            tests=tuple(self._tests.values()),
            begun=self._begun,
            end=self._end,
            epochs=self._epochs,
        )


def _made(kind: type[Line], facts: Mapping[str, Any]) -> Line:
    known = _KEYS[kind]
    # JSON gives lists and no other kind of sequence; asking for less than that counts where a year of records is read.
    values: dict[str, Any] = {
        key: tuple(value) if type(value) is list else value for key, value in facts.items() if key in known
    }
    return kind(**values)


_KEYS: Mapping[type, frozenset[str]] = {
    kind: frozenset(one.name for one in fields(kind)) for kind in (Part, Began, Finished, End)
}
