"""The history file: one SQLite database in WAL mode, a transaction a test, many readers and writers at once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from struct import Struct, pack
from time import time
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self

from hil.errors import UsageError
from hil.history.schema import bring_up_to_date, owned_version
from hil.history.series import KEY_FIELDS, Key, Point

PATIENCE: Final = 30.0
"""Real seconds that a writer waits for another; a test's transaction takes milliseconds."""
_KEY = ", ".join(KEY_FIELDS)
_AT_ONCE: Final = 500
"""Parameters of a query; SQLite takes 999 and more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """A change that somebody accepted: what came before `since` is no reference any more."""

    since: float
    """Seconds since 1970."""
    reason: str
    made: float
    """When it was accepted."""


def open_history(path: Path, *, must_exist: bool = False) -> History:
    """Open the history file at `path`; a new one is made unless `must_exist`.

    Raises:
        UsageError: it is no history file, is damaged, was written by a newer hil, or cannot be opened.

    """
    if must_exist and not path.exists():
        raise UsageError(f"history {path}: there is no such file")
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
        try:
            owned_version(connection, path)  # before anything is changed in a file that may be somebody else's
            connection.execute("PRAGMA journal_mode = WAL")
            # A Mac that panics takes the machine down, not only this process: wait until it is on the disk.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            bring_up_to_date(connection, path)
        except BaseException:
            connection.close()
            raise
    return History(connection, path)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise UsageError(f"history {path}: {error}; nothing was changed in it") from error
    except sqlite3.DatabaseError as error:
        raise UsageError(
            f"history {path}: damaged, or no SQLite file ({error}); it was left as it is: move it away, or "
            "`sqlite3 FILE .recover` what can be read"
        ) from error
    except OSError as error:
        raise UsageError(f"history {path}: {error.strerror or error}") from error


class History:
    """An open history file. Not for several threads at once."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self.path = path
        self._numbers: dict[Key, int] = {}
        self._runs: dict[int, tuple[str, Mapping[str, str]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    # Writing ----------------------------------------------------------------------------------------------------------

    def add(self, points: Iterable[tuple[Key, Point]]) -> int:
        """Keep `points`, all or none; a point that is there already (same series, time and run) stays as it is.

        Returns:
            How many were new.

        Raises:
            UsageError: the file cannot be written.

        """
        with self._transaction():
            return sum(self._add(key, point) for key, point in points)

    def accept(self, keys: Iterable[Key], *, since: float, reason: str) -> int:
        """Let the nights before `since` (seconds since 1970) be no reference any more for the series `keys`.

        Returns:
            For how many series.

        """
        with self._transaction():
            found = [self._series(key) for key in keys]
            for series in found:
                self._connection.execute(
                    "INSERT INTO accepted VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET reason = excluded.reason",
                    (series, since, reason, time()),
                )
        return len(found)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _explained(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                # What it was about to number has no number.
                self._numbers.clear()
                self._runs.clear()
                raise

    def _add(self, key: Key, point: Point) -> int:
        context = json.dumps(dict(sorted(point.context.items())), ensure_ascii=False)
        self._connection.execute("INSERT OR IGNORE INTO run (name, context) VALUES (?, ?)", (point.run, context))
        run = self._connection.execute("SELECT id FROM run WHERE name = ?", (point.run,)).fetchone()[0]
        samples = pack(f"{len(point.samples)}d", *point.samples)
        done = self._connection.execute(
            "INSERT OR IGNORE INTO point VALUES (?, ?, ?, ?, ?, ?)",
            (self._series(key), point.time, run, point.value, point.spread, samples),
        )
        return done.rowcount

    def _series(self, key: Key) -> int:
        known = self._known(key)
        if known is not None:
            return known
        values = tuple(getattr(key, name) for name in KEY_FIELDS)
        marks = ", ".join("?" * len(values))
        self._connection.execute(f"INSERT INTO series ({_KEY}) VALUES ({marks})", values)  # noqa: S608  (names of our own)
        return int(self._known(key) or 0)

    def _known(self, key: Key) -> int | None:
        """The number of a series; `None` = the file has none."""
        if key not in self._numbers:
            where = " AND ".join(f"{name} = ?" for name in KEY_FIELDS)
            values = tuple(getattr(key, name) for name in KEY_FIELDS)
            with _explained(self.path):
                found = self._connection.execute(f"SELECT id FROM series WHERE {where}", values).fetchone()  # noqa: S608
            if found is None:
                return None
            self._numbers[key] = int(found[0])
        return self._numbers[key]

    def _named(self, wanted: set[int]) -> Mapping[int, tuple[str, Mapping[str, str]]]:
        """Names and contexts of the runs `wanted` and others: they never change, and a bench's series share them."""
        missing = sorted(wanted - self._runs.keys())
        for i in range(0, len(missing), _AT_ONCE):
            some = missing[i : i + _AT_ONCE]
            marks = ", ".join("?" * len(some))
            found = self._connection.execute(f"SELECT id, name, context FROM run WHERE id IN ({marks})", some)  # noqa: S608
            self._runs |= {number: (name, _context(context)) for number, name, context in found}
        return self._runs

    # Reading ----------------------------------------------------------------------------------------------------------

    def series(self, **wanted: Any) -> list[Key]:
        """Keys of all series, or of those whose fields are as `wanted`; sorted."""
        where = " AND ".join(f"{name} = ?" for name in wanted) or "1"
        order = ", ".join(KEY_FIELDS)
        with _explained(self.path):
            rows = self._connection.execute(
                f"SELECT {_KEY} FROM series WHERE {where} ORDER BY {order}",  # noqa: S608  (names of our own)
                tuple(wanted.values()),
            ).fetchall()
        return [_key(row) for row in rows]

    def points(self, key: Key, *, since: float = 0.0, last: int | None = None, samples: bool = True) -> list[Point]:
        """Points of a series not before `since` (seconds since 1970), oldest first; the `last` of them.

        Without their raw `samples`, which no verdict and no chart needs, years of them are read in two thirds of the
        time.
        """
        series = self._known(key)
        if series is None:
            return []
        with _explained(self.path):
            rows = self._connection.execute(
                f"SELECT time, value, spread, {'samples, ' if samples else ''}run FROM point "  # noqa: S608
                "WHERE series = ? AND time >= ? ORDER BY time DESC, run DESC LIMIT ?",
                (series, since, -1 if last is None else last),
            ).fetchall()
            runs = self._named({row[-1] for row in rows})
        rows.reverse()
        # What is in the file was looked at when it was written: no `Point(…)`, which looks at every number.
        make = tuple.__new__
        if samples:
            return [
                make(Point, (moment, value, spread, _samples(packed), *runs[run]))
                for moment, value, spread, packed, run in rows
            ]
        return [make(Point, (moment, value, spread, (), *runs[run])) for moment, value, spread, run in rows]

    def accepted(self, key: Key) -> list[Acceptance]:
        """Changes accepted in a series, oldest first."""
        with _explained(self.path):
            rows = self._connection.execute(
                "SELECT since, reason, made FROM accepted WHERE series = ? ORDER BY since", (self._known(key),)
            ).fetchall()
        return [Acceptance(since=since, reason=reason, made=made) for since, reason, made in rows]

    def newest(self, key: Key) -> float:
        """Time of the newest point of a series; 0 where it has none."""
        with _explained(self.path):
            found = self._connection.execute("SELECT max(time) FROM point WHERE series = ?", (self._known(key),))
            return float(found.fetchone()[0] or 0.0)

    def latest(self) -> float:
        """Time of the newest point of all; 0 in an empty file."""
        with _explained(self.path):
            found = self._connection.execute(
                "SELECT max((SELECT max(time) FROM point WHERE series = s.id)) FROM series s"
            ).fetchone()
        return float(found[0] or 0.0)


def _key(row: Sequence[Any]) -> Key:
    facts = dict(zip(KEY_FIELDS, row, strict=True))
    flags = {name: bool(facts[name]) for name in ("simulated", "higher_is_better")}
    return Key(**{**facts, **flags})


def _samples(packed: bytes) -> tuple[float, ...]:
    return _doubles(len(packed)).unpack(packed)


@lru_cache(maxsize=256)
def _doubles(nbytes: int) -> Struct:
    return Struct(f"{nbytes // 8}d")


@lru_cache(maxsize=4096)
def _context(text: str) -> Mapping[str, str]:
    # Most nights run on what the night before ran on.
    return MappingProxyType(json.loads(text))
