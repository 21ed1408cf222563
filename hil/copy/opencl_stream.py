"""A stream of the OpenCL engine: an in-order queue, what is under way in it, marks that tell device time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hil.copy import opencl_driver as driver
from hil.errors import HilError

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(eq=False, slots=True)
class OpenCLMark:
    """A point in a stream, and the copies on either side of it."""

    stream: OpenCLStream
    position: int
    """How many copies the stream was given before."""
    marker: Any
    before: Any = None
    """Event of the copy before it; `None` if there was none since the last synchronization."""
    after: Any = None


class OpenCLStream:
    """One in-order queue with profiling.

    Args:
        context: pyopencl's context of one device.
        target: the device, for messages.

    Raises:
        DriverError: the driver gave no queue.

    """

    def __init__(self, context: Any, target: str) -> None:
        self._cl = driver.load()
        self._target = target
        profiling = self._cl.command_queue_properties.PROFILING_ENABLE
        with driver.driver_errors("create a queue", target):
            self.queue = self._cl.CommandQueue(context, properties=profiling)
        self._copies = 0
        self._last: Any = None
        self._open_marks: list[OpenCLMark] = []
        # Operation, event, and the host memory that must live until the copy is done.
        self._pending: list[tuple[str, Any, memoryview | None]] = []

    def submit(self, operation: str, enqueue: Callable[[Any], Any], keep: memoryview | None) -> None:
        """Give the queue one copy and start it.

        Args:
            operation: the copy in words, for messages.
            enqueue: given the queue, submits and returns the event.
            keep: host memory that the copy reads or writes.

        Raises:
            DriverError: the driver refused it.

        """
        with driver.driver_errors(operation, self._target):
            event = enqueue(self.queue)
            self.queue.flush()
        for mark in self._open_marks:
            mark.after = event
        self._open_marks.clear()
        self._pending.append((operation, event, keep))
        self._copies += 1
        self._last = event

    def finish(self) -> list[HilError]:
        """Wait for all copies.

        Returns:
            What went wrong since the last time, in order; empty if nothing did.

        """
        failures: list[HilError] = []
        try:
            with driver.driver_errors("wait for copies", self._target):
                self.queue.finish()
                for operation, event, _ in self._pending:
                    # The queue itself finishes without complaint when a copy in it failed.
                    status = event.command_execution_status
                    if status < 0:
                        failures.append(driver.failure(status, operation, self._target))
        except HilError as error:
            failures.append(error)
        self._pending.clear()
        self._open_marks.clear()
        self._last = None
        return failures

    def record(self) -> OpenCLMark:
        """Put a mark behind what was submitted.

        Raises:
            DriverError: the driver refused it.

        """
        with driver.driver_errors("record a mark", self._target):
            mark = OpenCLMark(self, self._copies, self._cl.enqueue_marker(self.queue), before=self._last)
            self.queue.flush()  # a driver may keep it else until somebody waits, and tell the time of that
        self._open_marks.append(mark)
        return mark


def elapsed(start: OpenCLMark, end: OpenCLMark, target: str) -> float:
    """Seconds of the device's clock between two marks that were reached.

    From the start of the first copy behind `start` to the end of the last one before `end`: on an idle queue
    a marker is passed at once, and would count the host's time to submit the copy. Only where no copy lies
    between, the markers themselves tell.

    Raises:
        DriverError: a mark was not reached yet, or the driver tells no times.

    """
    empty = start.stream is end.stream and start.position == end.position
    with driver.driver_errors("read device time (synchronize first)", target):
        begins = start.marker.profile.end if empty or start.after is None else start.after.profile.start
        ends = end.marker.profile.end if empty or end.before is None else end.before.profile.end
    return float(ends - begins) * 1e-9
