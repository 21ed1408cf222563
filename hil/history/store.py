"""The history file: one SQLite database in WAL mode, a transaction a test, many readers and writers at once."""

from __future__ import annotations

import array
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import time
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self

from hil.errors import UsageError
from hil.history.schema import bring_up_to_date, owned_version
from hil.history.series import KEY_FIELDS, Key, Point

PATIENCE: Final = 30.0
"""Real seconds that a writer waits for another; a test's transaction takes milliseconds."""
_KEY = ", ".join(KEY_FIELDS)


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
                raise

    def _add(self, key: Key, point: Point) -> int:
        context = json.dumps(dict(sorted(point.context.items())), ensure_ascii=False)
        self._connection.execute("INSERT OR IGNORE INTO run (name, context) VALUES (?, ?)", (point.run, context))
        run = self._connection.execute("SELECT id FROM run WHERE name = ?", (point.run,)).fetchone()[0]
        samples = array.array("d", point.samples).tobytes()
        done = self._connection.execute(
            "INSERT OR IGNORE INTO point VALUES (?, ?, ?, ?, ?, ?)",
            (self._series(key), point.time, run, point.value, point.spread, samples),
        )
        return done.rowcount

    def _series(self, key: Key) -> int:
        values = tuple(getattr(key, name) for name in KEY_FIELDS)
        marks = ", ".join("?" * len(values))
        self._connection.execute(f"INSERT OR IGNORE INTO series ({_KEY}) VALUES ({marks})", values)  # noqa: S608  (names of our own)
        where = " AND ".join(f"{name} = ?" for name in KEY_FIELDS)
        found = self._connection.execute(f"SELECT id FROM series WHERE {where}", values).fetchone()  # noqa: S608
        return int(found[0])

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

    def points(self, key: Key, *, since: float = 0.0, last: int | None = None) -> list[Point]:
        """Points of a series not before `since` (seconds since 1970), oldest first; the `last` of them."""
        where = " AND ".join(f"s.{name} = ?" for name in KEY_FIELDS)
        values: Sequence[Any] = [getattr(key, name) for name in KEY_FIELDS]
        with _explained(self.path):
            rows = self._connection.execute(
                "SELECT p.time, p.value, p.spread, p.samples, r.name, r.context "  # noqa: S608  (names of our own)
                "FROM series s JOIN point p ON p.series = s.id JOIN run r ON r.id = p.run "
                f"WHERE {where} AND p.time >= ? ORDER BY p.time DESC, p.run DESC LIMIT ?",
                (*values, since, -1 if last is None else last),
            ).fetchall()
        return [_point(row) for row in reversed(rows)]

    def accepted(self, key: Key) -> list[Acceptance]:
        """Changes accepted in a series, oldest first."""
        where = " AND ".join(f"s.{name} = ?" for name in KEY_FIELDS)
        with _explained(self.path):
            rows = self._connection.execute(
                "SELECT a.since, a.reason, a.made FROM series s JOIN accepted a ON a.series = s.id "  # noqa: S608
                f"WHERE {where} ORDER BY a.since",
                tuple(getattr(key, name) for name in KEY_FIELDS),
            ).fetchall()
        return [Acceptance(since=since, reason=reason, made=made) for since, reason, made in rows]

    def newest(self, key: Key) -> float:
        """Time of the newest point of a series; 0 where it has none."""
        found = self.points(key, last=1)
        return found[0].time if found else 0.0

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


def _point(row: Sequence[Any]) -> Point:
    moment, value, spread, samples, run, context = row
    raw = array.array("d")
    raw.frombytes(samples)
    return Point(time=moment, value=value, spread=spread, samples=tuple(raw), run=run, context=_context(context))


@lru_cache(maxsize=4096)
def _context(text: str) -> Mapping[str, str]:
    # Most nights run on what the night before ran on.
    return MappingProxyType(json.loads(text))
