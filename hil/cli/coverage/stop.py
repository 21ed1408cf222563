"""When to end: the user asks for it, or the budget is spent."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self


class Stop:
    """Whether the user wants it to end: Ctrl-C or SIGTERM once; a second time breaks off at once.

    Args:
        budget: real seconds, from now, after which nothing begins; `None` = everything begins.

    """

    def __init__(self, budget: float | None = None) -> None:
        self.asked = False
        self._end = math.inf if budget is None else time.monotonic() + budget

    @property
    def spent(self) -> bool:
        """Whether the budget is."""
        return time.monotonic() >= self._end

    @contextmanager
    def listening(self) -> Iterator[Self]:
        """Take the two signals; the ways of before are restored at the end."""
        before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
