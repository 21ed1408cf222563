"""The record of a run: a line of JSON for every test, on disk as soon as it ended, for whoever counts or goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from hil.errors import UsageError

VERSION = 1
"""Of the format. Keys are added without a new one; a reader ignores those it does not know."""
OWN_END = (0, 1, 5)
"""Exit codes of a run that came to its own end; one that was interrupted, or failed in pytest itself, can go on."""
_LIKE = "a record that --hil-record or --hil-resume wrote"
_SHOWN: Final = 60
"""Characters of a value in a message."""
_LARGEST: Final = 1e300

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
    lost: tuple[str, ...] = ()
    """Lines that could not be read, each with its number and what is wrong in it."""

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
        data = json.dumps(facts, default=str).encode() + b"\n"
        while data:  # a disk that is nearly full takes a part
            data = data[os.write(self._descriptor, data) :]
        if self._durable:
            os.fsync(self._descriptor)


def read(path: Path) -> Record:
    """Read the record of a run, whatever ended that; a line torn off at the end of the file is left out.

    Of a line in the middle that cannot be read, `Record.lost` tells.

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
            facts = _object(line)
            if number == 1:
                _check_first(path, facts)
            found.take(facts)
        except (ValueError, TypeError, RecursionError) as error:  # a TypeError: a key is missing
            if number == 1:
                raise UsageError(f"{path} is not {_LIKE}: line 1: {error}") from error
            found.lost.append(f"line {number}: {error}")
    return found.record()


def _object(line: bytes) -> dict[str, Any]:
    facts = json.loads(line)
    if not isinstance(facts, dict):
        raise ValueError(f"{_short(facts)}; expected an object")  # noqa: TRY004  (of the file, not of a program)
    return facts


def _check_first(path: Path, facts: Mapping[str, Any]) -> None:
    if "record" not in facts:
        raise UsageError(f"{path} is not {_LIKE}: its first line does not say so")
    if facts["record"] != VERSION:
        raise UsageError(
            f"{path} is a record of version {_short(facts['record'])}, and this hil reads version {VERSION}"
        )


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
        self.lost: list[str] = []
        self._parts: list[Part] = []
        self._tests: dict[str, Finished] = {}
        self._begun: dict[str, int] = {}
        self._end: End | None = None
        self._epochs = 0

    def take(self, facts: Mapping[str, Any]) -> None:
        if "record" in facts or "resumed" in facts:
            self._parts.append(_made(Part, facts))
            self._end = None
        elif "began" in facts:
            line = _made(Began, facts)
            self._begun[line.began] = self._begun.get(line.began, 0) + 1
            self._epochs = line.epochs
        elif "test" in facts:
            # A test that has ended nobody knows how is not lost: whoever reads this takes it for trouble.
            told = facts if isinstance(facts.get("outcome"), str) else {**facts, "outcome": "unknown"}
            test = _made(Finished, told)
            self._tests.pop(test.test, None)
            self._tests[test.test] = test
        elif "ended" in facts:
            self._end = _made(End, facts)
            # Somebody ended the run in order: what was under way then has taken nobody down.
            self._begun = {test: count for test, count in self._begun.items() if test in self._tests}

    def record(self) -> Record:
        return Record(
            parts=tuple(self._parts),
            tests=tuple(self._tests.values()),
            begun=self._begun,
            end=self._end,
            epochs=self._epochs,
            lost=tuple(self.lost),
        )


def _made(kind: type[Line], facts: Mapping[str, Any]) -> Line:
    known = _VALUES[kind]
    # JSON gives lists and no other kind of sequence; asking for less than that counts where a year of records is read.
    values: dict[str, Any] = {}
    for key, value in facts.items():
        if key not in known:
            continue
        fits, expected = known[key]
        if not fits(value):
            raise ValueError(f"`{key}` is {_short(value)}; expected {expected}")
        values[key] = tuple(value) if type(value) is list else value
    return kind(**values)


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: type(value) in kinds


def _all(kind: type) -> Callable[[Any], bool]:
    return lambda value: type(value) is list and all(type(one) is kind for one in value)


def _maps_to(kind: type) -> Callable[[Any], bool]:
    return lambda value: type(value) is dict and all(type(one) is kind for one in value.values())


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < _LARGEST


_Value = tuple[Callable[[Any], bool], str]
"""Whether a value fits, and what fits in words."""
_TEXT: Final[_Value] = (_is(str), "a text")
_TEXTS: Final[_Value] = (_all(str), "a list of texts")
_COUNT: Final[_Value] = (_is(int), "a whole number")
_NUMBER: Final[_Value] = (_is_finite, "a finite number")
_OBJECTS: Final[_Value] = (_all(dict), "a list of objects")
_VALUES: Final[Mapping[type, Mapping[str, _Value]]] = {
    Part: {
        **dict.fromkeys(("hil", "bench", "nature", "boot_id", "command", "started"), _TEXT),
        "simulated": (_is(bool), "true or false"),
        "seed": _COUNT,
        "faults": _TEXTS,
        "context": (_is(dict), "an object"),
        "devices": (_maps_to(dict), "an object of objects"),
    },
    Began: {"began": _TEXT, "at": _NUMBER, "epochs": _COUNT},
    Finished: {
        **dict.fromkeys(("test", "outcome", "error", "hop", "operation", "message"), _TEXT),
        "device": (_is(str, type(None)), "a text or null"),
        **dict.fromkeys(("seconds", "at"), _NUMBER),
        "markers": _TEXTS,
        "attempts": _COUNT,
        **dict.fromkeys(("evidence", "reports"), _OBJECTS),
    },
    End: {"ended": _TEXT, "exit": _COUNT, "struck": (_maps_to(int), "an object of whole numbers")},
}
