"""What a measurement adds up to: caught by which kind of test, what is left out, what was lost since."""

from __future__ import annotations

from pathlib import Path

import pytest
from coverage_rows import about, clean, green, measured, row

from hil.cli.coverage import arithmetic, baseline, catalogue, ledger, markdown, score, text
from hil.cli.coverage.plan import Kind
from hil.cli.coverage.row import End


def one(*rows, **facts):
    """The score of the one fault that `rows` are of."""
    (found,) = score.add_up(rows, [about(**facts)]).faults
    return found


def test_a_draw_counts_for_the_expected_kind_only_if_a_test_of_that_kind_caught_it():
    found = one(row(0), row(1, suite="transfer", test="transfer/test_x.py::test_y"), green(2), row(3))

    assert (found.counted, found.caught, found.caught_by_any) == (4, 2, 3)
    assert (found.low, found.high) == pytest.approx((0.15, 0.85), abs=0.001)
    assert found.by_severity == (1.0, 0.0, None, 0.0, 1.0)
    assert found.first_seen_by == {
        "driver/test_heat.py::test_it_stays_solid": 2,
        "transfer/test_x.py::test_y": 1,
    }


def test_an_alarm_of_the_run_itself_is_caught_by_no_kind():
    found = one(row(0, suite="", test="", error="exit code 4"))

    assert (found.caught, found.caught_by_any, found.first_seen_by) == (0, 1, {"the run itself": 1})


def test_draws_below_sight_and_those_that_never_struck_are_left_out_and_say_why():
    found = one(
        row(0, end=End.NOT_RUN, below_sight="0 % slower", struck=None),
        green(1, struck=0),
        row(2, struck=0),
        row(3),
    )

    assert found.left_out == {
        "below sight: 0 % slower": 1,
        "it never acted": 1,
        "alarm, though it had not acted": 1,
    }
    assert (found.drawn, found.counted, found.caught) == (4, 1, 1)


def test_a_fault_of_which_nothing_could_say_whether_it_struck_counts():
    assert one(green(0, struck=None)).counted == 1


@pytest.mark.parametrize("end", [End.HUNG, End.CRASHED])
def test_a_run_that_hangs_or_crashes_itself_has_missed_the_fault(end):
    found = one(row(0, end=end, suite="driver"))

    assert (found.counted, found.caught, found.caught_by_any, found.hung) == (1, 0, 0, 1)


def test_the_diagnosis_is_judged_where_the_fault_says_what_is_right():
    found = one(row(0, right=True), row(1, right=False), row(2, right=None), green(3))

    assert (found.judged, found.right) == (2, 1)


def test_time_to_red_is_the_median_of_what_was_caught():
    found = one(row(0, seconds=1.0), row(1, seconds=9.0), row(2, seconds=2.0), green(3, seconds=60.0))

    assert (found.seconds_to_red, found.host_seconds_to_red) == (2.0, 10.0)
    assert one(green(0)).seconds_to_red is None


def test_alarms_on_clean_machines_and_controls_are_counted_with_what_they_said():
    control = about("warm", control=True)
    rows = [
        *(clean(n) for n in range(3)),
        clean(0, Kind.WHOLE, end=End.HUNG),
        green(0, fault="warm", kind=Kind.CONTROL, struck=0),
        row(1, fault="warm", kind=Kind.CONTROL),
    ]

    found = score.add_up(rows, [about(), control])

    assert [(part.kind, part.name, part.runs, part.alarms) for part in found.clean] == [
        (Kind.CLEAN, "", 3, 0),
        (Kind.WHOLE, "", 1, 1),
        (Kind.CONTROL, "warm", 2, 1),
    ]
    assert found.alarms == 2
    assert found.clean[2].alarmed == (
        (
            "--hil-bench sim:mac --hil-seed 7 --hil-fault warm:seed=5",
            "driver/test_heat.py::test_it_stays_solid: gone",
        ),
    )


def test_a_fault_that_cannot_be_seen_yet_is_listed_apart_unless_it_was_asked_for():
    later = about("later", unscored="the oven")

    assert score.add_up([], [later]).unscored == {"later": "the oven"}
    asked = score.add_up([row(0, fault="later")], [later])
    assert (asked.unscored, asked.faults[0].caught) == ({}, 1)


def test_the_text_shows_each_fault_what_it_leaves_out_and_how_to_repeat_what_was_missed():
    rows = [row(0, right=False), green(1), green(2, struck=0), clean(0), clean(1, end=End.ALARM, message="slow")]

    told = "\n".join(text.lines(measured(*rows, left=3), ["melts: caught before"]))

    assert "melts  1/2 driver" in told
    assert "melts: 1 of 3 draws left out: it never acted" in told
    assert "melts: missed with --hil-bench sim:mac --hil-seed 7 --hil-fault melts:seed=5" in told
    assert "melts: said DeviceGone" in told
    assert "clean machines, quick: 1 alarms in 2 runs" in told
    assert "  --hil-bench sim:mac --hil-seed 7: the run itself: slow" in told
    assert "3 runs were not made" in told
    assert told.endswith("LOST melts: caught before")


def test_the_text_says_what_hung_and_what_cannot_be_told():
    told = "\n".join(text.lines(measured(row(0, end=End.HUNG), about=[about(), about("x", unscored="y")]), []))

    assert "melts: 1 runs hung or crashed themselves, and count as missed" in told
    assert "not scored yet:\n  x: y" in told
    assert "·" in told


def test_the_markdown_is_a_table_that_holds_together():
    apart = [about(), about("other", domain="link"), about("warm", control=True), about("later", unscored="the oven")]
    rows = [row(0, right=True), row(1, below_sight="small", end=End.NOT_RUN), clean(0)]
    rows.append(green(0, fault="warm", kind=Kind.CONTROL))

    lines = list(markdown.lines(measured(*rows, about=apart), []))

    table = [line for line in lines[: lines.index("")] if line.startswith("|")]
    assert {line.replace(r"\|", "").count("|") for line in table} == {9}
    assert "| **thermal** | | | | | | | |" in table
    assert any(line.startswith("| `melts` | 1 of 1 (driver), 1 left out | 21 … 100 % | 1 |") for line in table)
    assert any(line.startswith("| `other` | 0 of 0 (driver) | – |") for line in table)
    assert any(line.startswith("| `warm` (negative control) | 0 alarms in 1 runs") for line in lines)
    assert "Not scored yet: `later` (the oven)." in lines


def test_the_markdown_says_what_is_lost_what_was_not_made_and_what_alarmed():
    rows = [row(0), clean(0), clean(1, end=End.ALARM, test="driver/test_heat.py::test_cool")]

    whole, part = list(markdown.lines(measured(*rows), [])), list(markdown.lines(measured(*rows, left=3), ["melts: …"]))

    assert part == [
        *whole[:-1],
        "3 runs were not made: the figures above are of part of the measurement.",
        "",
        "* LOST melts: …",
        "",
        whole[-1],
    ]
    assert any(line.endswith("confidence): driver/test_heat.py::test_cool |") for line in whole)


def test_a_control_that_was_not_run_has_no_rate():
    untried = measured(about=[about("warm", control=True)])

    assert "control warm: not run" in list(text.lines(untried, []))
    assert "| `warm` (negative control) | not run |" in list(markdown.lines(untried, []))


def test_a_fault_that_is_not_caught_at_all_any_more_is_lost():
    before, now = measured(row(0), green(1)), measured(green(0), green(1, struck=0))

    assert baseline.lost(now, before) == [
        "melts: caught in 1 of 2 draws before, now in 0 of 1 (1 left out: it never acted)"
    ]


def test_a_fault_is_lost_if_it_is_caught_so_rarely_that_chance_does_not_explain_it():
    before = measured(*(row(n, of=20) for n in range(20)))
    few, most = (measured(*(row(n, of=20) if n < caught else green(n, of=20) for n in range(20))) for caught in (8, 18))

    assert len(baseline.lost(few, before)) == 1
    assert baseline.lost(most, before) == []


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (measured(green(0)), measured(green(0))),  # never caught
        (measured(row(0)), measured()),  # not tried
        (measured(about=[about("else")]), measured(green(0))),  # not known
    ],
)
def test_nothing_is_lost_that_was_not_there_or_was_not_tried(before, now):
    assert baseline.lost(now, before) == []


def test_ci_repeats_a_draw_of_middling_severity_that_the_expected_kind_has_caught():
    (entry,) = catalogue.chosen(["bit-flip"])
    rows = [
        green(0, fault="bit-flip"),
        row(1, fault="bit-flip", suite="transfer", given={"bits": "3"}),
        row(2, fault="bit-flip", suite="driver"),
        row(3, fault="bit-flip", suite="transfer", given={"bits": "9"}),
    ]

    found = baseline.to_repeat(measured(*rows), [entry])
    alone = baseline.to_repeat(measured(*rows[:2]), [entry])

    assert (found["bit-flip"][0], found["bit-flip"][1].text) == (3, "bit-flip:bits=9")
    assert (alone["bit-flip"][0], alone["bit-flip"][1].text) == (1, "bit-flip:bits=3")
    assert baseline.to_repeat(measured(rows[0]), [entry]) == {}


def test_ci_does_not_try_what_was_never_caught():
    entries = catalogue.chosen(["bit-flip", "call-hangs", "surprise-removal"])
    before = measured(
        row(0, fault="bit-flip"),
        green(0, fault="call-hangs"),
        about=[about(entry.name) for entry in entries],
    )

    assert [entry.name for entry in baseline.worth_trying(before, entries)] == ["bit-flip", "surprise-removal"]


def test_ci_draws_anew_what_the_fault_no_longer_takes():
    (entry,) = catalogue.chosen(["bit-flip"])
    before = measured(row(2, fault="bit-flip", given={"colour": "red"}))

    number, drawn = baseline.to_repeat(before, [entry])["bit-flip"]

    assert (number, drawn.severity) == (2, pytest.approx(2 / 3))
    assert "colour" not in drawn.text


def test_the_readme_shows_the_measurement_that_comes_with_hil():
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    _, _, behind = readme.partition("<!-- score: hil coverage --from reports/coverage.json --markdown -->\n")
    shown, end, _ = behind.partition("<!-- /score -->")
    path = baseline.committed()

    lines = [] if path is None else list(markdown.lines(ledger.read(path), []))

    assert end
    assert shown.split() == "\n".join(lines).split()


def test_an_interval_is_not_rounded_to_certainty():
    assert text.span(*arithmetic.wilson(20, 20)) == "84 … 100 %"
    assert text.span(*arithmetic.wilson(824, 824)) == "99.5 … 100 %"
