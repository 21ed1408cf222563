"""The file of a measurement: complete after every run, so that one which was cut off goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from hil.bench.locks import DeviceBusy, DeviceLock, default_folder
from hil.cli.coverage import score
from hil.cli.coverage.row import Count, Row
from hil.cli.coverage.score import About
from hil.cli.whole_file import write_whole
from hil.errors import BenchFault, UsageError
from hil.model import to_dict

FORMAT = 1
"""Keys are added without a new one."""
_LIKE = "a file that `hil coverage --json` wrote"
_SHOWN = 60
"""Characters of a wrong value that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What was measured: runs of different heads must not be mixed."""

    hil: str
    """Version."""
    mode: str
    """``full`` or ``ci``."""
    seed: int
    draws: int
    profiles: tuple[str, ...]
    """That were asked for; empty = what each fault says."""
    suites: str
    """Digest of the suites, and of what of hil they run on."""
    catalogue: str
    """Digest of the simulated machine and its faults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What such a file holds."""

    head: Head
    about: tuple[About, ...]
    runs: tuple[Row, ...]
    left: Count
    """Runs that were not made: the budget was spent, or somebody ended it."""

    def score(self) -> score.Score:
        """What it adds up to."""
        return score.add_up(self.runs, self.about)


_KEPT = {
    "hil": "version of hil",
    "mode": "mode",
    "seed": "--seed",
    "draws": "--draws",
    "profiles": "--profile",
    "suites": "suites (they or hil have changed since)",
    "catalogue": "catalogue (faults or the simulated machine have changed since)",
}


def read(path: Path) -> Measured:
    """What `path` holds.

    Raises:
        UsageError: it cannot be read, or is no such file; names the key that is wrong, and its run.

    """
    try:
        text = path.read_bytes()
        data = json.loads(text)
        if data["hil_coverage"] != FORMAT:
            raise UsageError(f"{path} is of format {data['hil_coverage']}; this hil reads format {FORMAT}")
        # Strict, of the text: JSON's arrays become tuples and its strings enumerations, and nothing else is coerced.
        return TypeAdapter(Measured).validate_json(text, strict=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; expected {_LIKE}") from error
    except ValidationError as error:
        raise UsageError(f"{path} is not {_LIKE}: {_wrong(error)}") from error
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise UsageError(f"{path} is not {_LIKE}: {error!r}") from error


def alone(path: Path) -> DeviceLock:
    """A held lock on `path`, for one command that goes on with it; a context manager.

    Raises:
        BenchFault: another command goes on with it; names that one.

    """
    try:
        # A folder of its own: what lies in that of the devices is taken for one of them. Not beside the file: there it
        # would stay behind.
        return DeviceLock.acquire(str(path.parent.resolve() / path.name), default_folder().with_name("hil-score-locks"))
    except DeviceBusy as error:
        raise BenchFault(
            f"{path} is in use by {error.holder}. Wait for that command or end it, or name another file"
        ) from error


def same(before: Head, now: Head, path: Path) -> None:
    """Make sure that a measurement can go on.

    Raises:
        UsageError: the one in `path` measured something else; names what differs.

    """
    told = [
        f"{words}: there {_told(getattr(before, key))}, now {_told(getattr(now, key))}"
        for key, words in _KEPT.items()
        if getattr(before, key) != getattr(now, key)
    ]
    if told:
        raise UsageError(
            f"{path} holds another measurement ({'; '.join(told)}): give it the same options, name another file, or "
            "begin anew with --afresh"
        )


def write(path: Path, measured: Measured) -> None:
    """Put `measured` in `path`; whoever reads it sees the whole of it, or the whole of what was there before.

    Raises:
        BenchFault: it cannot be written.

    """
    try:
        write_whole(path, _text(measured))
    except UsageError as error:
        raise BenchFault(str(error)) from error  # the name was good when the measurement began


def digest_of(head: Head) -> str:
    """One line on what was measured, for people."""
    parts = [f"hil {head.hil}", f"{head.draws} draws a fault", f"seed {head.seed}", f"suites {head.suites}"]
    return ", ".join([*parts, f"catalogue {head.catalogue}"])


def _wrong(error: ValidationError) -> str:
    """The first of what is wrong: ``runs.3.seconds: Input should be a valid number (got '4')``."""
    first, *more = error.errors(include_url=False)
    place, value = ".".join(map(str, first["loc"])), repr(first["input"])
    got = "" if first["type"] == "missing" else f" (got {value if len(value) <= _SHOWN else value[:_SHOWN] + '…'})"
    return f"{place}: {first['msg']}{got}" + (f"; and {len(more)} more" if more else "")


def _told(value: object) -> str:
    return ", ".join(value) or "none" if isinstance(value, tuple) else str(value)


def _text(measured: Measured) -> str:
    """A line for each fault and each run: two measurements can be compared line by line."""
    found = measured.score()
    return (
        "{\n"
        + ",\n".join(
            [
                f'"hil_coverage": {FORMAT}',
                f'"head": {_json(measured.head)}',
                f'"left": {measured.left}',
                f'"faults": {_lines(found.faults)}',
                f'"clean": {_lines(found.clean)}',
                f'"unscored": {_json(dict(found.unscored))}',
                f'"about": {_lines(measured.about)}',
                f'"runs": {_lines(sorted(measured.runs, key=_place))}',
            ]
        )
        + "\n}\n"
    )


def _place(row: Row) -> tuple[str, str, int]:
    return row.kind.value, row.fault, row.number


def _lines(facts: Iterable[Any] | Sequence[Any]) -> str:
    return "[\n" + ",\n".join(_json(fact) for fact in facts) + "\n]"


def _json(fact: Any) -> str:
    return json.dumps(to_dict(fact), ensure_ascii=False, allow_nan=False)
