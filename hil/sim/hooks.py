"""Calls the faults' hooks where the machine passes; a hook that no fault overrides costs one look-up."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass
from types import NoneType
from typing import Any, TypeVar, cast, get_type_hints

from hil.errors import BenchFault, HilError
from hil.sim.faults.base import Fault
from hil.sim.faults.kinds import check, settled

T = TypeVar("T")
CHUNK_BYTES = 2 << 20
"""Copies move in pieces of this size: finer costs time and shows nothing unless a fault asks for it."""
_OS_ERRORS = ("file_read", "file_write")
"""Hooks in which an `OSError` is an answer."""


class Hooks:
    """The faults of one machine, by the hook they override. Hook names are those of `Fault`, without ``on_``.

    Args:
        faults: in the order in which they are asked.
        mistaken: told, in words, of a fault that is wrong itself: nothing that the machine does from then on, and on
            whatever wire, may be taken for a finding about a device.

    """

    def __init__(self, faults: Sequence[Fault], mistaken: Callable[[str], None] = lambda _: None) -> None:
        self.faults = tuple(faults)
        self.chunk_bytes = min([fault.chunk_bytes or CHUNK_BYTES for fault in faults], default=CHUNK_BYTES)
        self._by_hook: dict[str, list[Callable[..., Any]]] = {}
        for fault in faults:
            for name in dir(Fault):
                if name.startswith("on_") and getattr(type(fault), name) is not getattr(Fault, name):
                    hook = name.removeprefix("on_")
                    self._by_hook.setdefault(hook, []).append(_guarded(fault, hook, mistaken))

    def touches_bytes(self) -> bool:
        """Whether any fault wants to see the bytes of copies."""
        return any(hook in self._by_hook for hook in ("chunk", "vram_read", "vram_write"))

    def tell(self, hook: str, *facts: object) -> None:
        """Let all faults see, and change in place, what is about to happen."""
        for ask in self._by_hook.get(hook, ()):
            ask(*facts)

    def change(self, hook: str, *where: object, value: T) -> T:
        """`value` after every fault had its way with it."""
        for ask in self._by_hook.get(hook, ()):
            value = ask(*where, value)
        return value

    def change_or_drop(self, hook: str, *where: object, value: T) -> T | None:
        """`value` after every fault had its way with it; `None` once one dropped it."""
        passed: T | None = value
        for ask in self._by_hook.get(hook, ()):
            if passed is None:
                return None
            passed = ask(*where, passed)
        return passed

    def spread(self, hook: str, value: T) -> list[T]:
        """What becomes of `value` where a fault may make none or several of it."""
        values = [value]
        for ask in self._by_hook.get(hook, ()):
            values = [made for old in values for made in ask(old)]
        return values

    def agree(self, hook: str, *facts: object) -> bool:
        """Whether no fault objects; all are asked."""
        answers = [ask(*facts) for ask in self._by_hook.get(hook, ())]
        return all(answers)


def _guarded(fault: Fault, hook: str, mistaken: Callable[[str], None]) -> Callable[..., Any]:
    """The hook of `fault`; an error in it is the fault's author's, and no finding about a device."""
    ask = getattr(fault, f"on_{hook}")
    kind = get_type_hints(getattr(Fault, f"on_{hook}"))["return"]

    def mistake(told: str) -> BenchFault:
        message = f"fault {fault.name}: on_{hook} {told}"
        mistaken(message)
        return BenchFault(message)

    def guarded(*facts: object) -> Any:
        try:
            answer = settled(kind, ask(*facts))
        except HilError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and hook in _OS_ERRORS:
                raise
            traceback.print_exception(error)
            raise mistake(f"raised {error!r}; see the simulated machine's standard error") from error
        if kind is not NoneType:
            if wrong := check(kind)(answer):
                raise mistake(f"returned {wrong}")
            return answer
        for fact in facts:
            if is_dataclass(fact) and (wrong := check(cast("Any", type(fact)))(fact)):
                raise mistake(f"left {wrong}")
        return None

    return guarded
