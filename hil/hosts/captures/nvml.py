"""NVML as a capture holds it: each call's name, the bytes that went in, the code and the bytes that came out.

Both ends are Python objects in the place of pynvml's library (`pynvml.nvmlLib`), under its real marshalling. Arguments
arrive as ctypes has them: ``byref`` and arrays are read before the call and after it; opaque handles are their address,
which a replay hands out as it was recorded.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Any

from hil.errors import NotSupported
from hil.hosts.captures.journal import Journal

LIBRARY = "libnvidia-ml.so.1"
"""What pynvml itself loads wherever it runs, Windows excepted."""
_LIBRARY_NOT_FOUND = 12
"""NVML_ERROR_LIBRARY_NOT_FOUND, see nvml.h."""
_ByRef: Any = type(ctypes.byref(ctypes.c_int()))


class NoLibrary:
    """Stands for a host without NVML, so that pynvml does not look for the library of the machine that runs."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *_arguments: _LIBRARY_NOT_FOUND


def load() -> Any:
    """The system's NVML library as pynvml would load it, or `NoLibrary`."""
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError:
        return NoLibrary()


class RecordingLibrary:
    """Hands every call on to `library` and records it in `journal`."""

    def __init__(self, library: Any, journal: Journal) -> None:
        self._library = library
        self._journal = journal

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        function = getattr(self._library, name, None)
        self._journal.note("nvml.function", (name,), function is not None)
        if function is None:
            raise AttributeError(name)
        return _Recorded(name, function, self._journal)


class ReplayedLibrary:
    """Answers from `journal`."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not self._journal.replay("nvml.function", (name,)):
            raise AttributeError(name)
        return _Replayed(name, self._journal)


class _Recorded:
    def __init__(self, name: str, function: Any, journal: Journal) -> None:
        self._name = name
        self._function = function
        self._journal = journal

    def __call__(self, *arguments: Any) -> Any:
        question = (self._name, *(_given(argument) for argument in arguments))
        if "restype" in vars(self):  # pynvml sets it where a call returns text
            with suppress(AttributeError):  # a method of a Python object takes none
                self._function.restype = vars(self)["restype"]
        returned = self._function(*arguments)
        out = [None if place is None else _content(place) for place in map(_place, arguments)]
        self._journal.note("nvml.call", question, {"returned": returned, "out": out})
        return returned


class _Replayed:
    def __init__(self, name: str, journal: Journal) -> None:
        self._name = name
        self._journal = journal

    def __call__(self, *arguments: Any) -> Any:
        question = (self._name, *(_given(argument) for argument in arguments))
        answer = self._journal.replay("nvml.call", question)
        for place, content in zip(map(_place, arguments), answer["out"], strict=False):
            if place is not None and content is not None:
                ctypes.memmove(ctypes.addressof(place), content, min(len(content), ctypes.sizeof(place)))
        return answer["returned"]


def _place(argument: Any) -> Any | None:
    """The ctypes object that a call may write to through `argument`; `None` where it cannot write."""
    if isinstance(argument, _ByRef):
        return argument._obj  # noqa: SLF001  (the only way to what a byref points at)
    if isinstance(argument, ctypes.Array):
        return argument
    if isinstance(argument, ctypes._Pointer) and argument and ctypes.sizeof(argument._type_):  # noqa: SLF001  (the base class of all pointer types)
        return argument.contents
    return None


def _content(place: Any) -> bytes:
    return ctypes.string_at(ctypes.addressof(place), ctypes.sizeof(place))


def _given(argument: Any) -> Any:
    """What went in, in builtin types."""
    place = _place(argument)
    if place is not None:
        return _content(place)
    if isinstance(argument, ctypes._Pointer):  # noqa: SLF001
        return ctypes.cast(argument, ctypes.c_void_p).value
    if isinstance(argument, ctypes._SimpleCData):  # noqa: SLF001
        return argument.value
    if isinstance(argument, (ctypes.Structure, ctypes.Union)):
        return _content(argument)
    if argument is None or isinstance(argument, (int, float, str, bytes)):
        return argument
    raise NotSupported(f"NVML argument of type {type(argument).__name__} cannot be recorded")
