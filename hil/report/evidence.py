"""What a test's record keeps of its attachments: enough to show what was wrong, bounded in size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

TEXT: Final = 8 << 10
"""Characters of a text; of a longer one its beginning and its end are kept."""
PICTURE: Final = 64 << 10
"""Characters of an SVG; a larger one is left out, since half a picture is none."""
WHOLE: Final = 160 << 10
"""Characters of all that one test keeps."""
ALWAYS: Final = ("recovery", "bottleneck", "residency")
"""Titles that are kept of passing tests too, beside pictures: what they say is news on a good night."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """One attachment as it was made."""

    name: str
    kind: str
    """``txt``, ``json`` or ``svg``."""
    text: str


_MADE: ContextVar[list[Attachment] | None] = ContextVar("hil-attachments", default=None)


def begin() -> list[Attachment]:
    """Collect what is attached from now on in this thread; the list fills by itself."""
    made: list[Attachment] = []
    _MADE.set(made)
    return made


def note(name: str, text: str, extension: str) -> None:
    """Something was attached."""
    made = _MADE.get()
    if made is not None:
        made.append(Attachment(name, extension, text))


def bounded(made: Sequence[Attachment], *, passed: bool) -> tuple[Mapping[str, str], ...]:
    """What a record keeps of `made`, as ``{name, kind, text}``: pictures first, then texts in their order."""
    wanted = [one for one in made if not passed or one.kind == "svg" or one.name in ALWAYS]
    kept: dict[Attachment, str] = {}
    room = WHOLE
    for one in sorted(dict.fromkeys(wanted), key=lambda one: one.kind != "svg"):
        text = _fitted(one)
        if text and len(text) <= room:
            kept[one] = text
            room -= len(text)
    return tuple({"name": one.name, "kind": one.kind, "text": text} for one, text in kept.items())


def _fitted(one: Attachment) -> str:
    if one.kind == "svg":
        return one.text if len(one.text) <= PICTURE else ""
    if one.kind == "json":
        return one.text if len(one.text) <= TEXT else ""
    if len(one.text) <= TEXT:
        return one.text
    half = TEXT // 2
    return f"{one.text[:half]}\n[… {len(one.text) - 2 * half} characters …]\n{one.text[-half:]}"
