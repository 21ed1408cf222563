"""A folder of Allure's results as it is found: what of it can be shown, and what its runs before it were."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hil
from hil.errors import UsageError

_SHOWN = 5
"""Names in a note."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """What of a results folder is whole, in a folder of its own."""

    results: int
    """How many tests have one."""
    starts: frozenset[int]
    """When each of its tests began, milliseconds of the epoch."""
    notes: tuple[str, ...]
    """What was left out, and what else to know."""


def stage(source: Path, into: Path) -> Staged:
    """Put what is whole in `source` into the empty folder `into`, as links where the disk is the same.

    Raises:
        UsageError: `source` cannot be read, or holds no result that could be shown.

    """
    try:
        files = sorted(path for path in source.iterdir() if path.is_file() and not path.is_symlink())
    except OSError as error:
        raise UsageError(
            f"{source} cannot be read as a folder of Allure results: {error.strerror or error}. "
            f"`pytest suites/ --alluredir {source}` writes one"
        ) from error
    broken, starts, results = [], set(), 0
    for file in files:
        told: Any = None
        if file.suffix == ".json" and "-attachment" not in file.name:
            told = _json(file)
            if told is None:
                broken.append(file.name)
                continue
        if file.name.endswith("-result.json"):
            results += 1
            if isinstance(told, dict) and isinstance(told.get("start"), int):
                starts.add(told["start"])
        _put(file, into / file.name)
    notes = [f"left out, cut off or no JSON: {_named(broken)}"] if broken else []
    if not results:
        raise UsageError("; ".join([f"{source} holds no Allure result that can be shown", *notes]))
    return Staged(results=results, starts=frozenset(starts), notes=(*notes, *_other_version(source)))


def tidy_history(path: Path, starts: AbstractSet[int]) -> tuple[str, ...]:
    """Take out of the history file `path` lines that are not whole, and those of the run whose tests began at `starts`.

    Without the first Allure ends with an error; the second would count one run twice, each time its report is built.

    Returns:
        A note where a line was not whole.

    Raises:
        UsageError: the file cannot be read or written.

    """
    if not path.exists():
        return ()
    half = path.with_name(f".{path.name}.{os.getpid()}")
    kept, lost, same = [], 0, 0
    try:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            told = _parsed(line)
            if not isinstance(told, dict):
                lost += bool(line.strip())
            elif starts & set(_starts(told)):
                same += 1
            else:
                kept.append(line + "\n")
        if lost or same:
            half.write_text("".join(kept), encoding="utf-8")
            half.replace(path)
    except OSError as error:
        raise UsageError(f"the history {path} cannot be used: {error.strerror or error}") from error
    return (f"left out of the history {path}: {lost} lines that are not whole",) if lost else ()


def _starts(point: dict[str, Any]) -> Iterator[int]:
    results = point.get("testResults")
    for one in results.values() if isinstance(results, dict) else ():
        if isinstance(one, dict) and isinstance(one.get("start"), int):
            yield one["start"]


def _other_version(source: Path) -> Iterator[str]:
    try:
        lines = (source / "environment.properties").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        yield f"{source} does not say which bench it is from (no environment.properties)"
        return
    told = dict(line.partition("=")[::2] for line in lines)
    if told.get("hil", hil.__version__) != hil.__version__:
        yield f"{source} was written by hil {told['hil']}, this is {hil.__version__}"


def _put(file: Path, place: Path) -> None:
    try:
        place.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, place)


def _json(file: Path) -> Any:
    try:
        return _parsed(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _named(names: list[str]) -> str:
    more = [f"and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return ", ".join([*names[:_SHOWN], *more])
