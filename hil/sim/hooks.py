"""Calls the faults' hooks where the machine passes; a hook that no fault overrides costs one look-up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from hil.sim.faults.base import Fault

T = TypeVar("T")
CHUNK_BYTES = 2 << 20
"""Copies move in pieces of this size: finer costs time and shows nothing unless a fault asks for it."""


class Hooks:
    """The faults of one machine, by the hook they override. Hook names are those of `Fault`, without ``on_``."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        self.chunk_bytes = min([fault.chunk_bytes or CHUNK_BYTES for fault in faults], default=CHUNK_BYTES)
        self._by_hook: dict[str, list[Any]] = {}
        for fault in faults:
            for name in dir(Fault):
                if name.startswith("on_") and getattr(type(fault), name) is not getattr(Fault, name):
                    self._by_hook.setdefault(name.removeprefix("on_"), []).append(getattr(fault, name))

    def touches_bytes(self) -> bool:
        """Whether any fault wants to see the bytes of copies."""
        return any(hook in self._by_hook for hook in ("chunk", "vram_read", "vram_write"))

    def tell(self, hook: str, *facts: object) -> None:
        """Let all faults see, and change in place, what is about to happen."""
        for see in self._by_hook.get(hook, ()):
            see(*facts)

    def change(self, hook: str, *where: object, value: T) -> T:
        """`value` after every fault had its way with it."""
        for see in self._by_hook.get(hook, ()):
            value = see(*where, value)
        return value

    def change_or_drop(self, hook: str, *where: object, value: T) -> T | None:
        """`value` after every fault had its way with it; `None` once one dropped it."""
        passed: T | None = value
        for see in self._by_hook.get(hook, ()):
            if passed is None:
                return None
            passed = see(*where, passed)
        return passed

    def spread(self, hook: str, value: T) -> list[T]:
        """What becomes of `value` where a fault may make none or several of it."""
        values = [value]
        for see in self._by_hook.get(hook, ()):
            values = [made for old in values for made in see(old)]
        return values

    def agree(self, hook: str, *facts: object) -> bool:
        """Whether no fault objects."""
        return all(see(*facts) for see in self._by_hook.get(hook, ()))
