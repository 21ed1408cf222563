"""Device processes, seen from the controller: whole operations asked of them, within deadlines."""

from __future__ import annotations

import atexit
import itertools
import math
import re
from typing import TYPE_CHECKING, Any, Self

import execnet

from hil.bench import ending, messages
from hil.bench.calls import Call
from hil.bench.gateways import Started, start_gateway
from hil.bench.watching import Watch
from hil.errors import UsageError, says_enough

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__tracebackhide__ = says_enough
BACKSTOP = 30.0
"""Real seconds: beyond an operation's deadline on real hardware, in all if simulated (`--hil-backstop`)."""
_ORPHAN = 10.0
"""Real seconds beyond the controller's own limit after which a device process ends itself."""


class DeviceProcess:
    """One process in which whole operations run: a driver that hangs or crashes takes it, and not the run.

    A thread watches over it: an operation that outlives its limit is killed whether or not anybody waits for
    it. Once dead it stays dead; the bench starts a fresh one.

    Attributes:
        name: of the process, for people.
        device: alias of the device under test, `None` for the host's own process.
        pid: its process id.
        stderr_path: file with everything it and its commands wrote to standard output and error.

    """

    def __init__(self, name: str, started: Started, *, device: str | None, backstop: float, simulated: bool) -> None:
        """Take charge of a process that answered the handshake; see `start`."""
        self.name = name
        self.device = device
        self.pid: int = started.popen.pid
        self.stderr_path = started.stderr
        self._backstop = backstop
        self._simulated = simulated
        self._numbers = itertools.count(1)
        self._watch = Watch(name, started, device=device, backstop=backstop, limit=self._limit)
        atexit.register(self.close)

    @classmethod
    def start(
        cls,
        name: str,
        host_spec: Mapping[str, Any],
        *,
        folder: Path,
        backstop: float = BACKSTOP,
        device: str | None = None,
        simulated: bool = False,
    ) -> Self:
        """Start a process and open its host.

        Args:
            name: of the process, for people and for its file in `folder`.
            host_spec: see `hil.hosts.opening.open_host`.
            folder: an existing folder for its output.
            backstop: real seconds, see `BACKSTOP`.
            device: alias of the device under test, if it drives one.
            simulated: the machine tells when a deadline passes (`expire`); real time knows `backstop` alone.

        Raises:
            HilError: it did not start, runs another version of hil (`BenchFault`), or cannot open its host.

        """
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name)
        files = (folder / f"{stem}.{number}.stderr" for number in itertools.count(1))
        stderr = next(file for file in files if not file.exists())
        started = start_gateway(name, host_spec, stderr=stderr, device=device)
        return cls(name, started, device=device, backstop=backstop, simulated=simulated)

    @property
    def alive(self) -> bool:
        """Whether operations can be submitted."""
        return self._watch.ending is None

    @property
    def ending(self) -> str | None:
        """How it ended, in words; `None` while it lives."""
        return self._watch.ending

    @property
    def left_behind(self) -> bool:
        """Whether not even SIGKILL ended it, so that it was left as it was; `pid` is still its own."""
        return self._watch.left_behind

    def call(self, operation: str, /, *, deadline: float, **kwargs: Any) -> Any:
        """Submit and wait: the value that the operation returned. See `submit` and `Call.result`."""
        return self.submit(operation, deadline=deadline, **kwargs).result()

    def submit(self, operation: str, /, *, deadline: float, **kwargs: Any) -> Call:
        """Ask for ``operation(context, **kwargs)``; operations run one after the other.

        Args:
            operation: ``package.module:function``, importable in the device process.
            deadline: seconds on the host's clock, from its beginning.
            kwargs: builtin types.

        Raises:
            BenchFault: the process is dead.
            UsageError: `deadline` is no positive number, or `kwargs` cannot cross between processes.

        """
        if not 0 < deadline < math.inf:
            raise UsageError(f"{operation}: deadline must be a positive number of seconds, not {deadline!r}")
        call = Call(next(self._numbers), operation, deadline)
        job = messages.Job(
            call=call.number,
            operation=operation,
            kwargs=kwargs,
            deadline=float(deadline),
            limit=self._limit(deadline) + _ORPHAN,
        )
        try:
            execnet.dumps(job.to_message())
        except messages.UNSERIALISABLE as error:
            raise UsageError(f"{operation}: arguments cannot cross between processes ({error})") from error
        self._watch.submit(call, job)
        return call

    def expire(self, notice: messages.Notice) -> None:
        """The simulated machine says that an operation passed its deadline: the process is killed at once.

        A notice for an operation that is over is recognised by its time and ignored.
        """
        self._watch.expire(notice)

    def lose(self, why: str) -> None:
        """The machine that it ran on went down, as if over ssh: it is no more, and what it did is cut off.

        Args:
            why: in words, for the result of the operation under way.

        """
        self._watch.lose(why)

    def stderr_text(self, limit: int = 65536) -> str:
        """The last `limit` bytes of what the process wrote to standard output and error."""
        return ending.tail(self.stderr_path, limit)

    def kill(self) -> None:
        """SIGKILL it as it is, as a test of a driver's cleaning up wants; an operation under way fails."""
        self.close(0.0)

    def close(self, timeout: float = 5.0) -> None:
        """End the process: in order, within `timeout` real seconds, if idle; else by SIGKILL. Idempotent."""
        atexit.unregister(self.close)
        self._watch.close(timeout)

    def _limit(self, deadline: float) -> float:
        return self._backstop if self._simulated else deadline + self._backstop
