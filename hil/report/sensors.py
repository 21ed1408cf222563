"""A card's sensors over the time of a test, as a picture: temperature, power, clock, each against its own scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from hil.watch import TelemetrySample

WIDTH: Final = 720
ROW: Final = 110
"""Height of one sensor's part."""
_LEFT, _RIGHT, _TOP, _BOTTOM, _HEAD, _FOOT = 96, 16, 22, 10, 30, 24
_INK, _FAINT, _LINE, _BAD = "#1a1a1a", "#d8d8d8", "#2a6fb0", "#c0392b"


@dataclass(frozen=True, slots=True)
class _Sensor:
    name: str
    unit: str
    read: Callable[[TelemetrySample], float | None]


_SENSORS: Final = (
    _Sensor("temperature", "°C", lambda sample: sample.temperature_c),
    _Sensor("power", "W", lambda sample: sample.power_w),
    _Sensor("clock", "MHz", lambda sample: sample.graphics_mhz),
    _Sensor("memory clock", "MHz", lambda sample: sample.memory_mhz),
)


def sensors_chart(title: str, samples: Sequence[TelemetrySample]) -> str:
    """`samples` as an SVG document, seconds since the first of them; empty where there is nothing to draw.

    Throttling is a red line at the top: at each sample that names a reason other than an idle card.
    """
    rows = [
        (one, points)
        for one in _SENSORS
        if len(points := [(sample.time, value) for sample in samples if (value := one.read(sample)) is not None]) > 1
    ]
    if not rows:
        return ""
    start, end = samples[0].time, samples[-1].time
    span = max(end - start, 1e-9)
    height = _HEAD + ROW * len(rows) + _FOOT

    def x(time: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * (time - start) / span

    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
            'font-family="sans-serif" font-size="11" role="img">'
        ),
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{_LEFT}" y="18" font-weight="bold" fill="{_INK}">{escape(title)}</text>',
    ]
    for at, (sensor, points) in enumerate(rows):
        parts += _row(sensor, [(x(time), value) for time, value in points], _HEAD + at * ROW)
    for sample in samples:
        slowed = [reason for reason in sample.throttle_reasons or () if reason != "idle"]
        if slowed:
            parts.append(
                f'<rect x="{x(sample.time) - 1:.1f}" y="{_HEAD - 6}" width="3" height="6" fill="{_BAD}">'
                f"<title>{escape(', '.join(slowed))}</title></rect>"
            )
    foot = height - 8
    parts.append(f'<text x="{_LEFT}" y="{foot}" fill="{_INK}">0 s</text>')
    right = WIDTH - _RIGHT
    parts.append(f'<text x="{right}" y="{foot}" text-anchor="end" fill="{_INK}">{end - start:.3g} s</text>')
    return "\n".join([*parts, "</svg>", ""])


def _row(sensor: _Sensor, points: Sequence[tuple[float, float]], top: float) -> list[str]:
    values = [value for _, value in points]
    low, high = min(values), max(values)
    span = high - low or 1.0
    floor, roof = top + ROW - _BOTTOM, top + _TOP

    def y(value: float) -> float:
        return floor - (floor - roof) * (value - low) / span

    line = " ".join(f"{x:.1f},{y(value):.1f}" for x, value in points)
    parts = [f'<text x="{_LEFT}" y="{top + 14}" fill="{_INK}">{sensor.name}</text>']
    for value in dict.fromkeys((low, high)):
        parts.append(
            f'<line x1="{_LEFT}" y1="{y(value):.1f}" x2="{WIDTH - _RIGHT}" y2="{y(value):.1f}" stroke="{_FAINT}"/>'
        )
        parts.append(
            f'<text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end" fill="{_INK}">{value:.4g} {sensor.unit}'
            "</text>"
        )
    parts.append(f'<polyline points="{line}" fill="none" stroke="{_LINE}" stroke-width="1.5"/>')
    return parts
