"""Options, and where their values come from: command line, then environment, then ini file, then the default."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from hil.errors import UsageError
from hil.hosts import selection
from hil.report.record import Record, begun
from hil.report.record import read as read_record

_NAMES = {
    "bench": "auto, local, opencl, sim, sim:PROFILE, sim:FILE.toml, sim:/SOCKET, captured:FILE or a bench file "
    "(BENCH.toml) (default: auto)",
    "device": "alias of a device to use; repeatable (default: all)",
    "fault": "NAME[:key=value,…], MODULE:CLASS[:…] or PATH.py:CLASS[:…] on a simulated bench; repeatable",
    "backstop": "real seconds after which a stuck device process is killed: beyond its operation's deadline on real "
    "hardware, in all on a simulated bench (default: 30)",
    "seed": "seed of all patterns and choices, 0 … 4294967295; the header names the one that repeats a run "
    "(default: random)",
    "junit": "path of a JUnit file that is complete after every test, whatever ends the run (default: none)",
    "record": "path of a file to write the run down in: a line of JSON a test, on disk as soon as it ended "
    "(default: none)",
    "history": "history file that figures are kept in and held against; none = neither (default: the user's own on "
    "real hardware, none on any other bench)",
    "resume": "as --hil-record, and go on where the run that wrote the file was cut off: what it had finished keeps "
    "its result and is not run again; without such a file, begin (default: none)",
}
_REPEATABLE = ("device", "fault")
_INI_TYPES: tuple[Literal["string"], Literal["linelist"]] = ("string", "linelist")
_FLAGS = {
    "inline": "run operations in pytest's own process, for a debugger; simulated benches only",
    "quick-first": "run the tests marked quick before the others: what is broken shows in seconds, not in minutes",
    "require-hardware": "exit code 4 rather than a simulated bench where no hardware is found",
}
_SEEDS = 1 << 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """All options of a run."""

    bench: selection.Selection
    devices: tuple[str, ...]
    faults: tuple[str, ...]
    backstop: float | None
    """Real seconds; `None` = the bench's own default."""
    seed: int
    junit: str
    """Path; empty = none."""
    record: str
    """Path of the record to write; empty = none."""
    history: str
    """Path of the history file, or ``none``; empty = not said."""
    resumed: Record | None
    """The run to go on with; `None` = this one begins."""
    inline: bool
    quick_first: bool
    require_hardware: bool
    said: Mapping[str, str]
    """Where the value of each option came from, by its name without ``--hil-``."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options."""
    group = parser.getgroup("hil", "hardware in the loop")
    for name, text in _NAMES.items():
        action = "append" if name in _REPEATABLE else "store"
        group.addoption(f"--hil-{name}", action=action, default=None, metavar=name.upper(), help=text)
        parser.addini(f"hil_{name}", text, type=_INI_TYPES[name in _REPEATABLE], default=None)
    for name, text in _FLAGS.items():
        group.addoption(f"--hil-{name}", action="store_true", default=None, help=text)
        parser.addini(_ini(name), text, type="bool", default=None)


def read(config: pytest.Config) -> Options:
    """The options of this run.

    Raises:
        UsageError: a value cannot be used; names it, where it came from, and what was expected.

    """
    found = {name: _lookup(config, name) for name in (*_NAMES, *_FLAGS)}
    record_path, resumed = _record(found["record"], found["resume"])
    return Options(
        bench=_bench(*found["bench"]),
        devices=_several(found["device"][1]),
        faults=_several(found["fault"][1]),
        backstop=_seconds(*found["backstop"]),
        seed=resumed.head.seed if resumed and found["seed"][1] is None else _seed(*found["seed"]),
        junit=str(found["junit"][1] or ""),
        record=record_path,
        history=str(found["history"][1] or ""),
        resumed=resumed,
        inline=_flag(*found["inline"]),
        quick_first=_flag(*found["quick-first"]),
        require_hardware=_flag(*found["require-hardware"]),
        said={name: source for name, (source, _) in found.items()},
    )


def _ini(name: str) -> str:
    return f"hil_{name.replace('-', '_')}"


def _lookup(config: pytest.Config, name: str) -> tuple[str, Any]:
    """Source and value of an option; `None` where it was given nowhere."""
    given = config.getoption(f"--hil-{name}")
    if given is not None:
        return f"--hil-{name}", given
    variable = _ini(name).upper()
    if os.environ.get(variable):
        text = os.environ[variable]
        return variable, list(filter(None, text.split(";"))) if name in _REPEATABLE else text
    source = f"{_ini(name)} in {config.inipath or 'the ini file'}"
    try:
        value = config.getini(_ini(name))
    except (TypeError, ValueError, pytest.UsageError) as error:  # of another type, or no truth value
        raise UsageError(f"{source}: {error}") from error
    return (source, value) if value else (f"--hil-{name}", None)


def _bench(source: str, text: str | None) -> selection.Selection:
    try:
        return selection.parse(text or "auto")
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from error


def _several(values: list[str] | None) -> tuple[str, ...]:
    return tuple(values or ())


def _seconds(source: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise UsageError(f"{source}: {text!r} is no number of seconds above 0")
    return value


def _seed(source: str, text: str | None) -> int:
    if text is None:
        return random.SystemRandom().randrange(_SEEDS)
    if not (text.isascii() and text.isdigit()) or int(text) >= _SEEDS:
        raise UsageError(f"{source}: {text!r} is no whole number from 0 to {_SEEDS - 1}")
    return int(text)


def _record(record: tuple[str, str | None], resume: tuple[str, str | None]) -> tuple[str, Record | None]:
    """Path of the record to write, and what it holds where the run is to go on."""
    if not resume[1]:
        return record[1] or "", None
    if record[1] and Path(record[1]) != Path(resume[1]):
        raise UsageError(f"{resume[0]} {resume[1]} goes on writing that file; {record[0]} {record[1]} names another")
    try:
        path = Path(resume[1])
        return resume[1], read_record(path) if begun(path) else None
    except UsageError as error:
        raise UsageError(f"{resume[0]}: {error}") from error


def _flag(source: str, given: str | bool | None) -> bool:
    text = str(given or "false").lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off"):
        return False
    raise UsageError(f"{source}: {given!r} is neither true nor false")
