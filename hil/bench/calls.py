"""One operation asked of a device process: announced, under way, and its outcome."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from hil.bench import messages
from hil.errors import BenchFault, HilError, says_enough

if TYPE_CHECKING:
    from collections.abc import Mapping

__tracebackhide__ = says_enough


class Call:
    """An operation submitted to a device process. It is sure to end: waiting needs no timeout.

    Attributes:
        operation: ``package.module:function``.
        deadline: seconds on the host's clock.
        began: host clock, seconds, when the operation was announced; `None` before.
        started: host clock, seconds, when the operation itself began; `None` until there is a result.
        ended: host clock, seconds, when it came back; `None` until there is a result.
        progress: what the operation said on its way, in order.

    """

    def __init__(self, number: int, operation: str, deadline: float) -> None:
        self.number = number
        self.operation = operation
        self.deadline = deadline
        self.began: float | None = None
        self.started: float | None = None
        self.ended: float | None = None
        self.progress: list[str] = []
        self._value: Any = None
        self._failure: Mapping[str, Any] | HilError | None = None
        self._begun = threading.Event()
        self._over = threading.Event()

    @property
    def name(self) -> str:
        """The operation as a suite names it, for messages."""
        return messages.short_name(self.operation)

    @property
    def over(self) -> bool:
        """Whether the outcome is known."""
        return self._over.is_set()

    @property
    def duration(self) -> float:
        """Seconds on the host's clock that the operation took.

        Raises:
            BenchFault: it has not come back with a result.

        """
        if self.started is None or self.ended is None:
            raise BenchFault(f"{self.operation} has no duration: it has not come back with a result")
        return self.ended - self.started

    def begun(self, timeout: float | None = None) -> bool:
        """Wait until the device process announces that the operation begins.

        Args:
            timeout: real seconds; `None` = until it begins or cannot begin any more.

        Returns:
            Whether it has begun.

        Raises:
            HilError: it failed before it began.

        """
        self._begun.wait(timeout)
        if self.began is None and self.over:
            self.result()
        return self.began is not None

    def result(self) -> Any:
        """Wait for the outcome; the value that the operation returned.

        Raises:
            HilError: as the operation raised it; or `DeviceHung`, `DeviceCrashed`, `BenchFault` from here.

        """
        self._over.wait()
        if self._failure is None:
            return self._value
        if isinstance(self._failure, HilError):
            raise self._failure
        raise messages.rebuild(self._failure)

    def announce(self, now: float) -> None:
        """The operation begins, `now` on the host's clock."""
        self.began = now
        self._begun.set()

    def finish(self, message: Mapping[str, Any]) -> None:
        """The device process answered: `message` is a ``result`` or an ``error``."""
        if "error" in message:
            self._end(message)
            return
        self._value, self.started, self.ended = message["value"], message["started"], message["ended"]
        self._end(None)

    def fail(self, error: HilError) -> None:
        """No answer will come; `error` says why."""
        self._end(error)

    def _end(self, failure: Mapping[str, Any] | HilError | None) -> None:
        self._failure = failure
        self._over.set()
        self._begun.set()
