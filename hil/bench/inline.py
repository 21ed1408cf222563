"""Operations in the controller's own process, for a debugger: simulated benches only."""

from __future__ import annotations

import itertools
import math
import threading
from typing import TYPE_CHECKING, Any

from hil.bench.calls import Call
from hil.bench.messages import short_name
from hil.bench.worker import Context, find_operation
from hil.errors import BenchFault, DeviceHung, HilError, says_enough
from hil.hosts.opening import open_host

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hil.bench.messages import Notice

__tracebackhide__ = says_enough


class InlineProcess:
    """Stands in for a `DeviceProcess`: the same calls, in the caller's thread, so that breakpoints work.

    Nothing can be killed here. An operation past its deadline is ended by the machine, which hangs up on it
    (`break_off`); one that computes for ever is the debugger's business.
    """

    def __init__(
        self, name: str, spec: Mapping[str, Any], *, device: str | None, break_off: Callable[[], None]
    ) -> None:
        self.name = name
        self.device = device
        self.pid = 0
        self.left_behind = False
        self.ending: str | None = None
        self._break_off = break_off
        self._host = open_host(spec)
        self._context = Context(host=self._host, device=device, progress=lambda _text: None)
        self._numbers = itertools.count(1)

    @property
    def alive(self) -> bool:
        """Whether operations can be submitted."""
        return self.ending is None

    def call(self, operation: str, /, *, deadline: float, **kwargs: Any) -> Any:
        """Do it now, here."""
        call = self._prepare(operation, deadline)
        self._run(call, kwargs)
        return call.result()

    def submit(self, operation: str, /, *, deadline: float, **kwargs: Any) -> Call:
        """Do it in a thread beside the caller."""
        call = self._prepare(operation, deadline)
        threading.Thread(target=self._run, args=(call, kwargs), name=f"hil-{self.name}", daemon=True).start()
        return call

    def expire(self, notice: Notice) -> None:
        """The machine says that an operation here is past its deadline: let it hang up on us."""
        what = f"{short_name(notice['operation'])} on {self.device or 'the host'}"
        self.ending = (
            f"{what} did not come back by its deadline of {notice['deadline']:g} s; it hangs in {notice['blocked_in']}"
        )
        self._break_off()

    def lose(self, why: str) -> None:
        """The machine went down, and has hung up on us."""
        self.ending = why

    def stderr_text(self, limit: int = 65536) -> str:  # noqa: ARG002  (the interface of a process)
        """Nothing: what is printed here is printed by pytest's own process."""
        return ""

    def kill(self) -> None:
        """As far as one can kill oneself: hang up."""
        self.close()

    def close(self, timeout: float = 5.0) -> None:  # noqa: ARG002  (the interface of a process)
        """Hang up."""
        self.ending = self.ending or "closed"
        self._host.close()

    def _prepare(self, operation: str, deadline: float) -> Call:
        if self.ending:
            raise BenchFault(f"{self.name} has ended: {self.ending}", device=self.device, operation=operation)
        return Call(next(self._numbers), operation, deadline)

    def _run(self, call: Call, kwargs: Mapping[str, Any]) -> None:
        clock = self._host.clock
        try:
            function = find_operation(call.operation)
            with clock.operation(call.operation, call.deadline if call.deadline > 0 else math.inf):
                started = clock.now()
                call.announce(started)
                value = function(self._context, **kwargs)
                ended = clock.now()
            call.finish({"value": value, "started": started, "ended": ended})
        except DeviceHung as error:
            text = f"{self.ending or error}; the machine hung up on it."
            call.fail(DeviceHung(text, device=self.device, operation=call.operation))
        except HilError as error:
            error.device = error.device or self.device
            call.fail(error)
        except Exception as error:  # noqa: BLE001  (as a device process would answer)
            fault = BenchFault(f"{type(error).__name__}: {error}", device=self.device, operation=call.operation)
            fault.__cause__ = error
            call.fail(fault)
