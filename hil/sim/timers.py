"""What will happen at which time: the queue behind the machine's clock."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field

_FEW = 64
"""Cancelled timers that are not worth tidying up."""


@dataclass(order=True, slots=True)
class Timer:
    """Something that will happen at `time`; what comes first was added first if both are due at once."""

    time: float
    order: int
    callback: Callable[[], None] = field(compare=False)
    daemon: bool = field(default=False, compare=False)
    """It happens as time passes, and never moves it."""
    over: bool = field(default=False, compare=False)
    """It happened, was cancelled, or never will happen."""


class Timers:
    """Timers by time. Not locked: its owner's lock guards it."""

    def __init__(self) -> None:
        self._queue: list[Timer] = []
        self._order = itertools.count()
        self._cancelled = 0
        self._movers = 0

    @property
    def move_time(self) -> bool:
        """Whether one is left that is no daemon."""
        return self._movers > 0

    def add(self, time: float, callback: Callable[[], None], *, daemon: bool) -> Timer:
        """Let `callback` happen at `time`; never, if that is infinite.

        Raises:
            ValueError: `time` is not a number.

        """
        if math.isnan(time):
            raise ValueError("a time must be a number of seconds, not nan")
        timer = Timer(time, next(self._order), callback, daemon, over=math.isinf(time))
        if not timer.over:
            heapq.heappush(self._queue, timer)
            self._movers += not daemon
        return timer

    def cancel(self, timer: Timer) -> None:
        """Let `timer` not happen; nothing if it is over."""
        if timer.over:
            return
        timer.over = True
        self._movers -= not timer.daemon
        self._cancelled += 1
        if self._cancelled > max(_FEW, len(self._queue) // 2):
            # Deadlines lie far ahead and nearly all are cancelled: they would pile up until their time comes.
            self._queue = [timer for timer in self._queue if not timer.over]
            heapq.heapify(self._queue)
            self._cancelled = 0

    def take(self) -> Timer:
        """Remove and return the earliest one; there must be one (`move_time`)."""
        while True:
            timer = heapq.heappop(self._queue)
            if not timer.over:
                timer.over = True
                self._movers -= not timer.daemon
                return timer
            self._cancelled -= 1
