"""The machine's one discrete-event clock: time passes only while every registered actor waits."""

from __future__ import annotations

import itertools
import math
import select
import socket
import threading
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from hil.errors import BenchFault, HilError
from hil.hosts.wires.frames import receive_exactly
from hil.sim.timers import Timer, Timers


@dataclass(slots=True)
class Actor:
    """An operation under way in some client: while it computes, time stands still."""

    client: str
    name: str
    seconds: float
    """From its beginning to its deadline."""
    timer: Timer
    waits: dict[int, str] = field(default_factory=dict)
    """What its threads wait for now, in words, by wait number. Not empty = the actor waits."""
    expired: bool = False
    """Its deadline passed: time stands still until the controller has ended it."""


@dataclass(eq=False, slots=True)
class _Wait:
    client: str
    number: int
    ready: threading.Condition
    daemon: bool
    done: bool = False
    """It is over; its thread has perhaps not gone on yet."""
    broken: bool = False
    """It is over because the client or the machine is gone."""


class Disconnected(Exception):  # noqa: N818  (a state of the connection, not a fault of ours)
    """The client that waited is gone, or the machine is being switched off."""


class Lock:
    """Guards all state of a machine. Who lets go of it has perhaps set an event while all others wait.

    Args:
        last: called before it is let go.

    """

    def __init__(self, last: Callable[[], None]) -> None:
        self._lock = threading.RLock()
        self._last = last
        self._depth = 0

    def __enter__(self) -> None:
        self._lock.acquire()
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        try:
            if self._depth == 1:
                self._last()
        finally:
            self._depth -= 1
            self._lock.release()

    def condition(self) -> threading.Condition:
        """Something to `wait` for with the lock held."""
        return threading.Condition(self._lock)

    def wait(self, condition: threading.Condition) -> None:
        """Let go of it, however often it is held, until `condition` is notified."""
        depth, self._depth = self._depth, 0
        try:
            condition.wait()
        finally:
            self._depth = depth


class Signal:
    """Something that waits can be woken by; create it through `VirtualClock.signal`."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._waits: dict[int, _Wait] = {}

    def fire(self) -> None:
        """Wake all that wait for it now. The machine's lock must be held."""
        for wait in self._waits.values():
            self._clock._wake(wait)  # noqa: SLF001  (two halves of one mechanism)
        self._waits.clear()

    def add(self, wait: _Wait) -> None:
        """Let `wait` be woken."""
        self._waits[wait.number] = wait

    def discard(self, wait: _Wait) -> None:
        """Forget `wait`."""
        self._waits.pop(wait.number, None)


class VirtualClock:
    """Time of one machine, in seconds since it was switched on.

    All state of the machine is guarded by `lock`; timer callbacks run with it held, in the thread that let time pass:
    one that begins to wait, or lets go of the lock while all others wait.
    """

    def __init__(self) -> None:
        self.lock = Lock(self._advance)
        self._now = 0.0
        self._timers = Timers()
        self._numbers = itertools.count()
        self._actors: dict[str, Actor] = {}
        self._waits: dict[int, _Wait] = {}
        self._gone: set[str] = set()
        self._heard: dict[int, socket.socket] = {}
        """Connections by the thread that serves each."""
        self._off = False
        self._failure = ""

    def now(self) -> float:
        """Seconds since the machine was switched on."""
        return self._now

    def signal(self) -> Signal:
        """Something to wait for."""
        return Signal(self)

    def at(self, delay: float, callback: Callable[[], None], *, daemon: bool = False) -> Timer:
        """Let `callback` happen in `delay` seconds; never, if it is infinite. The lock must be held.

        Raises:
            ValueError: `delay` is not a number.

        """
        delay = 0.0 if delay < 0 else delay  # not max(): that would turn nan into now
        return self._timers.add(self._now + delay, callback, daemon=daemon)

    def cancel(self, timer: Timer) -> None:
        """Let `timer` not happen; nothing if it did already."""
        self._timers.cancel(timer)

    def begin(self, client: str, name: str, deadline: float, expired: Callable[[Actor], None]) -> None:
        """Register an actor, in place of one that `client` may have.

        `expired` is called once if `deadline` seconds pass before `end`; then time stands still until the actor ends.

        Raises:
            Disconnected: the client or the machine is gone.
            ValueError: `deadline` is not a number.

        """
        with self.lock:
            self.check(client)
            self.end(client)

            def expire() -> None:
                actor.expired = True
                expired(actor)

            actor = Actor(client, name, deadline, self.at(deadline, expire))
            self._actors[client] = actor

    def end(self, client: str) -> None:
        """Remove the actor of `client`, if it has one; time may pass for the others."""
        with self.lock:
            actor = self._actors.pop(client, None)
            if actor is not None:
                self.cancel(actor.timer)

    def connect(self, client: str) -> None:
        """A client of that name is there (again)."""
        with self.lock:
            self._gone.discard(client)

    def disconnect(self, client: str) -> None:
        """The client is gone: its actor ends, its waits are broken off, and it cannot begin or wait any more."""
        with self.lock:
            self._gone.add(client)
            for wait in [wait for wait in self._waits.values() if wait.client == client]:
                self._break(wait)
            self.end(client)

    def switch_off(self, failure: str = "") -> None:
        """Break off all waits, for ever; if the machine has failed, all who ask are told `failure`."""
        with self.lock:
            self._off = True
            self._failure = self._failure or failure
            for wait in list(self._waits.values()):
                self._break(wait)

    def check(self, client: str) -> None:
        """Raise what keeps `client` from going on.

        Raises:
            Disconnected: the client is gone, or the machine is switched off.
            BenchFault: the machine failed; says how.

        """
        if self._failure:
            raise BenchFault(self._failure)
        if self._off or client in self._gone:
            raise Disconnected

    def sleep(self, client: str, seconds: float, what: str = "sleep", *, daemon: bool = False) -> None:
        """Let `client` spend `seconds`. Infinity waits until the client is gone. Raises as `wait`."""
        self.wait(client, self.signal(), timeout=seconds, what=what, daemon=daemon)

    def wait(self, client: str, signal: Signal, *, timeout: float = math.inf, what: str, daemon: bool = False) -> bool:
        """Let `client` wait for `signal`, at most `timeout` seconds.

        A client without an actor counts as one while it waits, unless it is a `daemon`.

        Returns:
            Whether the signal fired before the timeout.

        Raises:
            Disconnected: the client or the machine went away meanwhile.
            BenchFault: the machine failed; says how.
            ValueError: `timeout` is not a number.

        """
        with self.lock:
            self.check(client)
            if timeout <= 0:
                return False
            wait = _Wait(client, next(self._numbers), self.lock.condition(), daemon)
            fired = True

            def give_up() -> None:
                nonlocal fired
                if not wait.done:  # else the signal came first, and its thread has not gone on yet
                    fired = False
                    self._wake(wait)

            timer = self.at(timeout, give_up, daemon=daemon)
            signal.add(wait)
            self._waits[wait.number] = wait
            actor = self._actors.get(client)
            if actor is not None and not daemon:
                actor.waits[wait.number] = what
            heard = self._heard.pop(threading.get_ident(), None)
            try:
                self._advance()
                while not wait.done:
                    self.lock.wait(wait.ready)
            finally:
                self.cancel(timer)
                signal.discard(wait)
                self._waits.pop(wait.number, None)
                if heard is not None:
                    self._heard[threading.get_ident()] = heard
            if wait.broken:
                self.check(client)
                raise Disconnected
            return fired

    def listen(self, sock: socket.socket) -> None:
        """Let no time pass while `sock`, which this thread serves, has something unread: a request, or its end.

        A client may have hung up, and ended its operation on another connection, before the thread has got to it: what
        it held must be free again before others wait for it in vain. While the thread itself waits, time passes. It
        reads by `hear`: the last who asked whether time may pass has perhaps asked while something lay unread.
        """
        with self.lock:
            self._heard[threading.get_ident()] = sock

    def hear(self, sock: socket.socket, count: int) -> bytes:
        """Exactly `count` bytes of `sock`, which this thread listens to; while it waits for them, time may pass.

        Raises:
            EOFError: the other end closed before they came.

        """

        def let_time_pass() -> None:
            if not _readable([sock]):
                with self.lock:
                    pass

        return receive_exactly(sock, count, before=let_time_pass)

    def deafen(self) -> None:
        """End `listen`."""
        with self.lock:
            self._heard.pop(threading.get_ident(), None)

    def actors(self) -> list[dict[str, Any]]:
        """Who is registered, and what each waits for: for messages and for debugging."""
        with self.lock:
            return [
                {
                    "client": actor.client,
                    "operation": actor.name,
                    "deadline": actor.seconds,
                    "waits": list(actor.waits.values()),
                }
                for actor in self._actors.values()
            ]

    def _wake(self, wait: _Wait) -> None:
        actor = self._actors.get(wait.client)
        if actor is not None:
            actor.waits.pop(wait.number, None)
        wait.done = True
        wait.ready.notify_all()

    def _break(self, wait: _Wait) -> None:
        wait.broken = True
        self._waits.pop(wait.number, None)  # time need not wait for its thread
        self._wake(wait)

    def _advance(self) -> None:
        while self._timers.move_time and not self._off and self._everybody_waits():
            timer = self._timers.take()
            self._now = max(self._now, timer.time)
            try:
                timer.callback()
            except HilError as error:
                self.switch_off(str(error))
            except Exception as error:  # noqa: BLE001  (in whose thread it happens is chance: all must be told)
                traceback.print_exception(error)
                self.switch_off(f"the simulated machine failed: {error!r}; see its standard error")

    def _everybody_waits(self) -> bool:
        if any(actor.expired or not actor.waits for actor in self._actors.values()):
            return False
        waits = [wait for wait in self._waits.values() if not wait.daemon]
        # A woken wait whose thread has not yet gone on is somebody who computes.
        return bool(waits) and not any(wait.done for wait in waits) and not self._unread()

    def _unread(self) -> bool:
        return bool(self._heard) and _readable(self._heard.values())


def _readable(socks: Iterable[socket.socket]) -> bool:
    poll = select.poll()
    for sock in socks:
        if sock.fileno() >= 0:
            poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
