"""One run: opens the bench before anything else, and leaves it in order whatever ends the run."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from hil.bench.bench import Bench
from hil.bench.opening import Wish, open_bench
from hil.bench.process import BACKSTOP
from hil.errors import HilError, UsageError
from hil.plugin.options import Options, read


@dataclass(slots=True)
class Run:
    """What a run knows."""

    options: Options
    bench: Bench
    folder: tempfile.TemporaryDirectory[str]
    epochs: int
    """Patterns written so far, from the seed on: no two transfers of a run carry the same."""
    recoveries: list[str] = field(default_factory=list)
    """Devices that had to be made well, one sentence each."""
    cut_off: list[str] = field(default_factory=list)
    """Tests whose earlier attempts ended with the run, one sentence each."""
    complaints: list[str] = field(default_factory=list)
    """What could not be put right at the end."""
    interrupted: bool = False
    """Whether somebody wants this run to end now."""
    sigterm: Any = None
    """What the signal did before this run."""


OUTCOME: pytest.StashKey[str] = pytest.StashKey()
"""How an item's test itself ended: ``passed``, ``failed``, ``skipped``; absent if it did not run."""
_RUN: pytest.StashKey[Run] = pytest.StashKey()
_EPOCHS_BETWEEN = 1024
"""More patterns than one test writes: the one that was cut off had told how many there were before it."""


def current(config: pytest.Config) -> Run:
    """The run, with its bench open."""
    return config.stash[_RUN]


def started(config: pytest.Config) -> Run | None:
    """The run, if its bench could be opened."""
    return config.stash.get(_RUN, None)


@contextmanager
def said(config: pytest.Config, text: str) -> Iterator[None]:
    """Show `text` while something takes its time, to a person at a terminal; a log in CI stays quiet."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not reporter.isatty or os.environ.get("CI"):
        yield
        return
    capture: Any = config.pluginmanager.get_plugin("capturemanager")

    def write(words: str) -> None:
        # A running test's output is caught, and this is none of it.
        with capture.global_and_fixture_disabled() if capture is not None else nullcontext():
            reporter.write(words, flush=True)

    # Behind pytest's own dots: save the cursor, write, restore it; at the end erase what is behind it.
    write(f"\x1b7  {text}\x1b8")
    try:
        yield
    finally:
        write("\x1b[K")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Open the bench: before the header, which tells of it.

    Raises:
        pytest.UsageError: it cannot be opened; pytest ends with exit code 4.

    """
    try:
        with said(session.config, "hil: looking for enclosures and GPUs …"):
            session.config.stash[_RUN] = _start(session.config)
    except HilError as error:
        raise pytest.UsageError(f"hil: {error}") from error


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let nobody wait for what was under way when the run is told to end."""
    try:
        return (yield)
    except (KeyboardInterrupt, pytest.exit.Exception):
        run = current(item.config)
        run.interrupted = True
        run.bench.interrupt()
        raise


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Put the bench in order, after the last fixture has done its part and while the results can tell how it went."""
    run = started(session.config)
    if run is None:
        return
    with _undisturbed():
        run.complaints += run.bench.close()
    if run.complaints and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config: pytest.Config) -> None:
    """Nothing is left open, however pytest ends."""
    run = started(config)
    if run is not None:
        with _undisturbed():
            run.bench.close()
            run.folder.cleanup()
        if run.sigterm is not None:
            signal.signal(signal.SIGTERM, run.sigterm)


def next_epoch(config: pytest.Config) -> int:
    """A number for the next pattern: 1 … 4095, in turn from the seed."""
    run = current(config)
    run.epochs += 1
    return 1 + run.epochs % 4095


def _start(config: pytest.Config) -> Run:
    options = read(config)
    _refuse_finished(options)
    folder = tempfile.TemporaryDirectory(prefix="hil-run-")
    wish = Wish(
        selection=options.bench,
        folder=Path(folder.name),
        faults=options.faults,
        backstop=BACKSTOP if options.backstop is None else options.backstop,
        inline=options.inline,
        only=options.devices,
        require_hardware=options.require_hardware,
        said=options.said,
    )
    sigterm = None
    if threading.current_thread() is threading.main_thread():
        # A nightly runner ends a run with SIGTERM: that must restore the bench as Ctrl-C does.
        sigterm = signal.signal(signal.SIGTERM, _interrupt)
    try:
        bench = open_bench(wish)
        try:
            _check_bench(bench, options)
        except UsageError:
            bench.close()
            raise
    except BaseException:
        folder.cleanup()
        if sigterm is not None:
            signal.signal(signal.SIGTERM, sigterm)
        raise
    # What the earlier parts of a run that goes on have written must not look like this part's.
    epochs = options.resumed.epochs + _EPOCHS_BETWEEN if options.resumed else options.seed
    return Run(options, bench, folder, epochs=epochs, sigterm=sigterm)


def _refuse_finished(options: Options) -> None:
    record = options.resumed
    if record is not None and record.end is not None and record.finished:
        raise pytest.exit.Exception(
            f"hil: the run of {options.record} is finished ({record.counts()}; ended {record.end.ended}): its exit "
            "code stands. Remove the file for a new run",
            returncode=record.end.exit,
        )


def _check_bench(bench: Bench, options: Options) -> None:
    before = options.resumed.head if options.resumed else None
    if before is not None and (before.bench, before.nature) != (bench.name, bench.nature):
        raise UsageError(
            f"{options.said['resume']}: {options.record} is the record of a run on bench {before.bench} "
            f"({before.nature}), and this is bench {bench.name} ({bench.nature}): name that bench, or another file"
        )


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt("SIGTERM")


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep a second Ctrl-C or SIGTERM from leaving an enclosure unplugged: putting right is bounded by deadlines."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
