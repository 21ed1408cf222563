"""Starting a device process: an execnet gateway on this machine, and the handshake with what runs in it."""

from __future__ import annotations

import atexit
import queue
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import execnet

import hil
from hil.bench import ending, messages
from hil.errors import BenchFault

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path

_START = 30.0
"""Real seconds for a new process to import hil and to open its host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A device process that answered the handshake."""

    group: execnet.Group
    channel: execnet.Channel
    popen: subprocess.Popen[bytes]
    stderr: Path
    thread: int
    """Identity, in that process, of the thread that does the work."""

    def remote_error(self) -> str | None:
        """What execnet tells of an error that ended the loop itself; `None` if the process just went away."""
        try:
            self.channel.waitclose(0.5)  # the end marker comes a moment before the reason
        except execnet.RemoteError as error:
            return f"ended by an error of its own loop: {error}"
        except (EOFError, OSError):
            return None
        return None


class Sender:
    """Sends jobs from a thread of its own: sending blocks when a stuck process does not read a full pipe."""

    def __init__(self, channel: execnet.Channel) -> None:
        """Send what is `put` over `channel`."""
        self._channel = channel
        self._jobs: queue.SimpleQueue[messages.Job | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="hil-send", daemon=True).start()

    def put(self, job: messages.Job | None) -> None:
        """Send `job` when those before it are sent; `None` ends the thread."""
        self._jobs.put(job)

    def _run(self) -> None:
        with suppress(OSError):  # it is dead; who watches over it hears that from the channel
            for job in iter(self._jobs.get, None):
                self._channel.send(job.to_message())


def start_gateway(name: str, host: Mapping[str, Any], *, stderr: Path, device: str | None) -> Started:
    """Start a process, have it redirect its output to `stderr` and open `host`.

    Raises:
        BenchFault: it did not start within 30 s, refused, or runs another version of hil.

    """
    stderr.touch(mode=0o600)
    group = execnet.Group()
    # execnet would say goodbye at exit to processes that no longer read; `DeviceProcess.close` is bounded.
    atexit.unregister(group._cleanup_atexit)  # noqa: SLF001  (it has no public switch)
    gateway = _makegateway(group)
    popen: subprocess.Popen[bytes] = gateway._io.popen  # type: ignore[attr-defined]  # noqa: SLF001  (exit status, reaping)
    setup: messages.Setup = {
        "version": hil.__version__,
        "host": dict(host),
        "device": device,
        "stderr": str(stderr),
        # The kernel ties a process to the thread that started it; only the main one lives as long as we do.
        "die_with_controller": threading.current_thread() is threading.main_thread(),
    }
    try:
        # Operations live where the controller's suites do: same import path, set before hil is looked for.
        channel = gateway.remote_exec(
            f"import sys; sys.path[:] = {[str(place) for place in sys.path]!r}\n"
            "from hil.bench.worker import serve; serve(channel)"
        )
        channel.send(setup)
        answer = channel.receive(_START)
    except (EOFError, OSError, execnet.RemoteError, execnet.DumpError) as error:
        _give_up(group, popen)
        raise BenchFault(
            f"device process {name} did not start: {type(error).__name__}: {error} "
            f"({ending.in_words(popen.returncode)}); its output: {ending.tail(stderr, 4096) or 'none'}",
            device=device,
        ) from error
    if not answer["ready"]:
        _give_up(group, popen)
        raise messages.rebuild(answer)
    return Started(group=group, channel=channel, popen=popen, stderr=stderr, thread=answer["thread"])


def _makegateway(group: execnet.Group) -> execnet.Gateway:
    # Ctrl-C before the new process has deafened itself would end it: it starts with the signal held back.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return group.makegateway("popen")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _give_up(group: execnet.Group, popen: subprocess.Popen[bytes]) -> None:
    ending.kill(popen)
    group.terminate(1.0)
