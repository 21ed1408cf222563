"""The thread that watches over one device process: whatever happens, every call gets its outcome."""

from __future__ import annotations

import math
import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hil.bench import ending, messages
from hil.bench.gateways import Sender
from hil.errors import BenchFault, DeviceCrashed, DeviceHung, HilError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.bench.calls import Call
    from hil.bench.gateways import Started

_LOOK = 1.0
"""Real seconds between two looks at a silent process: a child may keep its pipe open after its death."""
_EXIT = 1.0
"""Real seconds for a process that closed its channel to end."""
_TAIL = 65536
"""Bytes of its output that go with an error."""
_FRAMES = 8
"""Frames of a stack that a message shows; all of it is in the output."""
_SAME_TIME = 1e-3
"""Seconds on the host's clock within which two times told by different messages are the same."""


@dataclass(frozen=True, slots=True)
class _Submitted:
    call: Call


@dataclass(frozen=True, slots=True)
class _Expired:
    began: float
    blocked_in: str | None


@dataclass(frozen=True, slots=True)
class _Lost:
    why: str


@dataclass(frozen=True, slots=True)
class _Close:
    timeout: float


class _ChannelClosed:
    pass


class Watch:
    """Limits, kills and outcomes of one device process, in one thread, whether or not anybody is waiting.

    Attributes:
        ending: how the process ended, in words; `None` while it lives.
        left_behind: whether it could not be killed.

    """

    def __init__(
        self,
        name: str,
        started: Started,
        *,
        device: str | None,
        backstop: float,
        limit: Callable[[float], float],
    ) -> None:
        """Begin to watch.

        Args:
            name: of the process, for people.
            started: the process.
            device: alias of the device it drives, if it does.
            backstop: real seconds within which it must begin an operation when it has nothing else to do.
            limit: real seconds that an operation with a given deadline may take.

        """
        self.ending: str | None = None
        self.left_behind = False
        self._name = name
        self._started = started
        self._device = device
        self._backstop = backstop
        self._limit = limit
        self._lock = threading.Lock()
        self._inbox: queue.Queue[Any] = queue.Queue()
        self._calls: dict[int, Call] = {}  # submitted and not over, in order; the first is under way
        self._early: _Expired | None = None
        self._since = 0.0
        self._limit_at = math.inf
        self._sender = Sender(started.channel)
        started.channel.setcallback(self._inbox.put, endmarker=_ChannelClosed())
        self._thread = threading.Thread(target=self._run, name=f"hil-watch-{name}", daemon=True)
        self._thread.start()

    def submit(self, call: Call, job: messages.Job) -> None:
        """Put `call` on its way as `job`.

        Raises:
            BenchFault: the process is dead.

        """
        with self._lock:
            if self.ending is not None:
                raise self._never(call)
            self._inbox.put(_Submitted(call))
            self._sender.put(job)

    def expire(self, notice: messages.Notice) -> None:
        """See `DeviceProcess.expire`."""
        self._inbox.put(_Expired(notice["now"] - notice["deadline"], notice["blocked_in"]))

    def lose(self, why: str) -> None:
        """See `DeviceProcess.lose`."""
        self._inbox.put(_Lost(why))

    def close(self, timeout: float) -> None:
        """See `DeviceProcess.close`."""
        self._inbox.put(_Close(timeout))
        self._thread.join()

    # From here on: the thread itself.

    def _run(self) -> None:
        try:
            while self.ending is None:
                try:
                    item = self._inbox.get(timeout=max(min(self._limit_at - time.monotonic(), _LOOK), 0.0))
                except queue.Empty:
                    self._silence()
                else:
                    self._take(item)
        finally:
            if self.ending is None:  # an error of our own: nobody may wait for ever because of it
                reaped = ending.kill(self._started.popen)
                self._dead("killed: its watching thread failed", reaped=reaped)

    def _take(self, item: Any) -> None:
        match item:
            case dict():
                self._hear(item)
            case _Submitted(call):
                self._calls[call.number] = call
                if len(self._calls) == 1:
                    self._allow(self._backstop)
            case _Expired():
                self._expired(item)
            case _Lost(why):
                self._lost(why)
            case _Close(timeout):
                self._close(timeout)
            case _ChannelClosed():
                self._crashed()

    def _hear(self, message: dict[str, Any]) -> None:
        match message:
            case {"begin": number, "now": now}:
                call = self._calls[number]
                call.announce(now)
                self._allow(self._limit(call.deadline))
                if self._early is not None:
                    self._expired(self._early)
            case {"result": number} | {"error": number}:
                call = self._calls.pop(number)
                self._allow(self._backstop)
                call.finish(message)
            case {"progress": number, "text": words} if number in self._calls:
                # Else from a thread that an operation left running.
                self._calls[number].progress.append(words)

    def _allow(self, seconds: float) -> None:
        self._since = time.monotonic()
        self._limit_at = self._since + seconds if self._calls else math.inf

    def _current(self) -> Call | None:
        return next(iter(self._calls.values()), None)

    def _silence(self) -> None:
        call = self._current()
        if call is not None and time.monotonic() >= self._limit_at:
            self._hung(call)
        elif self._started.popen.poll() is not None:
            self._crashed()

    def _expired(self, notice: _Expired) -> None:
        self._early = None
        call = self._current()
        if call is None or call.began is None:
            self._early = notice  # it may have overtaken the announcement, which comes another way
        elif notice.began >= call.began - _SAME_TIME:
            self._hung(call, notice)

    def _hung(self, call: Call, notice: _Expired | None = None) -> None:
        popen, output = self._started.popen, self._started.stderr
        spent = time.monotonic() - self._since
        frames = ending.stack(popen.pid, self._started.thread, output)
        where = (notice and notice.blocked_in) or (frames[0] if frames else "a place it did not tell")
        reaped = ending.kill(popen)
        fate = "was killed" if reaped else "could not be killed and is left behind"
        if call.began is None:
            what = f"did not begin within {spent:.1f} s of real time: its process does not answer"
        elif notice is not None:
            what = f"did not come back by its deadline of {call.deadline:g} s"
        else:
            what = f"did not come back within {spent:.1f} s of real time (its deadline was {call.deadline:g} s)"
        error = DeviceHung(
            f"{call.name} on {self._target} {what}; it hangs in {where}. Its process {popen.pid} {fate}.",
            device=self._device,
            operation=call.operation,
        )
        if call.progress:
            error.add_note(f"Its last words: {call.progress[-1]}")
        if frames:
            error.add_note("It stood in, innermost first:\n" + "\n".join(f"  {frame}" for frame in frames[:_FRAMES]))
        self._keep_output(error)
        self._dead(f"killed because {call.name} hung", error, reaped=reaped)

    def _crashed(self) -> None:
        popen, output = self._started.popen, self._started.stderr
        spent = time.monotonic() - self._since
        reason = self._started.remote_error()
        reaped = (reason is None and ending.reap(popen, limit=_EXIT)) or ending.kill(popen)
        ending.kill_group(popen.pid)
        words = reason or ending.in_words(popen.returncode)
        call, error = self._current(), None
        if call is not None and call.began is not None:
            frames, _ = ending.read_stack(ending.tail(output, _TAIL), self._started.thread)
            where = f", in {frames[0]}" if frames else ""
            error = DeviceCrashed(
                f"{call.name} on {self._target} took its process down {spent:.1f} s after it began: {words}{where}.",
                code=popen.returncode,
                device=self._device,
                operation=call.operation,
            )
            self._keep_output(error)
        self._dead(words, error, reaped=reaped)

    def _lost(self, why: str) -> None:
        call, error = self._current(), None
        reaped = ending.kill(self._started.popen)
        if call is not None and call.began is not None:
            error = DeviceCrashed(
                f"{call.name} on {self._target} was cut off: {why}.", device=self._device, operation=call.operation
            )
            self._keep_output(error)
        self._dead(why, error, reaped=reaped)

    def _keep_output(self, error: HilError) -> None:
        # Its file goes with the run's folder; the result stays.
        said, stacks = ending.without_stacks(ending.tail(self._started.stderr, _TAIL))
        kept = {messages.STDERR: said, messages.STACKS: stacks}
        error.evidence |= {title: text for title, text in kept.items() if text}

    def _close(self, timeout: float) -> None:
        popen = self._started.popen
        if not self._calls and timeout > 0:
            self._started.group.terminate(timeout)
        reaped = ending.kill(popen)
        self._dead("closed" if popen.returncode == 0 else ending.in_words(popen.returncode), reaped=reaped)

    def _dead(self, words: str, error: HilError | None = None, *, reaped: bool) -> None:
        with self._lock:
            self.ending = words if reaped else ending.in_words(None)
            self.left_behind = not reaped
        self._sender.put(None)
        while not self._inbox.empty():
            if isinstance(item := self._inbox.get(), _Submitted):
                self._calls[item.call.number] = item.call
        for call in self._calls.values():
            call.fail(error or self._never(call))
            error = None  # those behind the first never began
        self._calls.clear()

    @property
    def _target(self) -> str:
        return self._device or "the host"

    def _never(self, call: Call) -> BenchFault:
        state = "never began" if call.began is None else "was cut off"
        return BenchFault(
            f"{call.name} on {self._target} {state}: device process {self._name} "
            f"(pid {self._started.popen.pid}) is dead ({self.ending}); start a fresh one",
            device=self._device,
            operation=call.operation,
        )
