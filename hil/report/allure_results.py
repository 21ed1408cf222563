"""A folder of Allure's results as it is found: what of it can be shown, and what its runs before it were."""

from __future__ import annotations

import json
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
    """When each of its tests last began, milliseconds of the epoch."""
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
    broken, results = [], 0
    starts: dict[str, int] = {}
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
                # A folder that was not emptied holds other nights of the same test, too.
                test = str(told.get("historyId") or file.name)
                starts[test] = max(told["start"], starts.get(test, told["start"]))
        _put(file, into / file.name)
    notes = [f"left out, cut off or no JSON: {_named(broken)}"] if broken else []
    if not results:
        raise UsageError("; ".join([f"{source} holds no Allure result that can be shown", *notes]))
    return Staged(results=results, starts=frozenset(starts.values()), notes=(*notes, *_other_version(source)))


def tidy_history(path: Path, starts: AbstractSet[int], into: Path) -> tuple[str, ...]:
    """Copy the history file `path` to `into`, without lines that are no runs and without the run of `starts`.

    Without the first Allure ends with an error; the second would count one run twice, each time its report is built.

    Args:
        path: the file; nothing is copied where there is none.
        starts: when each test of the run last began. The line of which most began then is that run's:
            of a test that was run again into the same folder the last start alone is left.
        into: the copy.

    Returns:
        A note where a line was no run.

    Raises:
        UsageError: the file cannot be read, or holds lines and no run among them: it is no history.

    """
    if not path.exists():
        return ()
    try:
        lines = [line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    except OSError as error:
        raise UsageError(f"the history {path} cannot be used: {error.strerror or error}") from error
    runs = [(line, began) for line in lines if (began := _starts(_parsed(line))) is not None]
    if lines and not runs:
        raise UsageError(
            f"{path} is no history of Allure: none of its {len(lines)} lines is a run; expected a file that "
            "`hil report --allure` wrote, or one that is not there yet. It was left as it is"
        )
    into.write_text(
        "".join(f"{line}\n" for line, began in runs if 2 * len(began & starts) <= len(began)), encoding="utf-8"
    )
    lost = len(lines) - len(runs)
    return (f"left out of the history {path}: {lost} lines that are not whole",) if lost else ()


def _starts(point: Any) -> set[int] | None:
    """When the tests of a line of the history began; `None` = it is no run."""
    results = point.get("testResults") if isinstance(point, dict) else None
    if not isinstance(results, dict):
        return None
    return {one["start"] for one in results.values() if isinstance(one, dict) and isinstance(one.get("start"), int)}


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
