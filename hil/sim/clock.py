"""The machine's one discrete-event clock: time passes only while every registered actor waits."""

from __future__ import annotations

import heapq
import itertools
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(order=True, slots=True)
class Timer:
    """Something that will happen at `time`. Daemon timers happen as time passes and never move it."""

    time: float
    order: int
    callback: Callable[[], None] = field(compare=False)
    daemon: bool = field(default=False, compare=False)
    cancelled: bool = field(default=False, compare=False)


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


@dataclass(slots=True)
class _Wait:
    client: str
    ready: threading.Condition
    what: str
    daemon: bool
    done: bool = False
    number: int = 0


class Disconnected(Exception):  # noqa: N818  (a state of the connection, not a fault of ours)
    """The client that waited is gone, or the machine is being switched off."""


class Signal:
    """Something that waits can be woken by; create it through `VirtualClock.signal`."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._waits: list[_Wait] = []

    def fire(self) -> None:
        """Wake all that wait for it now. The machine's lock must be held."""
        for wait in self._waits:
            self._clock._wake(wait)  # noqa: SLF001  (two halves of one mechanism)
        self._waits.clear()

    def add(self, wait: _Wait) -> None:
        """Let `wait` be woken."""
        self._waits.append(wait)

    def discard(self, wait: _Wait) -> None:
        """Forget `wait`."""
        if wait in self._waits:
            self._waits.remove(wait)


class VirtualClock:
    """Time of one machine, in seconds since it was switched on.

    All state of the machine is guarded by `lock`; timer callbacks run with it held, in the thread that let time pass.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._now = 0.0
        self._timers: list[Timer] = []
        self._order = itertools.count()
        self._actors: dict[str, Actor] = {}
        self._waits: dict[int, _Wait] = {}
        self._foreground = 0
        self._off = False

    def now(self) -> float:
        """Seconds since the machine was switched on."""
        return self._now

    def signal(self) -> Signal:
        """Something to wait for."""
        return Signal(self)

    def at(self, delay: float, callback: Callable[[], None], *, daemon: bool = False) -> Timer:
        """Let `callback` happen in `delay` seconds; never, if it is infinite."""
        timer = Timer(self._now + max(delay, 0.0), next(self._order), callback, daemon)
        if not math.isinf(delay):
            heapq.heappush(self._timers, timer)
            self._foreground += not daemon
        return timer

    def cancel(self, timer: Timer) -> None:
        """Let `timer` not happen; nothing if it did already."""
        if not timer.cancelled and not math.isinf(timer.time):
            timer.cancelled = True
            self._foreground -= not timer.daemon

    def begin(self, client: str, name: str, deadline: float, expired: Callable[[Actor], None]) -> None:
        """Register an actor. `expired` is called once if `deadline` seconds pass before `end`."""
        with self.lock:
            self.end(client)
            timer = self.at(deadline, lambda: self._expire(actor, expired))
            actor = Actor(client, name, deadline, timer)
            self._actors[client] = actor

    def end(self, client: str) -> None:
        """Remove the actor of `client`, if it has one; time may pass for the others."""
        with self.lock:
            actor = self._actors.pop(client, None)
            if actor is not None:
                self.cancel(actor.timer)
                self._advance()

    def disconnect(self, client: str) -> None:
        """The client is gone: its actor ends and its waits are broken off."""
        with self.lock:
            for wait in [wait for wait in self._waits.values() if wait.client == client]:
                self._break(wait)
            self.end(client)

    def switch_off(self) -> None:
        """Break off all waits, for ever."""
        with self.lock:
            self._off = True
            for wait in list(self._waits.values()):
                self._break(wait)

    def sleep(self, client: str, seconds: float, what: str = "sleep", *, daemon: bool = False) -> None:
        """Let `client` spend `seconds`. Infinity waits until the client is gone."""
        self.wait(client, self.signal(), timeout=seconds, what=what, daemon=daemon)

    def wait(
        self, client: str, signal: Signal, *, timeout: float = math.inf, what: str, daemon: bool = False
    ) -> bool:
        """Let `client` wait for `signal`, at most `timeout` seconds.

        A client without an actor counts as one while it waits, unless it is a `daemon`.

        Returns:
            Whether the signal fired before the timeout.

        Raises:
            Disconnected: the client or the machine went away meanwhile.

        """
        with self.lock:
            if self._off:
                raise Disconnected
            if timeout <= 0:
                return False
            number = next(self._order)
            wait = _Wait(client, threading.Condition(self.lock), what, daemon, number=number)
            fired = True

            def give_up() -> None:
                nonlocal fired
                fired = False
                signal.discard(wait)
                self._wake(wait)

            timer = self.at(timeout, give_up, daemon=daemon)
            signal.add(wait)
            self._waits[number] = wait
            actor = self._actors.get(client)
            if actor is not None and not daemon:
                actor.waits[number] = what
            self._advance()
            while not wait.done:
                wait.ready.wait()
            self.cancel(timer)
            signal.discard(wait)
            connected = self._waits.pop(number, None) is not None
            self._advance()
            if not connected:
                raise Disconnected
            return fired

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
        self._waits.pop(wait.number, None)
        self._wake(wait)

    def _expire(self, actor: Actor, expired: Callable[[Actor], None]) -> None:
        actor.expired = True
        expired(actor)

    def _advance(self) -> None:
        while self._foreground and self._everybody_waits():
            timer = heapq.heappop(self._timers)
            if timer.cancelled:
                continue
            timer.cancelled = True  # it has happened: cancelling it later must change nothing
            self._foreground -= not timer.daemon
            self._now = max(self._now, timer.time)
            timer.callback()

    def _everybody_waits(self) -> bool:
        if any(actor.expired or not actor.waits for actor in self._actors.values()):
            return False
        waits = [wait for wait in self._waits.values() if not wait.daemon]
        # A woken wait whose thread has not yet gone on is somebody who computes.
        return any(not wait.done for wait in waits) and not any(wait.done for wait in waits)
