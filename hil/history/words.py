"""Figures and changes in words, the same in every report."""

from __future__ import annotations

from hil.history.series import Key
from hil.history.verdict import Change
from hil.model import GB

_MICRO = 1e-6


def quantity(value: float, unit: str) -> str:
    """`value` of `unit` for people: bytes/s as decimal GB/s, seconds below a millisecond as µs."""
    if unit == "B/s":
        return f"{value / GB:.3g} GB/s"
    if unit == "s":
        return f"{value / _MICRO:.3g} µs" if value < 1e-3 else f"{value:.3g} s"  # noqa: PLR2004
    return f"{value:.4g} {unit}".rstrip()


def change_sentence(change: Change, key: Key) -> str:
    """One sentence: how much, since when, and what changed on the bench with it."""
    way = "better" if change.better else "worse"
    sizes = f"{quantity(change.before, key.unit)} → {quantity(change.after, key.unit)}"
    what = "; ".join(f"{name} {old or 'unknown'} → {new or 'unknown'}" for name, (old, new) in change.context.items())
    return (
        f"{way} since {change.since.date}: {sizes} ({100 * change.share:+.1f} %), sure since {change.seen}; "
        f"changed with it: {what or 'nothing that hil knows of'}"
    )
