"""A series as a picture: nights, what they allow, where it changed and what changed on the bench. Own SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from hil.report.svg import WIDTH, document, line, trace, words

HEIGHT: Final = 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 16, 34, 46
_ROOM: Final = 0.08
"""Share of the values' range that is left free above and below."""
_LABEL: Final = 40
"""Characters of a mark's label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something that happened at a night."""

    at: int
    """Index of the night."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What is drawn."""

    title: str
    dates: Sequence[str]
    """One a value, oldest first."""
    values: Sequence[float]
    """At least one; the last is tonight's."""
    text: Callable[[float], str]
    """A value in words, with its unit."""
    band: tuple[float, float] | None = None
    """What the nights allow; one end may be infinite."""
    changes: Sequence[Mark] = ()
    """Where the series changed."""
    context: Sequence[Mark] = ()
    """Where the bench did."""
    failed: bool = False
    """Whether the last value is beyond the band for sure."""


def draw(chart: Chart) -> str:
    """`chart` as an SVG document.

    Raises:
        ValueError: there is no value, or not one date a value.

    """
    if not chart.values or len(chart.values) != len(chart.dates):
        raise ValueError(f"a chart needs a date for each value: {len(chart.dates)} dates, {len(chart.values)} values")
    low, high = _range(chart)
    parts = [words(_LEFT, 18, chart.title, bold=True)]

    def y(value: float) -> float:
        clipped = min(max(value, low), high)
        return _TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - (clipped - low) / (high - low))

    def x(index: int) -> float:
        span = max(len(chart.values) - 1, 1)
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * index / span

    if chart.band is not None:
        top, bottom = y(max(chart.band)), y(min(chart.band))
        right = WIDTH - _LEFT - _RIGHT
        parts.append(f'<rect x="{_LEFT}" y="{top:.1f}" width="{right}" height="{bottom - top:.1f}" class="area"/>')
    for value in (low, (low + high) / 2, high):
        parts.append(line(_LEFT, y(value), WIDTH - _RIGHT, y(value)))
        parts.append(words(_LEFT - 6, y(value) + 4, chart.text(value), anchor="end"))
    for mark in chart.changes:
        parts += _mark(x(mark.at), mark.text, "bad", _TOP + 10)
    for row, mark in enumerate(chart.context):
        parts += _mark(x(mark.at), mark.text, "note", _TOP + 24 + 13 * (row % 4))
    parts.append(trace([(x(i), y(value)) for i, value in enumerate(chart.values)]))
    last = len(chart.values) - 1
    kind = "bad" if chart.failed else "dot"
    parts.append(f'<circle cx="{x(last):.1f}" cy="{y(chart.values[last]):.1f}" r="4" class="{kind}"/>')
    parts.append(words(_LEFT, HEIGHT - 26, chart.dates[0]))
    parts.append(words(WIDTH - _RIGHT, HEIGHT - 26, chart.dates[-1], anchor="end"))
    legend = f"last: {chart.text(chart.values[-1])}; blue area: what the nights before allow"
    parts.append(words(_LEFT, HEIGHT - 8, legend if chart.band else f"last: {chart.text(chart.values[-1])}"))
    return document(chart.title, HEIGHT, parts)


def _range(chart: Chart) -> tuple[float, float]:
    ends = [end for end in chart.band or () if abs(end) != float("inf")]
    low, high = min([*chart.values, *ends]), max([*chart.values, *ends])
    room = _ROOM * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def _mark(x: float, text: str, kind: str, y: float) -> list[str]:
    short = text if len(text) <= _LABEL else text[: _LABEL - 1] + "…"
    right = x > WIDTH / 2
    place, anchor = (x - 4, "end") if right else (x + 4, "start")
    return [
        line(x, _TOP, x, HEIGHT - _BOTTOM, f"{kind}-line"),
        words(place, y, short, anchor=anchor, kind=kind, whole=text),
    ]
