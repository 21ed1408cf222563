"""benchmarks.real_series: series out of other people's files, and which changes lasted."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import detectors, real_series
from benchmarks.real_series import LEAST, Real, lasted, read

DAY = 86_400_000


def nights(count: int = 100, *, step: float = 0.0, at: int = 60) -> list[float]:
    noise = np.random.default_rng(3).standard_normal(count)
    return [100 * (1 + 0.01 * float(e)) * (1 - (step if i >= at else 0.0)) for i, e in enumerate(noise)]


def action_data(values, *, unit: str = "MB/s", tool: str = "benchmarkjs", runs_a_day: int = 1) -> str:
    runs = [
        {
            "date": 1_700_000_000_000 + i * DAY // runs_a_day,
            "tool": tool,
            "benches": [{"name": "copy", "value": value, "unit": unit}],
        }
        for i, value in enumerate(values)
    ]
    return f"window.BENCHMARK_DATA = {json.dumps({'entries': {'Suite': runs}})};\n"


def test_columns_of_a_table_are_series(tmp_path):
    values = nights()
    rows = [f"2026-{i},{value},{value if i % 2 else ''}" for i, value in enumerate(values)]
    (tmp_path / "a.csv").write_text("\n".join(["night,up,half", *rows]))

    (one,) = read(tmp_path / "a.csv")

    assert (one.name, one.values, one.nights[:2]) == ("a: up", tuple(values), ("2026-0", "2026-1"))


@pytest.mark.parametrize("given", [nights(), {"up": nights(), "short": [1.0, 2.0]}])
def test_lists_in_json_are_series(tmp_path, given):
    (tmp_path / "a.json").write_text(json.dumps(given))

    (one,) = read(tmp_path / "a.json")

    assert one.values == tuple(nights())


def test_runs_of_one_day_are_one_night_and_less_time_is_better(tmp_path):
    values = nights(2 * LEAST + 1)
    (tmp_path / "rate.js").write_text(action_data(values))
    (tmp_path / "time.js").write_text(action_data(values, unit="ns/iter"))
    (tmp_path / "often.js").write_text(action_data(values, runs_a_day=2))

    assert read(tmp_path / "rate.js")[0].values == tuple(values)
    assert read(tmp_path / "time.js")[0].values == pytest.approx([1 / value for value in values])
    assert LEAST <= len(read(tmp_path / "often.js")[0].values) <= LEAST + 1
    assert read(tmp_path / "rate.js")[0].nights[0] == "2023-11-14"


@pytest.mark.parametrize(("name", "text"), [("a.csv", "x,y\n1"), ("a.json", "nothing"), ("a.js", "{}}"), ("b.csv", "")])
def test_what_holds_no_series_is_named(tmp_path, capsys, name, text):
    (tmp_path / name).write_text(text)

    assert detectors.on_real([tmp_path / name], as_json=False) == 1
    assert f"benchmark broken off: {tmp_path / name}: " in capsys.readouterr().err


def test_a_file_with_short_series_is_refused(tmp_path, capsys):
    (tmp_path / "a.json").write_text("[1.0, 2.0]")
    assert detectors.on_real([tmp_path / "a.json"], as_json=False) == 1
    assert "no series of 60 nights" in capsys.readouterr().err


def test_a_change_that_lasts_is_found_and_dated(tmp_path, capsys):
    (tmp_path / "a.json").write_text(json.dumps(nights(step=0.05)))

    assert detectors.on_real([tmp_path / "a.json"], as_json=True) == 0

    told = json.loads(capsys.readouterr().out)
    ours = told["detectors"][0]
    assert (ours["nights"], ours["alarms"], ours["lasted"], ours["judged"]) == (100, 1, 1, 1)
    (change,) = told["changes"]
    assert "since 60" in change
    assert change.endswith("lasted")


def test_one_bad_night_has_not_lasted():
    values = nights()
    values[60] *= 0.5
    assert lasted(values, 60) is False
    assert lasted(nights(step=0.05), 60) is True
    assert lasted(values, 95) is None
    one = Real(name="a", values=tuple(values), nights=tuple(map(str, range(100))))
    assert real_series.judge([one])[1].lasted == 0
