"""The history file's tables, and the steps that bring an older file up to date."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from hil.errors import UsageError

APPLICATION_ID: Final = 0x68696C31
"""``hil1`` in SQLite's header: tells our files from anybody else's."""
_STEPS: Final = (
    # 1: series, runs with their context, points, and what was accepted.
    """
    CREATE TABLE series (
        id INTEGER PRIMARY KEY,
        bench TEXT NOT NULL, device TEXT NOT NULL, metric TEXT NOT NULL, direction TEXT NOT NULL,
        nbytes INTEGER NOT NULL, engine TEXT NOT NULL, declared TEXT NOT NULL, negotiated TEXT NOT NULL,
        simulated INTEGER NOT NULL, unit TEXT NOT NULL, higher_is_better INTEGER NOT NULL,
        UNIQUE (
            bench, device, metric, direction, nbytes, engine, declared, negotiated, simulated, unit, higher_is_better
        )
    );
    CREATE TABLE run (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, context TEXT NOT NULL);
    CREATE TABLE point (
        series INTEGER NOT NULL REFERENCES series, time REAL NOT NULL, run INTEGER NOT NULL REFERENCES run,
        value REAL NOT NULL, spread REAL NOT NULL, samples BLOB NOT NULL,
        PRIMARY KEY (series, time, run)
    ) WITHOUT ROWID;
    CREATE TABLE accepted (
        series INTEGER NOT NULL REFERENCES series, since REAL NOT NULL, reason TEXT NOT NULL, made REAL NOT NULL,
        PRIMARY KEY (series, since)
    ) WITHOUT ROWID;
    """,
)
VERSION: Final = len(_STEPS)
"""Of the schema that this hil writes (SQLite's ``user_version``)."""


def bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    """Create the tables of an empty file, or take an older one through the steps it lacks, in one transaction.

    Raises:
        UsageError: the file is another program's, or a newer hil's.
        sqlite3.DatabaseError: it is damaged.

    """
    connection.execute("BEGIN IMMEDIATE")  # two that open a new file at once: the second finds it made
    try:
        version = owned_version(connection, path)
        for number, step in enumerate(_STEPS[version:], start=version + 1):
            for statement in filter(str.strip, step.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def owned_version(connection: sqlite3.Connection, path: Path) -> int:
    """The schema version of a file of ours; 0 = it is empty.

    Raises:
        UsageError: the file is another program's, or a newer hil's.

    """
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if owner != APPLICATION_ID and (owner or version or tables):
        raise UsageError(f"history {path}: this is another program's SQLite file; name a file of hil's, or a new one")
    if version > VERSION:
        raise UsageError(
            f"history {path}: written by a newer hil (schema {version}, this one knows up to {VERSION}): update hil"
        )
    return version
