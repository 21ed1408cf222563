"""A series as a picture: nights, what they allow, where it changed and what changed on the bench. Own SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

WIDTH: Final = 720
HEIGHT: Final = 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 16, 34, 46
_INK, _FAINT, _GOOD, _BAD, _NOTE = "#1a1a1a", "#d8d8d8", "#2a6fb0", "#c0392b", "#8a6d00"
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
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}"'
    parts = [
        f'{head} viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11" role="img">',
        f"<title>{escape(chart.title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _words(_LEFT, 18, chart.title, weight="bold"),
    ]

    def y(value: float) -> float:
        clipped = min(max(value, low), high)
        return _TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - (clipped - low) / (high - low))

    def x(index: int) -> float:
        span = max(len(chart.values) - 1, 1)
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * index / span

    if chart.band is not None:
        top, bottom = y(max(chart.band)), y(min(chart.band))
        right = WIDTH - _LEFT - _RIGHT
        parts.append(
            f'<rect x="{_LEFT}" y="{top:.1f}" width="{right}" height="{bottom - top:.1f}" fill="{_GOOD}" '
            'fill-opacity="0.12"/>'
        )
    for value in (low, (low + high) / 2, high):
        parts.append(_line(_LEFT, y(value), WIDTH - _RIGHT, y(value), _FAINT))
        parts.append(_words(_LEFT - 6, y(value) + 4, chart.text(value), anchor="end"))
    for mark in chart.changes:
        parts += _mark(x(mark.at), mark.text, _BAD, _TOP + 10)
    for row, mark in enumerate(chart.context):
        parts += _mark(x(mark.at), mark.text, _NOTE, _TOP + 24 + 13 * (row % 4), dashed=True)
    points = " ".join(f"{x(i):.1f},{y(value):.1f}" for i, value in enumerate(chart.values))
    parts.append(f'<polyline points="{points}" fill="none" stroke="{_GOOD}" stroke-width="1.5"/>')
    last = len(chart.values) - 1
    colour = _BAD if chart.failed else _GOOD
    parts.append(f'<circle cx="{x(last):.1f}" cy="{y(chart.values[last]):.1f}" r="4" fill="{colour}"/>')
    parts.append(_words(_LEFT, HEIGHT - 26, chart.dates[0]))
    parts.append(_words(WIDTH - _RIGHT, HEIGHT - 26, chart.dates[-1], anchor="end"))
    legend = f"last: {chart.text(chart.values[-1])}; blue area: what the nights before allow"
    parts.append(_words(_LEFT, HEIGHT - 8, legend if chart.band else f"last: {chart.text(chart.values[-1])}"))
    return "\n".join([*parts, "</svg>", ""])


def _range(chart: Chart) -> tuple[float, float]:
    ends = [end for end in chart.band or () if abs(end) != float("inf")]
    low, high = min([*chart.values, *ends]), max([*chart.values, *ends])
    room = _ROOM * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def _mark(x: float, text: str, colour: str, y: float, *, dashed: bool = False) -> list[str]:
    short = text if len(text) <= _LABEL else text[: _LABEL - 1] + "…"
    right = x > WIDTH / 2
    return [
        _line(x, _TOP, x, HEIGHT - _BOTTOM, colour, dashed=dashed),
        _words(x - 4 if right else x + 4, y, short, anchor="end" if right else "start", colour=colour, whole=text),
    ]


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, *, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dash}/>'


def _words(
    x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal", colour: str = _INK, whole: str = ""
) -> str:
    hint = f"<title>{escape(whole)}</title>" if whole and whole != text else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="{colour}">'
        f"{escape(text)}{hint}</text>"
    )
