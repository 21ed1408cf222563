"""The processes that run pytest: several at once, each within a limit of real time, ended in order when told to."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hil.cli.coverage import command
from hil.cli.coverage.server import MODULE, OUTPUT
from hil.errors import BenchFault

_GRACE = 30.0
"""Real seconds that interrupted runs have to put their benches in order."""
_STOP = 10.0
"""Real seconds that an idle server has to end; it takes 0.1 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A run of pytest that is over."""

    ticket: int
    status: int
    """Exit code, or minus the number of the signal that ended it."""
    hung: bool
    """Whether it was killed at its limit."""
    seconds: float
    """Real time it took."""
    folder: Path
    """What it left; gone after `Crew.forget`."""

    @property
    def output(self) -> str:
        """What it printed."""
        try:
            return (self.folder / OUTPUT).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""


@dataclass(slots=True)
class _Slot:
    process: subprocess.Popen[bytes]
    complaints: Any
    ticket: int | None = None
    started: float = 0.0
    folder: Path = field(default_factory=Path)
    hung: bool = False


class Crew:
    """Runs pytest in `size` processes at once. A context manager: leaving it ends whatever runs.

    Args:
        size: how many at once.
        limit: real seconds after which a run is killed.

    """

    def __init__(self, size: int, *, limit: float) -> None:
        self._limit = limit
        self._tickets = 0
        # Short: paths of sockets lie below it.
        self._folder = Path(tempfile.mkdtemp(prefix="hil-score-"))
        self._selector = selectors.DefaultSelector()
        self._slots = [self._slot() for _ in range(size)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def idle(self) -> int:
        """How many more runs could be started now."""
        return sum(slot.ticket is None for slot in self._slots)

    @property
    def busy(self) -> bool:
        """Whether a run is under way."""
        return any(slot.ticket is not None for slot in self._slots)

    def folder(self) -> Path:
        """A new folder for one run."""
        self._tickets += 1
        folder = self._folder / str(self._tickets)
        folder.mkdir()
        return folder

    def start(self, arguments: Sequence[str], folder: Path) -> int:
        """Run pytest with `arguments` in one of the idle processes; `folder` is one of `folder()`.

        Returns:
            A ticket, by which `wait` names the run.

        """
        slot = next(slot for slot in self._slots if slot.ticket is None)
        slot.ticket, slot.folder, slot.hung, slot.started = int(folder.name), folder, False, time.monotonic()
        self._order(slot, {"run": list(arguments), "folder": str(folder)})
        return slot.ticket

    def wait(self, timeout: float) -> list[Ended]:
        """The runs that have ended, as soon as there is one; nothing after `timeout` real seconds.

        Raises:
            BenchFault: a process that runs pytest ended by itself.

        """
        now = time.monotonic()
        ends = [slot.started + self._limit for slot in self._slots if slot.ticket is not None and not slot.hung]
        ready = self._selector.select(max(0.0, min([now + timeout, *ends]) - now))
        ended = [self._ended(key.data) for key, _ in ready]
        for slot in self._slots:
            if slot.ticket is not None and not slot.hung and time.monotonic() - slot.started >= self._limit:
                slot.hung = True
                self._order(slot, {"signal": signal.SIGKILL})
        return ended

    def interrupt(self) -> None:
        """Let every run end in order, as Ctrl-C does; kill those that have not within half a minute."""
        for number in (signal.SIGINT, signal.SIGKILL):
            for slot in self._slots:
                if slot.ticket is not None:
                    self._order(slot, {"signal": number})
            end = time.monotonic() + _GRACE
            while self.busy and (left := end - time.monotonic()) > 0:
                for key, _ in self._selector.select(left):
                    self._ended(key.data)

    def forget(self, ended: Ended) -> None:
        """Remove what a run left."""
        shutil.rmtree(ended.folder, ignore_errors=True)

    def close(self) -> None:
        """End all processes and remove what they left; idempotent."""
        for slot in self._slots:
            if slot.process.stdin is not None:
                with suppress(OSError):  # it has ended already, and an order was on its way
                    slot.process.stdin.close()
        for slot in self._slots:
            try:
                # A busy one ends its run first.
                slot.process.wait(_STOP if slot.ticket is None else _GRACE)
            except subprocess.TimeoutExpired:
                slot.process.kill()
                slot.process.wait()
            if slot.process.stdout is not None:
                slot.process.stdout.close()
            slot.complaints.close()
        self._slots = []
        self._selector.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _slot(self) -> _Slot:
        complaints = tempfile.TemporaryFile()  # noqa: SIM115  (as long as the process)
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=command.environment(os.environ),
            # Ctrl-C in a terminal reaches this process alone, which then ends the runs in order.
            start_new_session=True,
        )
        slot = _Slot(process, complaints)
        assert process.stdout is not None  # noqa: S101  (asked for above)
        self._selector.register(process.stdout, selectors.EVENT_READ, slot)
        return slot

    def _order(self, slot: _Slot, order: dict[str, Any]) -> None:
        assert slot.process.stdin is not None  # noqa: S101  (asked for above)
        try:
            slot.process.stdin.write(json.dumps(order).encode() + b"\n")
            slot.process.stdin.flush()
        except OSError as error:
            raise self._obituary(slot) from error

    def _ended(self, slot: _Slot) -> Ended:
        assert slot.process.stdout is not None  # noqa: S101  (asked for above)
        line = slot.process.stdout.readline()
        if not line or slot.ticket is None:
            raise self._obituary(slot)
        ended = Ended(
            ticket=slot.ticket,
            status=json.loads(line)["ended"],
            hung=slot.hung,
            seconds=time.monotonic() - slot.started,
            folder=slot.folder,
        )
        slot.ticket = None
        return ended

    def _obituary(self, slot: _Slot) -> BenchFault:
        code = slot.process.wait(_STOP)
        slot.complaints.seek(0)
        text = slot.complaints.read().decode(errors="replace").strip()
        return BenchFault(f"the process that runs pytest ended (status {code}): {text or 'it said nothing'}")
