"""Errors, in two families that never mix: the bench is at fault, or the device under test is.

Allure shows a `BenchFault` as *broken* (the night says nothing about the device) and a `DeviceFault`, being an
`AssertionError`, as *failed* (the device or its driver did wrong).
"""

from __future__ import annotations

from typing import Any


class HilError(Exception):
    """An error that says what was being done, to which device, what came back and what to do next.

    Attributes:
        code: the number or name the driver, the operating system or the tool gave, if any.
        device: alias of the device concerned, if one was.
        operation: what was being done, in words.
        evidence: texts that a report shows beside the message, by title: output of a process, a traceback.
        hop: where on the way from the bench to the card an error of this kind shows: ``bench``, ``link``, ``bus``,
            ``driver``, ``copy path``, ``device`` (somewhere in it).

    """

    hop: str = "bench"

    def __init__(
        self,
        message: str,
        *,
        code: int | str | None = None,
        device: str | None = None,
        operation: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.device = device
        self.operation = operation
        self.evidence: dict[str, str] = {}


class BenchFault(HilError):
    """Infrastructure failed: a cable, an actuator, a permission, a process of ours. Says nothing about the device."""


class DeviceFault(HilError, AssertionError):
    """The device under test or its driver did wrong: this is what the suites look for."""

    hop = "device"


class LinkFault(DeviceFault):
    """Cable, router, tunnel or link are not there, or not what they should be."""

    hop = "link"


class UsageError(BenchFault):
    """What the user wrote (option, file, key, value) cannot be used; the message names it and what was expected."""


class NotSupported(BenchFault):
    """A host, engine or actuator that cannot do what was asked, by design."""


class NotCaptured(NotSupported):
    """A capture is asked for what it does not hold: something else than was read then, or anything but reading."""


class NotPermitted(BenchFault):
    """The bench file does not allow what was asked (reset, unplug, …)."""


class Regression(DeviceFault):
    """A figure is worse than this device's own history on this bench allows.

    Attributes:
        hop: of what bounds the figure, where that is known.

    """

    def __init__(
        self,
        message: str,
        *,
        code: int | str | None = None,
        device: str | None = None,
        operation: str | None = None,
        hop: str = "device",
    ) -> None:
        super().__init__(message, code=code, device=device, operation=operation)
        self.hop = hop


class StateChanged(DeviceFault):
    """Identity, configuration or topology is not what it was, and nothing was to change it."""

    hop = "bus"


class DeviceGone(DeviceFault):
    """The device does not answer any more: removed, off the bus, or lost by its driver."""

    hop = "bus"


class DeviceHung(DeviceFault):
    """An operation did not come back by its deadline."""

    hop = "driver"


class DeviceCrashed(DeviceFault):
    """The process that drives the device died (signal or exit) in the middle of an operation."""

    hop = "driver"


class DriverError(DeviceFault):
    """The driver answered a call with an error code."""

    hop = "driver"


class OutOfMemory(DriverError):
    """The device has not as much free memory as was asked for."""


class DataCorrupt(DeviceFault):
    """Bytes read back are not the bytes written."""

    hop = "copy path"


def says_enough(caught: Any) -> bool:
    """Whether pytest's `caught` is an error of ours, for ``__tracebackhide__`` of the modules that raise them.

    A failing test then shows its own line and the message. A bug of ours still shows its whole way through them.
    """
    return isinstance(caught.value, HilError)


def to_dict(error: BaseException, *, device: str | None = None, operation: str | None = None) -> dict[str, Any]:
    """Describe `error` in builtin types, so that it can cross a process boundary.

    Returns:
        ``{type, code, device, operation, message}``; the sender adds ``traceback``.

    """
    if isinstance(error, HilError):
        device, operation = error.device or device, error.operation or operation
        code: int | str | None = error.code
    else:
        code = error.errno if isinstance(error, OSError) else None
    return {
        "type": type(error).__name__,
        "code": code,
        "device": device,
        "operation": operation,
        "message": str(error),
    }


def from_dict(facts: dict[str, Any]) -> HilError:
    """Rebuild the error that `to_dict` described, as the same type where it is one of ours.

    A type that is not ours comes back as `BenchFault`: code of ours failed, not the device.
    """
    kind = _types().get(facts["type"], BenchFault)
    message = (
        facts["message"]
        if kind is not BenchFault or facts["type"] == "BenchFault"
        else (f"{facts['type']}: {facts['message']}")
    )
    return kind(message, code=facts["code"], device=facts["device"], operation=facts["operation"])


def _types() -> dict[str, type[HilError]]:
    found: dict[str, type[HilError]] = {}
    todo: list[type[HilError]] = [HilError]
    while todo:
        kind = todo.pop()
        found[kind.__name__] = kind
        todo.extend(kind.__subclasses__())
    return found
