"""Is tonight good: what makes a night bad, what is told of it, and that it is told in few and harmless lines."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from report_rig import DEVICE, KEY, NO_TEST, date, finished, history, record, steady

from hil.history import Point, open_history
from hil.report.digest import LINES, markdown
from hil.report.lines import judged
from hil.report.morning import mornings
from hil.report.nights import load, record_files


def told(folder, path=None):
    verdicts = []
    if path is not None:
        with open_history(path) as opened:
            verdicts = judged(opened)
    return mornings(load(record_files([folder])).visits, verdicts)


def test_a_night_on_which_all_passed_is_good(tmp_path):
    record(tmp_path, 0, finished(), finished("test_b", "skipped", message="no"))
    (morning,) = told(tmp_path)
    assert morning.good
    assert morning.headline == "good: 1 skipped, 1 passed, 1 bench ran"
    assert morning.items == ()


def test_failures_of_one_cause_are_one_thing_to_know(tmp_path):
    record(tmp_path, 0)
    failed = [finished(f"test_{i}", "failed", hop="link", message=f"no link {i}") for i in range(3)]
    record(tmp_path, 1, *failed, driver="2.0")
    record(tmp_path, 2, *failed, driver="2.0")

    (morning,) = told(tmp_path)

    assert not morning.good
    assert morning.headline == "NOT good: 3 failed, 1 bench ran"
    (item,) = morning.items
    assert (item.kind, item.device, item.since, item.detail) == ("failed", DEVICE, date(1), "no link 0")
    assert item.sentence == "3 tests failed at hop link, for at least 2 nights"
    assert len(item.tests) == 3


def test_a_new_failure_names_what_changed_on_the_bench_with_it(tmp_path):
    record(tmp_path, 0)
    record(tmp_path, 1, finished(outcome="failed", hop="driver"), driver="2.0")
    (item,) = told(tmp_path)[0].items
    assert item.sentence == "test_link.py::test_a failed at hop driver, new tonight"
    assert item.changed == "driver 1.0 → 2.0"


def test_tests_held_back_by_quarantine_are_told_of_as_one(tmp_path):
    held = [finished(f"test_{i}", "broken", operation="quarantine", hop="bench") for i in range(4)]
    record(tmp_path, 0, *held)
    (item,) = told(tmp_path)[0].items
    assert item.sentence.startswith("4 tests broken (device in quarantine)")


def test_a_bench_that_did_not_run_or_did_not_finish_makes_a_night_bad(tmp_path):
    record(tmp_path, 0, bench="missing")
    record(tmp_path, 1, bench="cut", ended=False, under_way="suites/driver/test_x.py::test_b")
    (morning,) = told(tmp_path)
    assert {item.kind for item in morning.items} == {"missing", "cut off", "broken"}
    assert "1 bench did not run" in morning.headline
    assert "1 cut off" in morning.headline


def test_a_bench_that_could_not_be_put_back_makes_a_night_bad_though_all_passed(tmp_path):
    record(tmp_path, 0, finished(outcome="failed"), name="first.jsonl")
    record(tmp_path, 0, code=1, name="second.jsonl")
    (morning,) = told(tmp_path)
    assert morning.headline == "NOT good: 1 bench not restored, 1 passed, 1 bench ran"
    (item,) = [one for one in morning.items if one.bad]
    assert (item.kind, item.bench, item.since) == ("not restored", "lab", date(0))
    assert "exit code 1" in item.sentence


def test_an_exit_code_that_a_failed_test_explains_is_not_told_twice(tmp_path):
    record(tmp_path, 0, finished(outcome="failed"))
    assert [item.kind for item in told(tmp_path)[0].items] == ["failed"]


def test_a_night_on_which_a_bench_ran_no_test_is_not_known(tmp_path):
    record(tmp_path, 0, code=NO_TEST, bench="idle")
    assert told(tmp_path)[0].headline == "not known: 1 bench ran no test, 1 bench ran"
    record(tmp_path, 0, bench="lab")
    (morning,) = told(tmp_path)
    assert not morning.good
    assert morning.headline == "not known: 1 bench ran no test, 1 passed, 2 benches ran"
    record(tmp_path, 0, finished(outcome="failed"), bench="sick")
    assert told(tmp_path)[0].verdict == "NOT good"


def test_how_a_test_ended_that_no_hil_knows_makes_a_night_bad(tmp_path):
    record(tmp_path, 0, finished(outcome="exploded"), code=0)
    (morning,) = told(tmp_path)
    assert morning.headline == "NOT good: 1 broken, 1 bench ran"
    assert "'exploded'" in morning.items[0].detail


def test_a_clock_that_ran_ahead_makes_no_night_of_its_own(tmp_path):
    values = [*steady(40), *steady(12, 3.2e9 * 0.96)]
    path = history(tmp_path / "h.db", (KEY, values), changed_at=40)
    ahead = datetime.now().astimezone() + timedelta(days=4000)
    record(tmp_path, 51, finished(outcome="failed"))
    record(tmp_path, 51, name="ahead.jsonl", started=ahead.isoformat())
    with open_history(path) as opened:
        opened.add([(KEY, Point(time=ahead.timestamp(), value=3.2e9, run="ahead"))])
        notes = []
        assert len(judged(opened, notes)[0].nights) == 52

    (morning,) = told(tmp_path, path)

    assert morning.night == date(51)
    assert {item.kind for item in morning.items} == {"failed", "regression"}
    (note,) = notes
    assert note.startswith(
        f"left out of the history {path}: figures of a time to come, the last of them of 4000.0 days"
    )


def test_an_item_names_the_suite_of_its_first_test_as_the_nights_do(tmp_path):
    one = replace(finished(outcome="failed"), test="test_root.py::test_a", markers=("folder",))
    other = replace(finished(outcome="broken"), test="test_root.py::test_b", markers=())
    record(tmp_path, 0, one, other)
    assert {item.kind: item.suite for item in told(tmp_path)[0].items} == {"failed": "folder", "broken": "tests"}


def test_a_bench_that_was_given_up_weeks_ago_is_not_missed(tmp_path):
    record(tmp_path, 0, bench="retired")
    record(tmp_path, 20, bench="lab")
    assert told(tmp_path)[0].good


def test_what_is_new_comes_before_what_is_known_for_days(tmp_path):
    path = history(tmp_path / "h.db", (KEY, [*steady(40), *steady(12, 3.2e9 * 0.96)]), changed_at=40)
    for night in range(45, 52):
        tests = [finished("test_old", "failed", hop="link"), finished("test_new", "passed" if night < 51 else "broken")]
        record(tmp_path, night, *tests)
    (morning,) = told(tmp_path, path)
    assert [(item.kind, item.since) for item in morning.items] == [
        ("broken", date(51)), ("failed", date(45)), ("regression", date(40)),
    ]  # fmt: skip


def test_flaky_and_mended_tests_are_told_of_on_a_good_night(tmp_path):
    for night, (one, other) in enumerate([("passed", "failed"), ("failed", "failed"), ("passed", "failed"),
                                          ("failed", "failed"), ("passed", "passed")]):  # fmt: skip
        record(tmp_path, night, finished("test_a", one), finished("test_b", other))
    (morning,) = told(tmp_path)
    assert morning.good
    assert [(item.kind, item.sentence) for item in morning.items] == [
        ("flaky", "test_link.py::test_a passed tonight, failed in 2 of the last 5 nights: comes and goes"),
        ("fixed", "test_link.py::test_b passed again"),
    ]


def test_a_regression_names_its_night_and_what_came_with_it_and_speaks_for_its_companions(tmp_path):
    values = [*steady(40), *steady(12, 3.2e9 * 0.96)]
    other = replace(KEY, nbytes=16 << 20)
    path = history(tmp_path / "h.db", (KEY, values), (other, values), changed_at=40)
    record(tmp_path, 51)

    (morning,) = told(tmp_path, path)

    (item,) = morning.items
    assert item.kind == "regression"
    assert item.device == DEVICE
    assert item.since == date(40)
    assert item.changed == "driver 1.0 → 2.0"
    assert item.sentence == "H2D bandwidth 64 MiB -3.7 % (3.2 GB/s → 3.08 GB/s); and 1 more series"
    assert item.detail == "also H2D bandwidth 16 MiB -3.7 %"
    assert morning.headline == "NOT good: 1 regression, 1 passed, 1 bench ran"


def test_an_improvement_is_told_of_for_a_week_and_is_no_trouble(tmp_path):
    path = history(tmp_path / "h.db", (KEY, [*steady(40), *steady(6, 3.5e9)]))
    record(tmp_path, 45)
    (morning,) = told(tmp_path, path)
    assert morning.good
    assert [item.kind for item in morning.items] == ["better"]


def test_real_and_simulated_benches_have_a_night_each_and_real_comes_first(tmp_path):
    record(tmp_path, 0, finished(outcome="failed"), simulated=True)
    record(tmp_path, 1)
    real, simulated = told(tmp_path)
    assert (real.simulated, real.night, real.good) == (False, date(1), True)
    assert (simulated.simulated, simulated.night, simulated.good) == (True, date(0), False)


def test_markdown_has_at_most_fifteen_lines_and_counts_what_it_leaves_out(tmp_path):
    for number in range(30):
        failed = finished(f"test_{number}", "failed", hop=f"hop {number}")
        record(tmp_path, 0, failed, bench=f"b{number}")
        record(tmp_path, 0, failed, bench=f"b{number}", simulated=True)

    text = markdown(told(tmp_path), ["left out: x", "left out: y"])

    lines = text.splitlines()
    assert len(lines) <= LINES
    assert sum("more" in line for line in lines) == 3
    assert [line for line in lines if line.startswith("**hil, ")] == [
        f"**hil, {nature} benches, night of {date(0)}: NOT good: 30 failed, 30 benches ran**"
        for nature in ("real", "simulated")
    ]


def test_markdown_leaves_nothing_of_a_hostile_name_to_markdown(tmp_path):
    hostile = "x](http://evil) <img src=x> @all\n# head"
    record(tmp_path, 0, finished(outcome="failed"), bench=hostile)
    text = markdown(told(tmp_path), [])
    assert "<img" not in text.replace("\\<img", "")
    assert "](http" not in text.replace("\\](http", "")
    assert "@all" not in text
    assert len(text.splitlines()) == 2


def test_markdown_of_nothing_says_so():
    assert "no run and no history" in markdown([], [])
