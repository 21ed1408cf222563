"""``hil history``: what it prints of a file, what it keeps, and what it says to bad input."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hil.cli import main
from hil.history import open_history
from tests.test_history_store import KEY
from tests.test_history_verdict import noisy, run_of

POINT = {"time": 1.0, "value": 1.0, "spread": 0.0, "samples": [], "run": "r", "context": {}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A history whose one series got 5 % slower with a driver, on its fiftieth night."""
    path = tmp_path / "h.db"
    values = noisy(80)
    values[50:] *= 0.95
    with open_history(path) as history:
        history.add((KEY, point) for point in run_of(values, driver=50))
    return path


def said(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    try:
        main([str(a) for a in ("history", *arguments)])
        left = 0
    except SystemExit as end:
        left = int(end.code or 0)
    told = capsys.readouterr()
    assert left == code, told.err
    return told.err if code else told.out


def test_the_list_says_what_each_series_does(file, capsys):
    text = said(capsys, "list", "--file", file)
    assert "lab-3, GPU-1" in text
    assert "H2D bandwidth 64 MiB, tinygrad, 2 × 20 Gb/s" in text
    assert "80 nights" in text
    assert "worse since 2026-02-23 (-4." in text or "worse since 2026-02-23 (-5." in text


def test_a_series_shows_its_change_and_what_came_with_it(file, capsys):
    text = said(capsys, "show", "--file", file, "--bench", "lab-3")
    assert "driver old → new" in text
    assert "GB/s" in text
    facts = json.loads(said(capsys, "show", "--file", file, "--json"))
    assert facts["series"][0]["changes"][0]["context"] == {"driver": ["old", "new"]}
    assert len(facts["series"][0]["values"]) == 80
    few = json.loads(said(capsys, "show", "--file", file, "--nights", "3", "--json"))
    assert few["series"][0]["values"] == facts["series"][0]["values"][-3:]


def test_what_is_accepted_is_steady(file, capsys):
    assert "1 series" in said(capsys, "accept", "--file", file, "--since", "2026-02-23", "--reason", "known")
    assert "steady" in said(capsys, "list", "--file", file)
    assert json.loads(said(capsys, "list", "--file", file, "--json"))["series"][0]["status"] == "steady"


@pytest.mark.parametrize(
    ("since", "moment"),
    [("2026-02-23", "23 12:00"), ("2026-02-23 18:30", "23 18:30"), ("2026-02-23T03:00:00", "23 03:00")],
)
def test_a_baseline_begins_with_the_night_of_that_date(file, capsys, since, moment):
    # A run at 2 in the morning belongs to the night before, which is not yet the new baseline.
    assert f"{moment} on (known)" in said(capsys, "accept", "--file", file, "--since", since, "--reason", "known")


def test_all_series_are_accepted_only_if_that_is_said(file, capsys):
    with open_history(file) as history:
        history.add((replace(KEY, bench="lab-4"), point) for point in run_of(noisy(20)))
    since = ("accept", "--file", file, "--since", "2026-02-23", "--reason", "new dock")

    assert "which of its 2 series (of lab-3, lab-4)? Choose with --bench" in said(capsys, *since, code=2)
    assert "1 series" in said(capsys, *since, "--bench", "lab-4")
    assert "2 series" in said(capsys, *since, "--all")


def test_an_export_is_imported_and_merged(file, capsys, tmp_path):
    lines, other, third = tmp_path / "x.jsonl", tmp_path / "other.db", tmp_path / "third.db"
    assert "80 points of 1 series" in said(capsys, "export", lines, "--file", file)
    assert said(capsys, "export", "--file", file) == lines.read_text()
    assert "80 points, 80 of them new" in said(capsys, "import", lines, "--file", other)
    assert json.loads(said(capsys, "merge", other, "--file", third, "--json"))["new"] == 80
    assert "80 points, 0 of them new" in said(capsys, "merge", other, "--file", file)


def test_an_export_replaces_nothing_unasked(file, capsys, tmp_path):
    (tmp_path / "x.jsonl").write_text("mine")
    assert "--force to replace it" in said(capsys, "export", tmp_path / "x.jsonl", "--file", file, code=2)
    assert (tmp_path / "x.jsonl").read_text() == "mine"
    said(capsys, "export", tmp_path / "x.jsonl", "--file", file, "--force")
    assert sorted(path.name for path in tmp_path.iterdir() if "x.jsonl" in path.name) == ["x.jsonl"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"accepted": {"reason": "x"}}, "line 3: accepted = {'reason': 'x'}; expected the keys since, reason, made"),
        ({"accepted": {"since": "x", "reason": "x", "made": 1}}, "line 3: accepted: could not convert"),
        ({"point": POINT | {"context": 5}}, "line 3: point: context = 5; expected texts by name"),
        ({"point": POINT | {"time": "late"}}, "line 3: point: could not convert"),
        ({"point": POINT | {"samples": 3}}, "line 3: point: "),
    ],
)
def test_what_is_no_history_is_named_by_its_line(file, capsys, tmp_path, line, words):
    said(capsys, "export", tmp_path / "x.jsonl", "--file", file)
    head = (tmp_path / "x.jsonl").read_text().splitlines()[:2]
    (tmp_path / "x.jsonl").write_text("\n".join([*head, json.dumps(line)]))

    assert words in said(capsys, "import", tmp_path / "x.jsonl", "--file", tmp_path / "new.db", code=2)


def test_an_export_as_a_table_can_be_read_by_others(file, capsys, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    said(capsys, "export", tmp_path / "x.parquet", "--file", file)
    table = parquet.read_table(tmp_path / "x.parquet")
    assert table.num_rows == 80
    assert table["value"][0].as_py() == pytest.approx(3e9, rel=0.05)
    assert dict(table["context"][79].as_py())["driver"] == "new"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("list", "--file", "FILE", "--bench", "lab-9"), "no series with bench = lab-9; in it there is bench = lab-3"),
        (("show", "--file", "FILE", "--metric", "speed"), "in it there is metric = bandwidth"),
        (("list", "--file", "none.db"), "there is no such file"),
        (("accept", "--file", "FILE", "--since", "2026-02-01", "--reason", " "), "--reason: empty"),
        (("accept", "--file", "FILE", "--since", "last", "--reason", "x"), "--since: 'last'; expected a night"),
        (("accept", "--file", "FILE", "--since", "2062-01-01", "--reason", "x"), "'2062-01-01' is yet to come"),
        (("import", "none.jsonl", "--file", "FILE"), "none.jsonl: No such file"),
        (("import", "FILE", "--file", "new.db"), "line 1: no JSON"),
        (("export", "FILE", "--file", "FILE", "--force"), "is the history itself: give another name"),
        (("export", "no/such/folder.jsonl", "--file", "FILE"), "folder.jsonl cannot be written: No such file"),
        (("export", "no/such/folder.parquet", "--file", "FILE"), "folder.parquet cannot be written: "),
        (("show", "--file", "FILE", "--nights", "0"), "0 is not in the range"),
    ],
)
def test_bad_input_is_one_clear_message(file, capsys, monkeypatch, tmp_path, arguments, words):
    monkeypatch.chdir(tmp_path)
    given = [str(file) if a == "FILE" else a for a in arguments]
    text = said(capsys, *given, code=2)
    assert words in text
    assert "Traceback" not in text


def test_the_environment_names_the_file(file, capsys, monkeypatch):
    monkeypatch.setenv("HIL_HISTORY", str(file))
    assert "80 nights" in said(capsys, "list")


def test_without_a_name_it_is_the_users_own(capsys, monkeypatch, tmp_path):
    monkeypatch.delenv("HIL_HISTORY", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert f"history {tmp_path}" in said(capsys, "list", code=2)


def test_a_new_baseline_is_too_short_to_judge_at_first(file, capsys):
    said(capsys, "accept", "--file", file, "--since", "2026-03-20", "--reason", "known")

    assert "too few nights to judge (20 needed, 5 of its baseline there)" in said(capsys, "list", "--file", file)


def test_a_change_for_the_worse_is_told_until_all_of_it_is_back(tmp_path, capsys):
    path = tmp_path / "h.db"
    values = noisy(100)
    values[40:70] *= 0.8
    values[70:] *= 0.9
    with open_history(path) as history:
        history.add((KEY, point) for point in run_of(values))

    told = said(capsys, "list", "--file", path)

    assert "worse since " in told
    assert "(-" in told
