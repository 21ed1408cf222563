"""``python -m hil.cli.coverage.server``: runs pytest again and again, without importing it each time.

An order is a line of JSON on standard input: ``{"run": [argument, …], "folder": PATH}``, or ``{"signal": NUMBER}`` for
the run that is under way. A run that is over is told of by a line on standard output, ``{"ended": STATUS}``: its exit
code, or minus the number of the signal that ended it. The end of standard input ends the run, and then the server.

On Linux a run is a fork of this process, which has imported what every run needs and has only one thread. Elsewhere it
is a fresh interpreter: forking is not safe there once certain system libraries are loaded.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

MODULE = "hil.cli.coverage.server"
PRELOADED = ("hil.plugin.recording", "hil.plugin.results", "hil.plugin.resuming", "hil.throughput", "hil.integrity")
"""Rooms that every run needs, with all that they import. No fixtures: pytest rewrites the assertions in those."""
OUTPUT, TEMPORARY = "output", "tmp"
"""In the folder of a run: what it printed, and its own folder for temporary files."""
_GRACE = 5.0
"""Real seconds that a run has to end in order once nobody wants it any more."""

Order = dict[str, Any]


def main() -> int:
    """Serve; in a run, be that run."""
    if len(sys.argv) > 1:
        return run(json.loads(sys.argv[1]))
    order = Server(fork=sys.platform == "linux").serve()
    return 0 if order is None else run(order)


def run(order: Order) -> int:
    """Be the run that `order` describes: pytest, its output in the order's folder."""
    folder = Path(order["folder"])
    temporary = folder / TEMPORARY
    temporary.mkdir()
    os.environ["TMPDIR"] = str(temporary)
    tempfile.tempdir = None
    out = os.open(folder / OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, number in ((nothing, 0), (out, 1), (out, 2)):
        os.dup2(descriptor, number)
    os.close(out)
    os.close(nothing)
    sys.argv = ["pytest", *order["run"]]
    return int(pytest.main(order["run"]))


class Server:
    """Starts runs one after the other, and tells how they ended.

    Args:
        fork: start them by forking; else as fresh interpreters.

    """

    def __init__(self, *, fork: bool) -> None:
        self._fork = fork
        self._pid = 0
        self._buffer = b""
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        os.set_blocking(self._woken, False)

    def serve(self) -> Order | None:
        """Serve until standard input ends; in a forked run, return its order instead."""
        # The end of a run interrupts the wait below; Ctrl-C is for whoever gave the orders.
        signal.set_wakeup_fd(self._waker)
        signal.signal(signal.SIGCHLD, _nothing)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self._fork:
            _preload()
        while True:
            ready, _, _ = select.select([0, self._woken], [], [])
            if self._woken in ready:
                _drain(self._woken)
                self._reap()
            if 0 in ready:
                data = os.read(0, 65536)
                if not data:
                    self._end()
                    return None
                *lines, self._buffer = (self._buffer + data).split(b"\n")
                for line in lines:
                    order: Order = json.loads(line)
                    if "signal" in order:
                        self._signal(order["signal"])
                    elif self._start(order):
                        return order

    def _start(self, order: Order) -> bool:
        """Start a run; whether this is the run."""
        if not self._fork:
            command = [sys.executable, "-m", MODULE, json.dumps(order)]
            self._pid = os.posix_spawn(sys.executable, command, os.environ, setsigdef=[signal.SIGINT])
            return False
        self._pid = os.fork()
        if self._pid:
            return False
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.close(self._woken)
        os.close(self._waker)
        return True

    def _reap(self) -> None:
        if not self._pid:
            return
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if pid:
            self._pid = 0
            os.write(1, json.dumps({"ended": os.waitstatus_to_exitcode(status)}).encode() + b"\n")

    def _signal(self, number: int) -> None:
        # A run that is not reaped yet still has its number, so this hits nobody else.
        if self._pid:
            os.kill(self._pid, number)

    def _end(self) -> None:
        """End the run, if there is one: in order if it can be."""
        for number in (signal.SIGINT, signal.SIGKILL):
            if not self._pid:
                return
            os.kill(self._pid, number)
            select.select([self._woken], [], [], _GRACE)
            if os.waitpid(self._pid, os.WNOHANG)[0]:
                self._pid = 0


def _preload() -> None:
    # numpy's BLAS would start threads, which a fork loses; nothing in a run computes with it.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    for name in PRELOADED:
        importlib.import_module(name)
    del os.environ["OPENBLAS_NUM_THREADS"]
    if threading.active_count() > 1:
        raise RuntimeError(f"a process with threads cannot be forked safely: {threading.enumerate()}")
    # What is loaded stays: no run needs to look through it, or to copy its pages for having looked.
    gc.collect()
    gc.freeze()


def _drain(descriptor: int) -> None:
    while True:
        try:
            if not os.read(descriptor, 4096):
                return
        except BlockingIOError:
            return


def _nothing(_number: int, _frame: FrameType | None) -> None:
    pass


if __name__ == "__main__":
    sys.exit(main())
