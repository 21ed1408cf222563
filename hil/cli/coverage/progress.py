"""How far a measurement is: one line that is written over at a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections import Counter

import click

from hil.cli.coverage import spans
from hil.cli.coverage.row import End, Row

_EVERY = 30.0
"""Real seconds between two lines in a log."""


class Progress:
    """Tells on standard error what is finished.

    Args:
        total: runs to be made.
        quiet: say nothing.

    """

    def __init__(self, total: int, *, quiet: bool = False) -> None:
        self._total = total
        self._quiet = quiet
        self._ends: Counter[End] = Counter()
        self._began = self._told = self._ready = time.monotonic()
        self._live = sys.stderr.isatty()

    def prepare(self, done: int, total: int) -> None:
        """So many clean nights of `total` are made; the runs come after them."""
        now = self._ready = time.monotonic()
        self._tell(f"{done} of {total} clean nights for histories in {spans.words(round(now - self._began))}", now)

    def add(self, row: Row) -> None:
        """A run is finished."""
        self._ends[row.end] += 1
        now = time.monotonic()
        self._tell(self._line(now), now)

    def end(self) -> None:
        """Nothing more will be told: leave the line to whoever writes next."""
        if self._live and not self._quiet:
            click.echo("\r\x1b[K", err=True, nl=False)

    def _tell(self, line: str, now: float) -> None:
        if self._quiet or (not self._live and now - self._told < _EVERY):
            return
        self._told = now
        click.echo(f"\r\x1b[K{line}" if self._live else line, err=True, nl=not self._live)

    def _line(self, now: float) -> str:
        done = sum(self._ends.values())
        each = (now - self._ready) / done
        ends = ", ".join(f"{count} {end.value}" for end, count in sorted(self._ends.items()))
        left = f", about {spans.words(each * (self._total - done))} left" if done < self._total else ""
        return f"{done} of {self._total} runs ({ends}) in {spans.words(now - self._began)}{left}"
