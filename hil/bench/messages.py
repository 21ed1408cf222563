"""What a controller and a device process say to each other: message shapes and the version handshake.

Only builtin types cross. To the device process: first `Setup`, then one `Job` an operation. To the
controller: first `ready` or `refused`; then for every job ``begin``, any number of ``progress``, and
``result`` or ``error``; each of these keys holds the job's number.
"""

from __future__ import annotations

import os
import platform
import struct
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import execnet

import hil
from hil import errors
from hil.errors import BenchFault, HilError

if TYPE_CHECKING:
    from collections.abc import Mapping

UNSERIALISABLE = (execnet.DumpError, struct.error, RecursionError)
"""What execnet raises for a value it cannot send (``struct.error``: an integer below -2**31)."""

TRACEBACK = "device process: traceback"
STDERR = "device process: standard error"
STACKS = "device process: stacks"
"""Titles of the evidence that comes with errors from device processes."""
OPERATIONS = "hil.bench.operations"
"""Where operations live that are named without a dot: ``transfer:round_trip``."""


def full_name(operation: str) -> str:
    """``package.module:function`` of an operation as a suite names it."""
    return operation if "." in operation.partition(":")[0] else f"{OPERATIONS}.{operation}"


def short_name(operation: str) -> str:
    """An operation as a suite names it, for messages."""
    return operation.removeprefix(f"{OPERATIONS}.")


class Setup(TypedDict):
    """The first message to a device process."""

    version: str
    """`hil.__version__` of the controller."""
    host: dict[str, Any]
    """See `hil.hosts.opening.open_host`."""
    device: str | None
    """Alias of the device under test; `None` for the host's own process."""
    stderr: str | None
    """File that standard output and error go to; `None` = leave descriptors and signals alone."""
    die_with_controller: NotRequired[bool]
    """Ask the kernel to kill this process with the thread that started it."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One operation to be done."""

    call: int
    """Number of the call."""
    operation: str
    """``package.module:function``."""
    kwargs: dict[str, Any]
    deadline: float
    """Seconds on the host's clock."""
    limit: float
    """Real seconds after which the device process ends itself: nobody is left who would."""

    def to_message(self) -> dict[str, Any]:
        """What crosses; ``Job(**message)`` at the other end."""
        return dict(vars(self))


class Notice(TypedDict):
    """Not on the channel: the simulated machine tells that an operation passed its deadline."""

    operation: str
    deadline: float
    """Seconds."""
    now: float
    """Seconds on the host's clock."""
    blocked_in: str | None
    """What the operation waits for, in the machine's words."""


def ready(*, thread: int) -> dict[str, Any]:
    """The answer to a `Setup` that fits. `thread`: identity of the thread that does the work."""
    return {
        "ready": True,
        "version": hil.__version__,
        "pid": os.getpid(),
        "python": platform.python_version(),
        "thread": thread,
    }


def refused(error: BaseException, *, device: str | None = None) -> dict[str, Any]:
    """The answer to a `Setup` that cannot be followed."""
    return {"ready": False, "version": hil.__version__, **describe(error, device=device)}


def check_version(setup: Mapping[str, Any]) -> None:
    """The version handshake: worker code is imported, not shipped, so both ends must be the same.

    Raises:
        BenchFault: the controller runs another version of hil.

    """
    if setup.get("version") != hil.__version__:
        raise BenchFault(
            f"the controller runs hil {setup.get('version')}, the device process hil {hil.__version__} from "
            f"{os.path.dirname(hil.__file__)}: install the same version on both ends"  # noqa: PTH120  (text only)
        )


def describe(error: BaseException, *, device: str | None = None, operation: str | None = None) -> dict[str, Any]:
    """`error` in types that are sure to cross: `hil.errors.to_dict`, nearest type of ours, traceback.

    ``base`` serves where the controller has not imported the module that defines the error's own type.
    """
    try:
        facts = errors.to_dict(error, device=device, operation=operation)
    except Exception as worse:  # noqa: BLE001  (a foreign error's own __str__ must not cost the answer)
        facts = errors.to_dict(worse, device=device, operation=operation)
        facts.update(type=type(error).__name__, message=f"(telling it raised {type(worse).__name__}: {worse})")
    code = facts["code"]
    facts["code"] = int(code) if isinstance(code, int) else code if code is None else text(code)
    facts["message"] = text(facts["message"])
    facts["base"] = next((kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__), None)
    facts["traceback"] = text("".join(traceback.format_exception(error)))
    return facts


def rebuild(facts: Mapping[str, Any]) -> HilError:
    """The error that `describe` described, as the same type, or as the nearest one this process knows.

    The remote traceback comes with it: as evidence where the error is one of ours, whose message says enough; as
    a note where it is a foreign one, whose message alone helps nobody.
    """
    error = errors.from_dict(dict(facts))
    base = facts.get("base")
    if base is not None and type(error).__name__ != facts["type"]:
        message = f"{facts['type']}: {facts['message']}"
        error = errors.from_dict({**facts, "type": base, "message": message})
    trace = facts.get("traceback")
    if trace and base is not None:
        error.evidence[TRACEBACK] = trace
    elif trace:
        error.add_note(f"In the device process:\n{trace}")
    return error


def text(value: object) -> str:
    """`value` as text that execnet can send: lone surrogates (undecodable file names) are escaped."""
    return str(value).encode("utf-8", "backslashreplace").decode()
