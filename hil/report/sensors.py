"""A device over the time of a load, as a picture: rate, temperature, power, clocks, each against its own scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from hil.model import GB
from hil.report.svg import WIDTH, document, line, trace, words

if TYPE_CHECKING:
    from hil.throughput import Soak
    from hil.watch import TelemetrySample

Points = Sequence[tuple[float, float]]
"""Seconds and value, in order."""
ROW: Final = 92
"""Height of one value's part."""
LEVEL: Final = 36
"""Of one that stays the same."""
COLUMNS: Final = 240
"""Of more points than two a column, the lowest and the highest of each are drawn."""
LEAST: Final = 0.05
"""Share of the highest value that a scale spans at the least."""
SAME: Final = 0.001
"""Share of a value within which it stays the same."""
_APART: Final = 13.0
_WHOLE: Final = 1000.0
_LEFT, _RIGHT, _TOP, _BOTTOM, _HEAD, _FOOT = 96, 16, 22, 10, 30, 24


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


def soak_chart(title: str, soak: Soak, sensors: Sequence[TelemetrySample]) -> str:
    """The rate over the time of `soak`, and `sensors`, one reading after each of its intervals; an SVG document."""
    # The soak's clock leaves out the pauses between its parts; its readings shall too.
    timed = [replace(reading, time=at) for reading, at in zip(sensors, soak.moments, strict=False)]
    return sensors_chart(title, timed, list(zip(soak.moments, soak.rates, strict=True)))


def sensors_chart(title: str, samples: Sequence[TelemetrySample], rate: Points = ()) -> str:
    """`samples` as an SVG document, seconds since the first of all points; empty where there is nothing to draw.

    While a sample names a reason to throttle other than an idle card, there is a red bar at the top.

    Args:
        title: of the picture.
        samples: what the card's sensors told.
        rate: bytes/s, at seconds of the same clock.

    """
    rows = [("rate", "GB/s", [(at, value / GB) for at, value in rate]), *(_told(one, samples) for one in _SENSORS)]
    rows = [row for row in rows if len(row[2]) > 1]
    if not rows:
        return ""
    moments = [at for _, _, points in rows for at, _ in points]
    start, end = min(moments), max(moments)
    span = max(end - start, 1e-9)

    def x(at: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * (at - start) / span

    parts = [words(_LEFT, 18, title, bold=True), *_throttled(samples, x)]
    top = _HEAD
    for name, unit, points in rows:
        values = [value for _, value in points]
        height = ROW if max(values) - min(values) > SAME * abs(max(values)) else LEVEL
        parts += _row(name, unit, [(x(at), value) for at, value in points], top, top + height)
        top += height
    height = top + _FOOT
    parts.append(words(_LEFT, height - 8, "0 s"))
    parts.append(words(WIDTH - _RIGHT, height - 8, f"{span:.3g} s", anchor="end"))
    told = "; ".join(f"{name} {_course([value for _, value in points])} {unit}" for name, unit, points in rows)
    return document(f"{title}: {told}", height, parts)


def _told(one: _Sensor, samples: Sequence[TelemetrySample]) -> tuple[str, str, list[tuple[float, float]]]:
    return one.name, one.unit, [(told.time, value) for told in samples if (value := one.read(told)) is not None]


def _throttled(samples: Sequence[TelemetrySample], x: Callable[[float], float]) -> list[str]:
    slowed = [[reason for reason in sample.throttle_reasons or () if reason != "idle"] for sample in samples]
    reasons = sorted({reason for several in slowed for reason in several})
    if not reasons:
        return []
    parts = [words(WIDTH - _RIGHT, 18, f"throttled: {', '.join(reasons)}", kind="bad", anchor="end")]
    for at, why in enumerate(slowed):
        if why:
            left = x(samples[at].time)
            right = x(samples[min(at + 1, len(samples) - 1)].time)
            parts.append(
                f'<rect x="{left - 1:.1f}" y="{_HEAD - 6}" width="{max(right - left, 3):.1f}" height="5" class="bad"/>'
            )
    return parts


def _row(name: str, unit: str, points: Points, top: float, bottom: float) -> list[str]:
    values = [value for _, value in points]
    low, high = min(values), max(values)
    # Noise of a hundredth shall not look like a collapse.
    least = min(low, high - LEAST * abs(high))
    span = high - least or 1.0
    floor, roof = bottom - _BOTTOM, top + _TOP

    def y(value: float) -> float:
        return floor - (floor - roof) * (value - least) / span

    heights = dict.fromkeys(map(y, (low, high)))
    parts = [words(_LEFT, top + 14, name), *(line(_LEFT, at, WIDTH - _RIGHT, at) for at in heights)]
    # Two labels that would lie on each other are one.
    ends = (low, high) if y(low) - y(high) > _APART else (high,)
    parts += [words(_LEFT - 6, y(value) + 4, f"{_number(value)} {unit}", anchor="end") for value in dict.fromkeys(ends)]
    parts.append(trace([(x, y(value)) for x, value in _thinned(points)]))
    return parts


def _thinned(points: Points) -> list[tuple[float, float]]:
    """`points`, of many the lowest and the highest of each column: no peak is lost."""
    if len(points) <= 2 * COLUMNS:
        return list(points)
    first, last = points[0][0], points[-1][0]
    columns: dict[int, list[tuple[float, float]]] = {}
    for point in points:
        columns.setdefault(int(COLUMNS * (point[0] - first) / ((last - first) or 1.0)), []).append(point)
    ends = [{min(some, key=_value), max(some, key=_value)} for some in columns.values()]
    return [point for few in ends for point in sorted(few)]


def _value(point: tuple[float, float]) -> float:
    return point[1]


def _course(values: Sequence[float]) -> str:
    """From the beginning to the end, in words."""
    return f"{_number(values[0])} … {_number(values[-1])}"


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= _WHOLE else f"{value:.4g}"
