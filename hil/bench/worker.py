"""A device process's loop: control on the channel, whole operations in one thread beside it.

The controller starts it in an execnet gateway with ``from hil.bench.worker import serve; serve(channel)``.
What is said on the channel stands in `hil.bench.messages`.
"""

from __future__ import annotations

import pkgutil
import queue
import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from hil.bench import messages
from hil.bench.child import OwnProcess
from hil.bench.messages import Job
from hil.errors import BenchFault, DeviceHung, UsageError
from hil.hosts.opening import open_host

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.bench.messages import Setup
    from hil.hosts.base import Host

_GRACE = 2.0
"""Real seconds that the operation under way and the host get at the end; execnet itself would wait for 5."""


class Channel(Protocol):
    """As much of an execnet channel as the loop needs."""

    def send(self, item: object, /) -> None:
        """Send builtin types; `OSError` when the other end is gone."""
        ...

    def receive(self) -> Any:
        """The next message; `EOFError` when the other end is gone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What every operation is given first: ``function(context, **kwargs)``."""

    host: Host
    device: str | None
    """Alias of the device under test; `None` in the host's own process."""
    progress: Callable[[str], None]
    """Tell the controller how far the operation is, in words."""
    state: dict[str, object] = field(default_factory=dict)
    """Kept from one operation to the next in this process: an open engine, buffers."""


def serve(channel: Channel) -> None:
    """Do what comes over `channel` until it closes. Answers first whether the setup can be followed."""
    setup: Setup = channel.receive()
    try:
        messages.check_version(setup)
        process = OwnProcess(setup["stderr"], die_with_controller=setup.get("die_with_controller", False))
        host = open_host(setup["host"])
    except Exception as error:  # noqa: BLE001  (whatever it was, the controller must hear it)
        channel.send(messages.refused(error, device=setup.get("device")))
        return
    _Loop(channel, Context(host=host, device=setup["device"], progress=lambda _text: None), process).run()


class _Loop:
    def __init__(self, channel: Channel, context: Context, process: OwnProcess) -> None:
        self._channel = channel
        self._context = context
        self._process = process
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._over = threading.Event()

    def run(self) -> None:
        # A daemon: a driver call that never comes back must not keep the process from ending.
        work = threading.Thread(target=self._work, name="hil-work", daemon=True)
        work.start()
        self._channel.send(messages.ready(thread=work.ident or 0))
        with suppress(EOFError, OSError):
            while True:
                self._jobs.put(Job(**self._channel.receive()))
        self._over.set()
        self._jobs.put(None)
        work.join(_GRACE)

    def _work(self) -> None:
        for job in iter(self._jobs.get, None):
            if not self._over.is_set():
                self._answer(job, self._perform(job))
        with suppress(Exception):  # nobody is left to be told
            self._context.host.close()

    def _perform(self, job: Job) -> dict[str, Any]:
        number, name, deadline = job.call, job.operation, job.deadline
        clock = self._context.host.clock
        try:
            with self._process.ends_after(job.limit):
                function = find_operation(name)  # may load a driver: under the limit
                context = replace(self._context, progress=lambda words: self._progress(number, words))
                with clock.operation(name, deadline):
                    started = clock.now()
                    # On a simulated host an actor by now: who waits for this may let time pass.
                    begin = {"begin": number, "operation": name, "deadline": deadline, "now": started}
                    self._channel.send(begin)
                    value = function(context, **job.kwargs)
                    ended = clock.now()
            if ended - started > deadline:
                raise DeviceHung(  # noqa: TRY301  (one place turns everything into an answer)
                    f"{name} came back after {ended - started:.3g} s; its deadline was {deadline:g} s"
                )
        except BaseException as error:  # noqa: BLE001  (a driver library's sys.exit must not end the work thread)
            return self._failure(job, error)
        return {"result": number, "value": value, "started": started, "ended": ended}

    def _failure(self, job: Job, error: BaseException) -> dict[str, Any]:
        facts = messages.describe(error, device=self._context.device, operation=job.operation)
        return {"error": job.call, **facts}

    def _answer(self, job: Job, message: dict[str, Any]) -> None:
        with suppress(OSError):  # the controller is gone: `run` sees it as the end of the channel
            try:
                self._channel.send(message)
            except messages.UNSERIALISABLE as error:
                fault = BenchFault(
                    f"{job.operation} returned what cannot cross between processes ({error}): "
                    "return builtin types, facts through hil.model.dicts.to_dict"
                )
                self._channel.send(self._failure(job, fault))

    def _progress(self, number: int, words: str) -> None:
        with suppress(OSError):
            self._channel.send({"progress": number, "text": messages.text(words)})


def find_operation(name: str) -> Callable[..., Any]:
    """The function that ``package.module:function`` names.

    Raises:
        UsageError: there is none.

    """
    if ":" not in name:
        raise UsageError(f"operation {name!r}: expected 'package.module:function'")
    try:
        function = pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"operation {name!r} cannot be found in the device process: {error}") from error
    if not callable(function):
        raise UsageError(f"operation {name!r} is no function but {type(function).__name__}")
    return function  # type: ignore[no-any-return]
