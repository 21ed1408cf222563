"""A night in few lines: for a pull request's comment, a chat message, a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hil.report.morning import Item, Morning

LINES: Final = 15
WIDTH: Final = 220
"""Characters of a line: a chat window shows no more at a glance."""
_SPECIAL: Final = str.maketrans(
    {mark: f"\\{mark}" for mark in "\\`*_[]<>#|~&"} | {"\n": " ", "\r": " ", "@": "@\u200b"}
)
"""What Markdown would take for its own; and nobody is called by a file's name."""


def markdown(told: Sequence[Morning], notes: Sequence[str]) -> str:
    """`told` as Markdown of at most `LINES` lines; what does not fit is counted."""
    lines: list[str] = []
    for place, morning in enumerate(told):
        nature = "simulated" if morning.simulated else "real"
        lines.append(f"**hil, {nature} benches, night of {morning.night}: {_line(morning.headline)}**")
        room = (LINES - len(lines) - bool(notes)) // (len(told) - place)
        lines += _items(morning.items, room - (place < len(told) - 1))
    if not told:
        lines.append("**hil: there is no run and no history to tell of**")
    if notes:
        more = f" (and {len(notes) - 1} more like it)" if len(notes) > 1 else ""
        lines.append(f"- note: {_line(notes[0])}{more}")
    return "\n".join(lines[:LINES]) + "\n"


def _items(items: Sequence[Item], room: int) -> list[str]:
    shown = items if len(items) <= room else items[: max(room - 1, 0)]
    left = len(items) - len(shown)
    return [*(f"- {sentence(item)}" for item in shown), *([f"- … and {left} more"] if left and room > 0 else [])]


def sentence(item: Item) -> str:
    """One thing to know as one line of Markdown."""
    where = f"{item.bench} {item.device}".strip()
    since = f", since {item.since}" if item.since and item.kind != "missing" else ""
    changed = f"; changed with it: {item.changed}" if item.changed else ""
    return f"**{item.kind}** {_line(f'{where}: {item.sentence}{since}{changed}')}"


def _line(text: str) -> str:
    short = text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
    return short.translate(_SPECIAL)
