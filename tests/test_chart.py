"""The chart of a series: a document that a browser can read, with everything in it that was said."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from test_history_store import KEY
from test_history_verdict import noisy, run_of

from hil.history.gate import gate
from hil.history.tonight import Before
from hil.history.verdict import judge
from hil.report.chart import Chart, Mark, draw
from hil.report.series_charts import change_chart, gate_chart

CHART = Chart(title="H2D <64 MiB>", dates=["a", "b", "c"], values=[1.0, 2.0, 3.0], text=lambda value: f"{value:g} GB/s")


def texts(svg: str) -> str:
    return " | ".join(node.text or "" for node in ET.fromstring(svg).iter())


def test_title_dates_and_last_value_are_in_it():
    told = texts(draw(CHART))
    for part in ("H2D <64 MiB>", "a", "c", "last: 3 GB/s"):
        assert part in told


def test_marks_keep_their_whole_text_as_a_hint():
    long = "driver 570.144 → 580.95, firmware 40.1 → 41.2, os 26.0 → 26.1"
    svg = draw(replace(CHART, context=[Mark(at=1, text=long)], changes=[Mark(at=2, text="worse")], band=(1.5, 2.5)))
    assert long in texts(svg)
    assert "worse" in texts(svg)
    assert "fill-opacity" in svg


def test_one_value_and_equal_values_can_be_drawn():
    assert draw(replace(CHART, dates=["a"], values=[0.0])).endswith("</svg>\n")
    assert "nan" not in draw(replace(CHART, values=[2.0, 2.0, 2.0]))


def test_a_chart_without_values_or_dates_is_refused():
    for values in ([], [1.0]):
        with pytest.raises(ValueError, match="a date for each value"):
            draw(replace(CHART, values=values))


def test_the_gates_chart_shows_tonight_beside_what_the_nights_allow():
    verdict = judge(KEY, run_of(noisy(40), driver=20))
    before = Before(verdict=verdict, gate=gate(verdict.reference(), higher_is_better=True))
    svg = gate_chart("H2D", before, 2e9)
    assert "tonight" in texts(svg)
    assert "driver old → new" in texts(svg)
    assert "last: 2 GB/s" in texts(svg)
    few = Before(verdict=judge(KEY, run_of(noisy(3))), gate=None)
    assert "last: 2 GB/s" in texts(gate_chart("H2D", few, 2e9))


def test_the_changes_chart_shows_since_when():
    values = noisy(80)
    values[50:] *= 0.9
    assert "worse (-" in texts(change_chart("H2D", judge(KEY, run_of(values))))
