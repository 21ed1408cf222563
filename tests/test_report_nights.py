"""Records of nights: what is read from a folder, what is complained of, how a test's nights hang together."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from report_rig import begins, date, finished, record

from hil.errors import UsageError
from hil.report.nights import load, night_of, record_files
from hil.report.streaks import streaks


def visits(folder):
    return load(record_files([folder])).visits


def test_records_of_a_folder_become_nights_in_order(tmp_path):
    below = tmp_path / "below"
    below.mkdir()
    record(below, 1, bench="b")
    record(tmp_path, 0, bench="a")

    found = visits(tmp_path)

    assert [(visit.night, visit.bench) for visit in found] == [(date(0), "a"), (date(1), "b")]
    assert found[0].complete
    assert found[0].runs_on() == {
        "os": "Darwin 26.1", "hil": "0.1.0", "driver": "1.0", "firmware": "30.2", "negotiated": "40 Gb/s (2 × 20)",
    }  # fmt: skip


def test_of_nights_long_ago_it_is_known_who_ran_on_what_and_no_test_is_read(tmp_path):
    for night in range(4):
        path = record(tmp_path, night, driver=f"{night}.0")
        record(tmp_path, night, simulated=True)
        if night < 2:
            path.write_text(path.read_text() + "no line of a record\n")

    found = load(record_files([tmp_path]), nights=2)

    assert found.complaints == ()
    real = [visit for visit in found.visits if not visit.simulated]
    assert [len(visit.tests) for visit in real] == [0, 0, 1, 1]
    assert [visit.runs_on()["driver"] for visit in real] == ["0.0", "1.0", "2.0", "3.0"]
    assert sum(bool(visit.tests) for visit in found.visits) == 4


def test_a_night_lasts_from_noon_to_noon():
    evening = begins(0)
    assert night_of(evening.isoformat()) == night_of(evening.replace(hour=23, minute=59).isoformat()) == date(0)
    assert night_of(begins(1).replace(hour=3).isoformat()) == date(0)
    assert night_of(begins(1).replace(hour=13).isoformat()) == date(1)


def test_of_several_runs_in_a_night_the_last_result_of_a_test_counts(tmp_path):
    record(tmp_path, 0, finished("test_a", "failed", message="m"), finished("test_b"), name="1.jsonl")
    started = begins(0).replace(hour=23).isoformat()
    record(tmp_path, 0, finished("test_a", "passed"), name="0.jsonl", started=started)

    (visit,) = visits(tmp_path)

    assert {test.short: test.outcome for test in visit.tests} == {
        "test_link.py::test_a": "passed",
        "test_link.py::test_b": "passed",
    }


def test_a_simulated_bench_never_joins_a_real_one_of_its_name(tmp_path):
    record(tmp_path, 0, simulated=True)
    record(tmp_path, 0, simulated=False)
    assert [visit.simulated for visit in visits(tmp_path)] == [False, True]


def test_a_run_that_was_cut_off_shows_what_had_finished_and_what_it_died_in(tmp_path):
    record(tmp_path, 0, finished("test_a"), under_way="suites/driver/test_x.py::test_b", ended=False)

    loaded = load(record_files([tmp_path]))

    (visit,) = loaded.visits
    assert not visit.complete
    assert [(test.short, test.outcome) for test in visit.tests] == [
        ("test_link.py::test_a", "passed"),
        ("test_x.py::test_b", "cut off"),
    ]
    assert visit.tests[1].suite == "driver"
    assert "half written" in loaded.complaints[0]


def test_what_cannot_be_read_is_complained_of_and_the_rest_is_shown(tmp_path):
    record(tmp_path, 0)
    (tmp_path / "torn.jsonl").write_text('{"record": 1, "hil"')
    (tmp_path / "foreign.jsonl").write_text('{"some": "thing"}\n')
    (tmp_path / "newer.jsonl").write_text('{"record": 9}\n')
    (tmp_path / "notes.txt").write_text("not looked at")
    record(tmp_path, 1, name="timeless.jsonl", started="yesterday")

    loaded = load(record_files([tmp_path]))

    assert len(loaded.visits) == 1
    assert len(loaded.complaints) == 4
    assert all(
        any(name in complaint for complaint in loaded.complaints)
        for name in ("torn.jsonl", "foreign.jsonl", "newer.jsonl", "timeless.jsonl")
    )


def test_a_line_that_cannot_be_read_is_one_note_and_the_rest_of_the_night_is_shown(tmp_path):
    path = record(tmp_path, 0, finished("test_a"), finished("test_b", "failed"), finished("test_c"))
    first, *lines = path.read_text().splitlines()
    lines[1] = "torn" + lines[1]
    lines[5] = json.dumps(json.loads(lines[5]) | {"reports": 3})
    path.write_text("".join(f"{line}\n" for line in [first, *lines]))

    loaded = load(record_files([tmp_path]))

    (visit,) = loaded.visits
    assert [test.short for test in visit.tests] == ["test_link.py::test_b"]
    (note,) = loaded.complaints
    assert note.startswith(f"left out of {path}: line 3: ")
    assert note.endswith(", and 1 more lines")


def test_a_record_whose_bench_is_no_text_is_one_note(tmp_path):
    record(tmp_path, 0)
    record(tmp_path, 1, bench={"lab": 1}, name="odd.jsonl")
    loaded = load(record_files([tmp_path]))
    assert [visit.night for visit in loaded.visits] == [date(0)]
    (note,) = loaded.complaints
    assert "odd.jsonl" in note
    assert note.endswith('line 1: `bench` is {"lab": 1}; expected a text')


def test_a_night_to_come_is_a_note_and_one_of_another_time_zone_is_none(tmp_path):
    now = datetime.now().astimezone()
    record(tmp_path, 0, name="hours.jsonl", started=(now + timedelta(hours=20)).isoformat())
    record(tmp_path, 0, name="years.jsonl", started=(now + timedelta(days=4000)).isoformat())

    loaded = load(record_files([tmp_path]))

    assert len(loaded.visits) == 1
    (note,) = loaded.complaints
    assert "years.jsonl: `started` is " in note
    assert "expected no time to come" in note


def test_how_a_test_ended_that_no_hil_knows_is_trouble(tmp_path):
    record(tmp_path, 0, finished("test_a", "exploded"), finished("test_b", None), code=0)
    (visit,) = visits(tmp_path)
    assert [(test.outcome, test.message) for test in visit.tests] == [
        ("broken", "It ended as 'exploded', of which this hil knows nothing."),
        ("broken", "It ended as 'unknown', of which this hil knows nothing."),
    ]


def test_records_of_several_versions_of_hil_are_shown_and_said_to_be(tmp_path):
    record(tmp_path, 0)
    record(tmp_path, 1, hil="9.9")
    loaded = load(record_files([tmp_path]))
    assert len(loaded.visits) == 2
    assert loaded.complaints == ("records of several versions of hil are shown together: 0.1.0, 9.9",)


def test_a_place_that_is_not_there_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="nowhere"):
        record_files([tmp_path / "nowhere"])


def test_figures_are_what_the_test_reported_as_its_properties(tmp_path):
    report = {"user_properties": [["H2D", "3.35 GB/s"], "odd"]}
    record(tmp_path, 0, finished("test_a", reports=(report,)), finished("test_b", reports=({"user_properties": 7},)))
    assert [test.figures for test in visits(tmp_path)[0].tests] == [(("H2D", "3.35 GB/s"),), ()]


def outcomes(folder, *told: str, driver_at: int | None = None):
    for night, outcome in enumerate(told):
        driver = "2.0" if driver_at is not None and night >= driver_at else "1.0"
        record(folder, night, finished(outcome=outcome, message="why"), driver=driver)
    return streaks(visits(folder))


def test_a_streak_says_since_when_a_test_fails_and_what_changed_then(tmp_path):
    (one,) = outcomes(tmp_path, "passed", "passed", "failed", "broken", driver_at=2)
    assert one.in_trouble
    assert not one.flaky
    assert (one.since, one.last_good, one.nights) == (date(2), date(1), 2)
    assert one.changed == {"driver": ("1.0", "2.0")}


def test_a_test_that_comes_and_goes_is_flaky_whether_or_not_it_passed_last(tmp_path):
    (one,) = outcomes(tmp_path, "passed", "failed", "passed", "failed", "passed")
    assert one.flaky
    assert (one.failed, one.looked_at) == (2, 5)
    record(tmp_path, 5, finished(outcome="failed"))
    (again,) = streaks(visits(tmp_path))
    assert again.flaky
    assert again.nights == 1


def test_a_test_that_was_mended_is_fixed_for_one_night(tmp_path):
    (one,) = outcomes(tmp_path, "passed", "failed", "failed", "passed")
    assert one.fixed
    record(tmp_path, 4)
    (later,) = streaks(visits(tmp_path))
    assert not later.fixed


def test_nights_on_which_a_test_was_skipped_do_not_end_its_streak(tmp_path):
    (one,) = outcomes(tmp_path, "failed", "skipped", "failed")
    assert one.nights == 2
    assert streaks([]) == []
