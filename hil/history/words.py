"""Figures and changes in words, the same in every report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hil.history.series import Key
from hil.model import GB

if TYPE_CHECKING:
    from hil.history.verdict import Change

_MICRO = 1e-6


def quantity(value: float, unit: str) -> str:
    """`value` of `unit` for people: bytes/s as decimal GB/s, seconds below a millisecond as µs."""
    if unit == "B/s":
        return f"{value / GB:.3g} GB/s"
    if unit == "s":
        return f"{value / _MICRO:.3g} µs" if value < 1e-3 else f"{value:.3g} s"  # noqa: PLR2004
    return f"{value:.4g} {unit}".rstrip()


IGNORED = ("command", "started", "seed")
"""Context that differs from run to run and explains nothing."""


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """What differs between two nights' contexts and could explain a change: before, after."""
    names = sorted({*before, *after} - set(IGNORED))
    pairs = {name: (before.get(name, ""), after.get(name, "")) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def change_sentence(change: Change, key: Key) -> str:
    """One sentence: how much, since when, and what changed on the bench with it."""
    way = "better" if change.better else "worse"
    sizes = f"{quantity(change.before, key.unit)} → {quantity(change.after, key.unit)}"
    what = "; ".join(f"{name} {old or 'unknown'} → {new or 'unknown'}" for name, (old, new) in change.context.items())
    return (
        f"{way} since {change.since.date}: {sizes} ({100 * change.share:+.1f} %), sure since {change.seen}; "
        f"changed with it: {what or 'nothing that hil knows of'}"
    )
