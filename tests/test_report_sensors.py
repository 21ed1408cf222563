"""A device under load as a picture: its rate and its sensors over the same seconds."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from hil.fixtures.load import Warmth
from hil.model import Direction
from hil.report.evidence import PICTURE
from hil.report.sensors import sensors_chart, soak_chart
from hil.throughput import Soak
from hil.watch import TelemetrySample


def texts(svg: str) -> str:
    return " | ".join(node.text or "" for node in ET.fromstring(svg).iter())


def course(svg: str, row: int = 0) -> list[tuple[float, float]]:
    """The points of one line, in pixels."""
    points = re.findall(r'points="([^"]*)"', svg)[row].split()
    return [tuple(map(float, point.split(","))) for point in points]


def warming(seconds: int, **more) -> list[TelemetrySample]:
    return [TelemetrySample(time=1.0 + n, temperature_c=40.0 + n, **more) for n in range(seconds)]


def test_each_sensor_that_tells_has_a_line_of_its_own():
    told = texts(svg := sensors_chart("gpu <under> load", warming(3, power_w=200.0)))
    assert svg.count("<polyline") == 2
    for part in ("gpu <under> load", "temperature", "40 °C", "42 °C", "power", "200 W", "2 s"):
        assert part in told


def test_what_throttled_is_named_and_marked_for_as_long_as_it_did():
    samples = [*warming(2, throttle_reasons=("idle",)), *warming(3, throttle_reasons=("thermal slowdown",))]
    samples = [TelemetrySample(time=float(n), temperature_c=one.temperature_c, throttle_reasons=one.throttle_reasons)
               for n, one in enumerate(samples)]  # fmt: skip
    svg = sensors_chart("gpu", samples)
    assert "throttled: thermal slowdown" in texts(svg)
    assert svg.count('height="5" class="bad"') == 3


def test_sensors_that_tell_nothing_are_not_drawn():
    assert sensors_chart("gpu", [TelemetrySample(time=1.0), TelemetrySample(time=2.0)]) == ""


def test_the_rate_stands_above_the_sensors_on_their_clock():
    svg = sensors_chart("gpu", warming(5), [(2.0, 3.0e9), (4.0, 2.5e9)])
    assert "rate 3 … 2.5 GB/s; temperature 40 … 44 °C" in texts(svg)
    (begin, high), (end, low) = course(svg)
    sensor = course(svg, 1)
    assert high < low
    assert (begin, end) == pytest.approx((sensor[1][0], sensor[3][0]))


def test_the_turns_of_a_load_lie_one_after_the_other_from_its_first_reading_on():
    warmth = Warmth(rates=(2.0, 1.0), samples=(TelemetrySample(time=5.0),), turn=4)
    assert warmth.course == [(7.0, 2.0), (11.0, 1.0)]


def test_noise_of_a_hundredth_does_not_look_like_a_collapse():
    noisy, faded = (course(sensors_chart("gpu", [], [(0.0, 3e9), (1.0, end)])) for end in (2.97e9, 2.4e9))
    assert abs(noisy[0][1] - noisy[1][1]) < 0.25 * abs(faded[0][1] - faded[1][1])


def test_a_soak_is_drawn_without_the_pauses_between_its_parts():
    soak = Soak(direction=Direction.H2D, nbytes=1, moments=(0.5, 1.0, 1.5), rates=(3e9, 3e9, 2e9))
    readings = [TelemetrySample(time=at, temperature_c=50.0 + at) for at in (7.5, 8.0, 99.0)]
    svg = soak_chart("gpu", soak, readings)
    assert "1 s" in texts(svg)
    rate, temperature = course(svg), course(svg, 1)
    assert [x for x, _ in rate] == [x for x, _ in temperature]


def test_a_long_load_stays_a_picture_that_a_record_keeps_and_no_peak_is_lost():
    rates = [(n / 20, 3e9) for n in range(12_000)]
    rates[6_001] = (rates[6_001][0], 1e9)
    svg = sensors_chart("gpu", warming(600, power_w=1.0, graphics_mhz=1.0, memory_mhz=1.0), rates)
    assert len(svg) < PICTURE
    *_, second, lowest = sorted(y for _, y in course(svg))
    assert lowest > second
