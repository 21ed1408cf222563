"""Commands on the local machine: output kept, time bounded, nothing left waiting on a stuck child."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from hil.hosts.base import Completed

if TYPE_CHECKING:
    from collections.abc import Sequence

_KILL_WAIT = 2.0
"""Seconds to wait for a killed process; one that a wedged driver holds in the kernel is left behind."""


def run_command(argv: Sequence[str], *, timeout: float) -> Completed:
    """Run `argv` with ``LC_ALL=C`` and no standard input; kill its process group after `timeout` seconds.

    Raises:
        FileNotFoundError: there is no such command.
        PermissionError: it may not be executed.
        ValueError: `argv` is empty or `timeout` is not above 0.

    """
    if not argv:
        raise ValueError("a command needs at least its name")
    if timeout <= 0:
        raise ValueError(f"`timeout` of {argv[0]} must be above 0 seconds, not {timeout}")
    # Files, not pipes: a grandchild that lives on keeps a pipe open, and a reader would wait for it.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=True,
        )
        # A thread waits, since `Popen.wait(timeout)` polls with pauses of up to 50 ms. It tells by an event:
        # Python 3.11 takes a thread for ended when Ctrl-C interrupts `Thread.join`.
        ended = threading.Event()
        threading.Thread(target=_reap, args=(child, ended), name=f"wait for {argv[0]}", daemon=True).start()
        try:
            ended.wait(timeout)
            returncode = child.returncode  # None: still runs
        finally:  # also when Ctrl-C comes: the child's own session does not see it
            if not ended.is_set():
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.pid, signal.SIGKILL)
                ended.wait(_KILL_WAIT)
        return Completed(argv=tuple(argv), returncode=returncode, stdout=_content(out), stderr=_content(err))


def _reap(child: subprocess.Popen[bytes], ended: threading.Event) -> None:
    child.wait()
    ended.set()


def _content(file: IO[bytes]) -> bytes:
    """What `file` holds now; its offset stays, since a process left behind may still write at it."""
    size = os.fstat(file.fileno()).st_size
    parts = bytearray()
    while part := os.pread(file.fileno(), size - len(parts), len(parts)):
        parts += part
    return bytes(parts)
