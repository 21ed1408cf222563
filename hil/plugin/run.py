"""One run: opens the bench when it is first needed, and leaves it in order whatever ends the run."""

from __future__ import annotations

import signal
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import pytest

from hil.bench.bench import Bench
from hil.bench.opening import Wish, open_bench
from hil.errors import HilError
from hil.plugin.options import Options, read


@dataclass(slots=True)
class Run:
    """What a run knows."""

    options: Options
    bench: Bench
    folder: tempfile.TemporaryDirectory[str]
    epochs: int
    """Patterns written so far, from the seed on: no two transfers of a run carry the same."""
    complaints: list[str] = field(default_factory=list)
    """What could not be put right at the end."""


_RUN: pytest.StashKey[Run] = pytest.StashKey()
_FAILED: pytest.StashKey[str] = pytest.StashKey()
MARKERS = (
    "needs(*what): what the device and bench must offer: gpu, enclosure, hotplug, reset, band; "
    "the test is skipped with what is missing",
    "severity(level): blocker, critical, normal, minor or trivial, for the report",
    "allure_label(*values, label_type): a label in Allure's results",
)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)


def engaged(config: pytest.Config) -> bool:
    """Whether this run's conftest has loaded words of `fixtures/`: else hil keeps out of the way."""
    modules = (getattr(plugin, "__name__", "") for _, plugin in config.pluginmanager.list_name_plugin())
    return any(str(name).startswith(("fixtures.", "hil.fixtures.")) for name in modules)


def current(config: pytest.Config) -> Run:
    """The run, with its bench open.

    Raises:
        pytest.UsageError: the bench cannot be opened; pytest ends with exit code 4.

    """
    if _FAILED in config.stash:
        raise pytest.UsageError(config.stash[_FAILED])
    if _RUN not in config.stash:
        try:
            config.stash[_RUN] = _start(config)
        except HilError as error:
            config.stash[_FAILED] = f"hil: {error}"
            raise pytest.UsageError(config.stash[_FAILED]) from error
    return config.stash[_RUN]


def started(config: pytest.Config) -> Run | None:
    """The run, if it has been started."""
    return config.stash.get(_RUN, None)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Put the bench in order while the results can still tell how that went."""
    _finish(session.config)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Nothing is left open, however pytest ends."""
    _finish(config)
    run = started(config)
    if run is not None:
        run.folder.cleanup()


def _start(config: pytest.Config) -> Run:
    options = read(config)
    folder = tempfile.TemporaryDirectory(prefix="hil-run-")
    wish = Wish(
        selection=options.bench,
        folder=Path(folder.name),
        faults=options.faults,
        backstop=options.backstop,
        inline=options.inline,
        only=options.devices,
        require_hardware=options.require_hardware,
    )
    # A nightly runner ends a run with SIGTERM: that must restore the bench as Ctrl-C does.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        bench = open_bench(wish)
    except BaseException:
        folder.cleanup()
        raise
    return Run(options, bench, folder, epochs=options.seed)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt("SIGTERM")


def _finish(config: pytest.Config) -> None:
    run = started(config)
    if run is not None:
        run.complaints += run.bench.close()


def next_epoch(config: pytest.Config) -> int:
    """A number for the next pattern: 1 … 4095, in turn from the seed."""
    run = current(config)
    run.epochs += 1
    return 1 + run.epochs % 4095
