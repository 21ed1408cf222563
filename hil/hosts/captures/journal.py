"""What a host was asked and what it answered: kept in order, and found again by the question."""

from __future__ import annotations

import builtins
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from hil import errors
from hil.errors import HilError, NotCaptured
from hil.hosts.captures.values import key_text

_BUILTIN = ("IndexError", "NotImplementedError")
"""What pyusb's backends raise beside their own errors: no such descriptor; the backend cannot do that."""
_PYUSB = ("USBError", "USBTimeoutError", "NoBackendError")


@dataclass(frozen=True, slots=True)
class Entry:
    """One question and its outcome."""

    call: str
    """Method of the host: ``read``, ``run``, ``nvml.call``, …"""
    args: tuple[Any, ...]
    answer: Any = None
    """In builtin types."""
    error: dict[str, Any] | None = None
    """What was raised instead, as `described` has it."""


class Journal:
    """Questions and outcomes.

    The same question may have had several outcomes: a replay gives them in the order they came, and the last one for
    ever after.

    Args:
        entries: recorded before.
        source: where they come from, for messages.

    """

    def __init__(self, entries: Iterable[Entry] = (), *, source: str = "this capture") -> None:
        self.entries: list[Entry] = []
        self.source = source
        self._found: dict[str, list[Entry]] = {}
        self._asked: Counter[str] = Counter()
        for entry in entries:
            self._keep(entry)

    def record(
        self,
        call: str,
        args: tuple[Any, ...],
        ask: Callable[[], Any],
        plain: Callable[[Any], Any] = lambda value: value,
    ) -> Any:
        """Ask, record the outcome, and hand it on.

        Args:
            call: name of the question.
            args: builtin types.
            ask: asks.
            plain: makes builtin types of the answer, for the record; `None` where it is of such.

        """
        try:
            value = ask()
        except (OSError, HilError, IndexError, NotImplementedError, ValueError) as error:
            facts = described(error)
            if facts is not None:
                self._keep(Entry(call, args, error=facts))
            raise
        self.note(call, args, value if plain is None else plain(value))
        return value

    def note(self, call: str, args: tuple[Any, ...], answer: Any) -> None:
        """Record an answer that is known already."""
        self._keep(Entry(call, args, answer))

    def replay(self, call: str, args: tuple[Any, ...]) -> Any:
        """The recorded answer to a question.

        Raises:
            NotCaptured: it was never asked.
            Exception: what was raised then.

        """
        key = key_text(call, args)
        outcomes = self._found.get(key)
        if outcomes is None:
            raise not_captured(call, args, self.source)
        entry = outcomes[min(self._asked[key], len(outcomes) - 1)]
        self._asked[key] += 1
        if entry.error is not None:
            raise rebuilt(entry.error)
        return entry.answer

    def counts(self) -> dict[str, int]:
        """How many outcomes there are of each call."""
        return dict(sorted(Counter(entry.call for entry in self.entries).items()))

    def _keep(self, entry: Entry) -> None:
        outcomes = self._found.setdefault(key_text(entry.call, entry.args), [])
        if not outcomes or outcomes[-1] != entry:
            outcomes.append(entry)
            self.entries.append(entry)


def not_captured(call: str, args: tuple[Any, ...], source: str) -> NotCaptured:
    """The error for a question that was never asked."""
    what = " ".join(str(part) for part in args)
    return NotCaptured(f"{call} {what[:200]}: not in {source}; a capture holds what was read then, and nothing more")


def refused(what: str) -> NotCaptured:
    """The error for what no capture can hold."""
    return NotCaptured(f"{what}: not captured; a capture only tells what was read on a host, it is not that host")


def described(error: BaseException) -> dict[str, Any] | None:
    """`error` in builtin types; `None` for one that is no answer of a host's."""
    name = type(error).__name__
    if isinstance(error, HilError):
        return {"family": "hil", **errors.to_dict(error)}
    if isinstance(error, OSError):
        facts = {"errno": error.errno, "strerror": error.strerror or str(error), "filename": _text(error.filename)}
        if name in _PYUSB:
            code = getattr(error, "backend_error_code", None)
            return {"family": "usb", "type": name, **facts, "code": code if isinstance(code, int) else None}
        return {"family": "os", **facts}
    if name in _BUILTIN or name in _PYUSB:
        return {"family": "usb" if name in _PYUSB else "builtin", "type": name, "strerror": str(error)}
    return None


def rebuilt(facts: dict[str, Any]) -> Exception:
    """The error that `described` described.

    Raises:
        KeyError, TypeError: `facts` are damaged.

    """
    family = facts["family"]
    if family == "hil":
        return errors.from_dict(facts)
    if family == "os":
        if facts["errno"] is None:
            return OSError(facts["strerror"])
        return OSError(facts["errno"], facts["strerror"], *([facts["filename"]] if facts["filename"] else []))
    name, text = facts["type"], facts["strerror"]
    if family == "builtin" and name in _BUILTIN:
        error: Exception = getattr(builtins, name)(text)
        return error
    if family != "usb" or name not in _PYUSB:
        raise KeyError(name)
    import usb.core  # noqa: PLC0415  (an optional part; whoever recorded this error had it)

    kind = getattr(usb.core, name)
    found: Exception = kind(text) if name == "NoBackendError" else kind(text, facts.get("code"), facts["errno"])
    return found


def _text(filename: Any) -> str | None:
    return filename if isinstance(filename, str) else None
