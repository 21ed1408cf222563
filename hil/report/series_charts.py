"""Charts of a series: tonight against what the nights allow, and a change with what changed on the bench."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from hil.history.words import differences, quantity
from hil.report.chart import Chart, Mark, draw

if TYPE_CHECKING:
    from hil.history.series import Key
    from hil.history.tonight import Before
    from hil.history.verdict import Night, Verdict

SHOWN: Final = 60
"""Nights in a chart, the last ones."""


def gate_chart(title: str, before: Before, value: float) -> str:
    """Tonight's `value` beside the nights `before`, and the band that they allow; an SVG document."""
    allowed, key = before.gate, before.verdict.key
    nights = before.verdict.nights[-SHOWN:]
    band = None
    if allowed is not None:
        band = (allowed.limit, float("inf") if allowed.higher_is_better else float("-inf"))
    return draw(
        Chart(
            title=title,
            dates=[*(night.date for night in nights), "tonight"],
            values=[*(night.value for night in nights), value],
            text=_words(key),
            band=band,
            context=_context(nights),
            changes=[Mark(at=len(nights), text="tonight")],
            failed=allowed is not None and not allowed.passes(value),
        )
    )


def change_chart(title: str, verdict: Verdict) -> str:
    """A judged series with its changes; an SVG document."""
    nights = verdict.nights[-SHOWN:]
    dates = [night.date for night in nights]
    changes = [
        Mark(at=dates.index(one.since.date), text=f"{'better' if one.better else 'worse'} ({100 * one.share:+.1f} %)")
        for one in verdict.changes
        if one.since.date in dates
    ]
    return draw(
        Chart(
            title=title,
            dates=dates,
            values=[night.value for night in nights],
            text=_words(verdict.key),
            changes=changes,
            context=_context(nights),
            failed=verdict.status == "worse",
        )
    )


def _words(key: Key) -> Callable[[float], str]:
    return lambda value: quantity(value, key.unit)


def _context(nights: Sequence[Night]) -> list[Mark]:
    marks = []
    for at in range(1, len(nights)):
        changed = differences(nights[at - 1].context, nights[at].context)
        if changed:
            text = ", ".join(f"{name} {old or '?'} → {new or '?'}" for name, (old, new) in changed.items())
            marks.append(Mark(at=at, text=text))
    return marks
