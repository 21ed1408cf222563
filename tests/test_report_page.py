"""The page as a file: all in it, nothing from outside, no text of the data that could become markup or script."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace

import pytest
from pytest_runs import ROOT
from report_rig import DEVICE, ID, KEY, begins, date, finished, history, record, steady

from hil.cli import main
from hil.history import open_history
from hil.report import contents as contents_room
from hil.report.contents import contents
from hil.report.lines import judged, line, scale, usual_nights
from hil.report.nights import load, record_files
from hil.report.page import build
from hil.report.paths import paths
from hil.report.words import WORST_FIRST

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\u2028\ud800"


def shown(folder, path=None, notes=()):
    verdicts = []
    if path is not None:
        with open_history(path) as opened:
            verdicts = judged(opened)
    return contents(load(record_files([folder])).visits, verdicts, list(notes), made="2026-05-01T08:00+00:00")


def embedded(html: str):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


def test_page_is_whole_and_asks_nobody(tmp_path):
    record(tmp_path, 0)
    html = build(shown(tmp_path))
    assert html.startswith("<!doctype html>")
    assert not re.search(r"""(src|href)\s*=\s*["'](?!#)""", html)
    assert "url(" not in html
    assert "@import" not in html
    assert "{{" not in html


def test_policy_allows_the_pages_own_style_and_script_and_nothing_else(tmp_path):
    html = build(shown(tmp_path))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    for tag, kind in (("<style>", "style-src"), ("<script>", "script-src")):
        text = html.split(tag)[1].split(tag.replace("<", "</"))[0]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_hostile_texts_stay_within_the_data(tmp_path):
    bench = HOSTILE.replace("\ud800", "")
    kept = ({"name": bench, "kind": "svg", "text": bench},)
    record(tmp_path, 0, finished("test_a", "failed", message=bench, evidence=kept), bench=bench)
    html = build(shown(tmp_path, notes=[HOSTILE]))
    assert html.count("<script") == 2
    assert "<img" not in html
    assert embedded(html)["notes"] == [HOSTILE.replace("\ud800", "?")]
    html.encode()


def test_every_visit_is_in_the_grid_with_its_tests(tmp_path):
    record(tmp_path, 0, finished("test_a"), finished("test_b", "failed", message="why", hop="link"))
    record(tmp_path, 1, finished("test_a", "skipped", message="no reason"), faults=("bit-flip",), simulated=True)

    found = shown(tmp_path)

    real, simulated = found["sections"]
    (visit,) = real["benches"][0]["visits"]
    suite = visit["suites"]["driver"]
    texts = found["texts"]
    assert suite["counts"] == {"passed": 1, "failed": 1}
    assert [texts[number] for number in found["lists"][suite["passed"]]] == ["test_link.py::test_a"]
    (failed,) = suite["others"]
    assert (texts[failed["name"]], texts[failed["message"]]) == ("test_link.py::test_b", "why")
    (visit,) = simulated["benches"][0]["visits"]
    assert [texts[number] for number in visit["faults"]] == ["bit-flip"]
    assert found["nights"][visit["at"]] == date(1)


def test_evidence_is_bounded_and_the_latest_nights_come_first(tmp_path, monkeypatch):
    monkeypatch.setattr(contents_room, "PICTURES", 10)
    kept = ({"name": "n", "kind": "txt", "text": "x" * 8},)
    for night in range(2):
        record(tmp_path, night, finished("test_a", "failed", evidence=kept))
    first, last = shown(tmp_path)["sections"][0]["benches"][0]["visits"]
    assert "evidence" in last["suites"]["driver"]["others"][0]
    assert "evidence" not in first["suites"]["driver"]["others"][0]


def test_evidence_of_passing_tests_is_kept_of_a_benchs_latest_nights(tmp_path):
    kept = ({"name": "under load", "kind": "svg", "text": "<svg/>"},)
    for night in range(9):
        record(tmp_path, night, finished("test_a", evidence=kept), finished("test_b", "failed", evidence=kept))
    first, second, third, *_ = shown(tmp_path)["sections"][0]["benches"][0]["visits"]
    assert [len(visit["suites"]["driver"]["others"]) for visit in (first, second, third)] == [1, 1, 2]
    assert "evidence" in first["suites"]["driver"]["others"][0]


def test_what_passes_night_after_night_is_on_the_page_once(tmp_path):
    for night in range(5):
        record(tmp_path, night, *(finished(f"test_{n}") for n in range(3)))
    found = shown(tmp_path)
    assert len({visit["suites"]["driver"]["passed"] for visit in found["sections"][0]["benches"][0]["visits"]}) == 1
    (names,) = found["lists"]
    assert [found["texts"][number] for number in names] == [f"test_link.py::test_{n}" for n in range(3)]


def test_a_line_has_its_band_changes_and_what_came_with_them(tmp_path):
    path = history(tmp_path / "h.db", (KEY, [*steady(40), *steady(12, 3.2e9 * 0.96)]), changed_at=40)
    record(tmp_path, 51)

    found = shown(tmp_path, path)

    (device,) = found["sections"][0]["devices"]
    assert (device["bench"], device["alias"], device["id"]) == ("lab", DEVICE, ID)
    (one,) = device["lines"]
    assert (one["name"], one["unit"], one["status"], one["link"]) == (
        "H2D bandwidth 64 MiB", "GB/s", "worse", "2 × 20 Gb/s",
    )  # fmt: skip
    assert len(one["values"]) == len(found["lists"][one["at"]]) == 52
    first, last, low, high = one["band"]
    assert (first, last) == (0, 51)
    assert one["values"][-1] < low < one["values"][0] < high
    (change,) = one["changes"]
    assert found["nights"][change["at"]] == date(40)
    assert change["share"] == -3.7
    assert [found["nights"][at] for at, _ in one["marks"]] == [date(40)]
    assert one["marks"][0][1] == "driver 1.0 → 2.0"


def test_series_without_records_have_a_section_of_their_nature(tmp_path):
    path = history(tmp_path / "h.db", (KEY, steady(3)), (replace(KEY, simulated=True), steady(3)))
    sections = contents([], _judged(path), [], made="")["sections"]
    assert [section["simulated"] for section in sections] == [False, True]
    assert [section["devices"][0]["alias"] for section in sections] == [ID, ID]
    assert sections[0]["devices"][0]["lines"][0]["band"] is None


def _judged(path):
    with open_history(path) as opened:
        return judged(opened)


@pytest.mark.parametrize(
    ("unit", "value", "expected"),
    [("B/s", 3.2e9, "GB/s"), ("s", 12e-6, "µs"), ("s", 2e-3, "ms"), ("s", 3.0, "s"), ("W", 300.0, "W")],
)
def test_values_are_shown_in_units_for_people(unit, value, expected):
    assert scale(replace(KEY, unit=unit), [value]).unit == expected
    assert scale(replace(KEY, unit="s"), []).unit == "s"


def test_sweep_bottleneck_and_residency_come_from_the_last_nights_series(tmp_path):
    alpha, beta = 12e-6, 3.2e9
    series = []
    for direction in ("H2D", "D2H"):
        for power in range(6, 27, 4):
            nbytes = 1 << power
            seconds = alpha + nbytes / beta
            small = nbytes < 1 << 20
            series.append(
                (
                    replace(
                        KEY, direction=direction, nbytes=nbytes, metric="latency p50" if small else "bandwidth",
                        unit="s" if small else "B/s", higher_is_better=not small,
                    ),
                    [seconds if small else nbytes / seconds] * 3,
                )
            )  # fmt: skip
    series.append((replace(KEY, direction="D2D", nbytes=64 << 20), [460e9] * 3))
    found = paths(_judged(history(tmp_path / "h.db", *series)))
    h2d = found["sweeps"][0]
    assert h2d["sizes"] == [1 << power for power in range(6, 27, 4)]
    assert h2d["fit"] == h2d["usual_fit"] == {"alpha_us": 12.0, "beta": 3.2}
    assert [one["direction"] for one in found["bottlenecks"]] == ["H2D", "D2H"]
    assert "82 % of what the narrowest hop" in found["bottlenecks"][0]["told"]
    (residency,) = found["residency"]
    assert "VRAM 920 GB/s" in residency["told"]
    assert {one["of"] for told in found.values() for one in told} == {""}


def test_engines_and_links_of_one_night_are_told_of_each_by_itself(tmp_path):
    ways = {"cuda": (3.2e9, "2 × 20 Gb/s"), "opencl": (2.4e9, "2 × 20 Gb/s"), "simulated": (1.6e9, "1 × 20 Gb/s")}
    series = [
        (replace(KEY, direction=direction, nbytes=nbytes, engine=engine, negotiated=link), [rate, rate])
        for engine, (rate, link) in ways.items()
        for direction in ("H2D", "D2H", "D2D")
        for nbytes in (1 << 20, 16 << 20, 64 << 20)
    ]

    found = paths(_judged(history(tmp_path / "h.db", *series)))

    h2d = {one["of"]: one["now"] for one in found["sweeps"] if one["direction"] == "H2D"}
    assert h2d == {f"{link}, engine {engine}": [rate / 1e9] * 3 for engine, (rate, link) in ways.items()}
    assert [len(found[name]) for name in ("sweeps", "bottlenecks", "residency")] == [6, 6, 3]
    first, second, _ = (one["told"] for one in found["bottlenecks"] if one["direction"] == "H2D")
    assert "3.2" in first
    assert "2.4" in second


def test_a_rate_of_zero_is_no_rate(tmp_path):
    sizes = {1 << 20: [3.2e9, 0.0], 16 << 20: [0.0, 3.2e9], 32 << 20: [3.2e9, 3.2e9], 64 << 20: [3.2e9, 0.0]}
    series = [(replace(KEY, nbytes=nbytes), values) for nbytes, values in sizes.items()]
    found = paths(_judged(history(tmp_path / "h.db", *series)))
    (sweep,) = found["sweeps"]
    assert (sweep["sizes"], sweep["now"], sweep["usual"]) == ([16 << 20, 32 << 20], [3.2, 3.2], [3.2, 3.2])
    assert len(found["bottlenecks"]) == 1


def test_a_device_without_series_has_no_path():
    assert paths([]) == {"sweeps": [], "bottlenecks": [], "residency": []}


def test_what_is_usual_is_what_it_was_before_it_became_worse_though_it_is_partly_back(tmp_path):
    values = [*steady(40, 3.0e9), *steady(25, 2.4e9), *steady(25, 2.7e9)]
    (verdict,) = _judged(history(tmp_path / "h.db", (KEY, values)))
    assert [change.better for change in verdict.changes] == [False, True]

    assert usual_nights(verdict) == (0, 40)
    *_, low, high = line(verdict, {night.date: i for i, night in enumerate(verdict.nights)})["band"]
    assert low < 3.0 < high
    assert high - low < 0.3


def test_a_number_that_json_has_not_got_is_never_on_the_page(tmp_path):
    rungs = '[{"name": "reset", "tried": true, "ok": true, "seconds": NaN}]'
    kept = ({"name": "recovery as data", "kind": "json", "text": rungs},)
    record(tmp_path, 0, finished("test_a", evidence=kept), finished("test_b", "failed", evidence=kept))
    found = shown(tmp_path)
    assert embedded(build(found))["nights"] == [date(0)]
    with pytest.raises(ValueError, match="JSON compliant"):
        build(found | {"made": float("nan")})


def test_the_page_takes_the_order_of_outcomes_from_their_words(tmp_path):
    record(tmp_path, 0)
    found = shown(tmp_path)
    assert found["outcomes"] == list(WORST_FIRST)
    scripts = "".join(path.read_text() for path in (ROOT / "reports" / "page").glob("*.js"))
    assert not re.search(r"'broken',\s*'cut off'|'passed',\s*'skipped'|'skipped',\s*'passed'", scripts)


def test_a_series_with_gaps_and_zeros_is_drawn(tmp_path):
    path = history(tmp_path / "h.db", (replace(KEY, unit="W"), [0.0, 0.0]))
    (verdict,) = _judged(path)
    assert line(verdict, {night.date: i for i, night in enumerate(verdict.nights)})["values"] == [0.0, 0.0]


# The command ----------------------------------------------------------------------------------------------------------


def run(capsys, *arguments) -> tuple[int, str, str]:
    code = 0
    try:
        main(["report", *map(str, arguments)])
    except SystemExit as end:
        code = int(end.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_command_writes_the_page_and_says_whether_tonight_is_good(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HIL_HISTORY", "none")
    record(tmp_path, 0)
    code, out, err = run(capsys, tmp_path, "--out", tmp_path / "page")
    assert code == 0
    assert err == ""
    assert out.splitlines()[0] == f"{date(0)}  real benches: good: 1 passed, 1 bench ran"
    assert embedded((tmp_path / "page" / "index.html").read_text())["nights"] == [date(0)]
    assert sorted(path.name for path in (tmp_path / "page").iterdir()) == ["index.html"]


def test_command_as_json_says_what_the_first_screen_says(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HIL_HISTORY", "none")
    record(tmp_path, 0, finished(outcome="failed", message="why"))
    code, out, _ = run(capsys, tmp_path, "--out", tmp_path / "page", "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["page"] == str(tmp_path / "page" / "index.html")
    assert facts["notes"] == []
    (night,) = facts["nights"]
    assert (night["night"], night["good"], night["simulated"], night["counts"]) == (
        date(0),
        False,
        False,
        {"failed": 1},
    )
    assert night["items"][0]["detail"] == "why"


def test_command_as_markdown_writes_no_page(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HIL_HISTORY", "none")
    record(tmp_path, 0)
    code, out, _ = run(capsys, tmp_path, "--out", tmp_path / "page", "--markdown")
    assert (code, out.splitlines()) == (
        0, [f"**hil, real benches, night of {date(0)}: good: 1 passed, 1 bench ran**"],
    )  # fmt: skip
    assert not (tmp_path / "page").exists()


def test_nothing_at_all_is_one_message(tmp_path, capsys):
    code, out, err = run(capsys, tmp_path, "--history", tmp_path / "none.db")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "nothing to report" in err
    assert "none.db: there is no such file" in err


def test_a_folder_of_another_kind_is_named_with_what_it_holds(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HIL_HISTORY", "none")
    (tmp_path / "1-result.json").write_text("{}")
    code, _, err = run(capsys, tmp_path)
    assert code == 2
    assert f"{tmp_path} holds no record" in err
    assert f"`hil report --allure {tmp_path}`" in err


def test_a_damaged_history_is_complained_of_and_the_records_are_shown(tmp_path, capsys):
    (tmp_path / "h.db").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    record(tmp_path, 0)
    code, out, err = run(capsys, tmp_path, "--history", tmp_path / "h.db", "--out", tmp_path / "page")
    assert code == 0
    assert "page" in out
    assert err.count("\n") == 1
    assert "left out: history" in err
    assert embedded((tmp_path / "page" / "index.html").read_text())["notes"] != []


def test_a_history_that_the_environment_names_and_that_is_not_there_is_missed(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HIL_HISTORY", str(tmp_path / "typo.db"))
    record(tmp_path, 0)
    code, _, err = run(capsys, tmp_path, "--out", tmp_path / "page")
    assert (code, err) == (0, f"hil: left out: history {tmp_path / 'typo.db'}: there is no such file\n")


def test_two_formats_at_once_are_one_message(tmp_path, capsys):
    record(tmp_path, 0)
    code, out, err = run(capsys, tmp_path, "--out", tmp_path / "page", "--markdown", "--json")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("hil: --markdown and --json: ")
    assert not (tmp_path / "page").exists()


def test_a_page_that_cannot_be_replaced_leaves_nothing_behind(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HIL_HISTORY", "none")
    record(tmp_path, 0)
    (tmp_path / "page" / "index.html").mkdir(parents=True)
    code, _, err = run(capsys, tmp_path, "--out", tmp_path / "page")
    assert (code, err) == (2, f"hil: {tmp_path / 'page' / 'index.html'} cannot be written: Is a directory\n")
    assert [path.name for path in (tmp_path / "page").iterdir()] == ["index.html"]


def test_a_page_that_cannot_be_written_is_one_message(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HIL_HISTORY", "none")
    record(tmp_path, 0)
    (tmp_path / "page").write_text("a file")
    code, out, err = run(capsys, tmp_path, "--out", tmp_path / "page" / "below")
    assert (code, out) == (2, "")
    assert "cannot be written" in err


def test_only_a_history_is_enough(tmp_path, capsys):
    path = history(tmp_path / "h.db", (KEY, steady(3)))
    code, out, _ = run(capsys, "--history", path, "--out", tmp_path / "page")
    assert code == 0
    assert out.splitlines()[0].startswith(f"{begins(2).date()}  real benches: not known: no run on record")
