"""Words for a night, the same at the terminal, on the page and in a chat message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

WORST_FIRST: Final = ("failed", "broken", "cut off", "skipped", "passed")
"""Outcomes of a test, as a summary puts them; ``cut off``: it began and never ended."""


def verdict(*, bad: bool, ran: bool) -> str:
    """Whether a night is good."""
    return "NOT good" if bad else "good" if ran else "not known"


def counted(counts: Mapping[str, int]) -> list[str]:
    """How tests ended, by outcome."""
    return [f"{counts[name]} {name}" for name in WORST_FIRST if counts.get(name)]
