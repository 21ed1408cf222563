"""What a device process arranges for itself before any driver is touched: output, signals, its own end."""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import sys
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PR_SET_PDEATHSIG = 1
"""`prctl` option, from <linux/prctl.h>."""
_MOST_DESCRIPTORS = 4096
"""Numbers that are looked at: the lowest free one is always the next to be given out."""


class OwnProcess:
    """Hold over the process this runs in; none (`stderr` `None`) in a thread of somebody else's process."""

    def __init__(self, stderr: str | None, *, die_with_controller: bool = False) -> None:
        """Redirect descriptors 1 and 2, leave the terminal's process group, deafen Ctrl-C, arm faulthandler.

        Args:
            stderr: file to append both standard output and standard error to.
            die_with_controller: on Linux, be killed by the kernel with the thread that started this process.

        """
        self._dump: int | None = None
        if stderr is None:
            return
        self._dump = os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.dup2(self._dump, 1)
        os.dup2(self._dump, 2)
        # The terminal sends Ctrl-C to the whole foreground group; only the controller decides what it means.
        # A group of its own can also be killed in one stroke, with the commands that were run in it.
        with suppress(PermissionError):
            os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        faulthandler.enable(file=self._dump, all_threads=True)
        # Written from the signal handler itself, so it also comes when a driver call sits on the GIL.
        faulthandler.register(signal.SIGUSR1, file=self._dump, all_threads=True, chain=False)
        if die_with_controller and sys.platform == "linux":
            # End of file on the channel reaches no process whose driver call sits on the GIL; the kernel's
            # signal does, and Python offers no other way to ask for it than the C library.
            import ctypes  # noqa: PLC0415  (the controller imports this module too, and pays for no more than it uses)

            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    def ends_after(self, seconds: float) -> AbstractContextManager[None]:
        """While open: this process ends itself after `seconds` of real time, even if a driver holds the GIL.

        The controller kills earlier; this is for the orphan of a dead one, where the kernel cannot help.
        """
        return nullcontext() if self._dump is None else _ends_after(seconds, self._dump)


def open_descriptors() -> int:
    """How many descriptors this process has open."""
    limit = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], _MOST_DESCRIPTORS)
    return sum(map(_is_open, range(limit)))


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def peak_bytes() -> int:
    """The most memory that this process has had resident."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts KiB


@contextmanager
def _ends_after(seconds: float, dump: int) -> Iterator[None]:
    faulthandler.dump_traceback_later(seconds, file=dump, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
