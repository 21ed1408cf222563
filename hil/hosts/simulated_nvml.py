"""A Python object in the place of libnvidia-ml, under pynvml's real marshalling: asks the simulated machine.

What pynvml passes is what a C function would get: ``byref`` objects to write to, character buffers with their size,
opaque handles. `SIGNATURES` says of each function what goes in and what comes out; everything else is the machine's.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from typing import Any

Ask = Callable[[str, dict[str, Any]], tuple[int, Mapping[str, Any]]]
"""Function and inputs by name → return code and outputs by name."""
SUCCESS, UNINITIALIZED, INVALID_ARGUMENT, INSUFFICIENT_SIZE = 0, 1, 2, 7

_NONE: tuple[str, ...] = ()
_DEVICE = ("in handle device",)
_VALUE = ("in handle device", "out number value")
_TEXT = ("in handle device", "out text text")
SIGNATURES: Mapping[str, tuple[str, ...]] = {
    "nvmlInit_v2": _NONE,
    "nvmlInitWithFlags": ("in number flags",),
    "nvmlShutdown": _NONE,
    "nvmlSystemGetDriverVersion": ("out text text",),
    "nvmlSystemGetNVMLVersion": ("out text text",),
    "nvmlDeviceGetCount_v2": ("out number value",),
    "nvmlDeviceGetHandleByIndex_v2": ("in number index", "out handle device"),
    "nvmlDeviceGetHandleByUUID": ("in text uuid", "out handle device"),
    "nvmlDeviceGetHandleByPciBusId_v2": ("in text bus_id", "out handle device"),
    "nvmlDeviceGetName": _TEXT,
    "nvmlDeviceGetUUID": _TEXT,
    "nvmlDeviceGetSerial": _TEXT,
    "nvmlDeviceGetVbiosVersion": _TEXT,
    "nvmlDeviceGetPciInfo_v3": (*_DEVICE, "out structure info"),
    "nvmlDeviceGetMemoryInfo": (*_DEVICE, "out structure memory"),
    "nvmlDeviceGetMemoryInfo_v2": (*_DEVICE, "out structure memory"),
    "nvmlDeviceGetTemperature": (*_DEVICE, "in number sensor", "out number value"),
    "nvmlDeviceGetTemperatureV": (*_DEVICE, "out structure reading"),
    "nvmlDeviceGetTemperatureThreshold": (*_DEVICE, "in number threshold", "out number value"),
    "nvmlDeviceGetPowerUsage": _VALUE,
    "nvmlDeviceGetEnforcedPowerLimit": _VALUE,
    "nvmlDeviceGetClockInfo": (*_DEVICE, "in number clock", "out number value"),
    "nvmlDeviceGetClock": (*_DEVICE, "in number clock", "in number which", "out number value"),
    "nvmlDeviceGetMaxClockInfo": (*_DEVICE, "in number clock", "out number value"),
    "nvmlDeviceGetPerformanceState": _VALUE,
    "nvmlDeviceGetCurrPcieLinkGeneration": _VALUE,
    "nvmlDeviceGetCurrPcieLinkWidth": _VALUE,
    "nvmlDeviceGetMaxPcieLinkGeneration": _VALUE,
    "nvmlDeviceGetMaxPcieLinkWidth": _VALUE,
    "nvmlDeviceGetPcieReplayCounter": _VALUE,
    "nvmlDeviceGetCurrentClocksThrottleReasons": _VALUE,
    "nvmlDeviceGetCurrentClocksEventReasons": _VALUE,
    "nvmlDeviceGetEccMode": (*_DEVICE, "out number current", "out number pending"),
    "nvmlDeviceGetUtilizationRates": (*_DEVICE, "out structure rates"),
}
"""Way, kind and name of each argument. ``out text`` is a buffer and its size, two arguments; ``out structure`` is read
too (versions and selectors go in by it), and its fields are outputs by their own names. Source: nvml.h."""


class SimulatedNvml:
    """Has an attribute for each function of `SIGNATURES`, and no other: pynvml makes FUNCTION_NOT_FOUND of that."""

    def __init__(self, ask: Ask) -> None:
        self._machine = ask
        self._opened = 0
        """Initializations less shutdowns: as in NVML they are the process's own, and no news to the machine."""

    def __getattr__(self, name: str) -> Any:
        if name == "nvmlErrorString":
            return _ErrorString()
        if name not in SIGNATURES:
            raise AttributeError(name)
        return _Function(name, SIGNATURES[name], self._ask)

    def _ask(self, name: str, given: dict[str, Any]) -> tuple[int, Mapping[str, Any]]:
        opens, shuts = name.startswith("nvmlInit"), name == "nvmlShutdown"
        if not (opens or self._opened):
            return UNINITIALIZED, {}
        code, values = self._machine(name, given)
        if code == SUCCESS:
            self._opened += opens - shuts
        return code, values


class _ErrorString:
    """pynvml sets `restype` on it, and asks it only for codes that it has no words for itself."""

    def __call__(self, code: int) -> bytes:
        return f"NVML return code {code}".encode()


class _Function:
    def __init__(self, name: str, signature: tuple[str, ...], ask: Ask) -> None:
        self._name = name
        self._signature = signature
        self._ask = ask

    def __call__(self, *arguments: Any) -> int:
        left = list(arguments)
        given: dict[str, Any] = {}
        places: list[tuple[str, str, Any, int]] = []
        for entry in self._signature:
            way, kind, name = entry.split()
            if not left:
                return INVALID_ARGUMENT
            argument = left.pop(0)
            if way == "in":
                given[name] = _given(kind, argument)
                continue
            room = int(_number(left.pop(0))) if kind == "text" and left else 0
            place = argument if kind == "text" else _target(argument)
            if place is None:
                return INVALID_ARGUMENT
            places.append((kind, name, place, room))
            if kind == "structure":
                given[name] = _numbers(place)
        code, values = self._ask(self._name, given)
        if code == SUCCESS:
            # As in C: what is too long for one buffer leaves the others filled, and the call has failed.
            codes = [_put(kind, name, place, room, values) for kind, name, place, room in places]
            code = max(codes, default=SUCCESS)
        return code


def _given(kind: str, argument: Any) -> Any:
    if kind == "handle":
        return ctypes.cast(argument, ctypes.c_void_p).value if argument is not None else None
    if kind == "text":
        data = getattr(argument, "value", argument)
        return data.decode("utf-8", errors="replace") if isinstance(data, bytes) else ""
    return int(_number(argument))


def _number(argument: Any) -> Any:
    return getattr(argument, "value", argument)


def _target(argument: Any) -> Any | None:
    """What a ``byref`` or a pointer points at; `None` for a null pointer."""
    if hasattr(argument, "_obj"):
        return argument._obj  # noqa: SLF001  (the only way to what a byref points at)
    return argument.contents if argument else None


def _numbers(structure: Any) -> dict[str, int]:
    fields = ((name, getattr(structure, name)) for name in _fields(structure))
    return {name: value for name, value in fields if isinstance(value, int)}


def _put(kind: str, name: str, place: Any, room: int, values: Mapping[str, Any]) -> int:
    """Write one output; a value that the machine did not send leaves its place as it was."""
    if kind == "structure":
        for field in _fields(place):
            if field in values:
                value = values[field]
                setattr(place, field, value.encode() if isinstance(value, str) else value)
    elif name not in values:
        return SUCCESS
    elif kind == "text":
        data = str(values[name]).encode()
        if len(data) >= room:
            return INSUFFICIENT_SIZE
        place.value = data
    elif kind == "handle":
        ctypes.c_void_p.from_buffer(place).value = values[name]
    else:
        place.value = values[name]
    return SUCCESS


def _fields(structure: Any) -> list[str]:
    return [field[0] for field in structure._fields_]
