"""``hil history``: what it prints of a file, what it keeps, and what it says to bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hil.cli import main
from hil.history import open_history
from tests.test_history_store import KEY
from tests.test_history_verdict import noisy, run_of


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


def test_what_is_accepted_is_steady(file, capsys):
    assert "1 series" in said(capsys, "accept", "--file", file, "--since", "2026-02-23", "--reason", "known")
    assert "steady" in said(capsys, "list", "--file", file)
    assert json.loads(said(capsys, "list", "--file", file, "--json"))["series"][0]["status"] == "steady"


def test_an_export_is_imported_and_merged(file, capsys, tmp_path):
    lines, other, third = tmp_path / "x.jsonl", tmp_path / "other.db", tmp_path / "third.db"
    assert "80 points of 1 series" in said(capsys, "export", lines, "--file", file)
    assert said(capsys, "export", "--file", file) == lines.read_text()
    assert "80 points, 80 of them new" in said(capsys, "import", lines, "--file", other)
    assert json.loads(said(capsys, "merge", other, "--file", third, "--json"))["new"] == 80
    assert "80 points, 0 of them new" in said(capsys, "merge", other, "--file", file)


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
        (("list", "--file", "FILE", "--bench", "lab-9"), "no series with bench = lab-9; benches in it: lab-3"),
        (("list", "--file", "none.db"), "there is no such file"),
        (("accept", "--file", "FILE", "--since", "2026-02-01", "--reason", " "), "--reason: empty"),
        (("import", "none.jsonl", "--file", "FILE"), "none.jsonl: No such file"),
        (("export", "no/such/folder.jsonl", "--file", "FILE"), "no/such/folder.jsonl: No such file"),
        (("export", "no/such/folder.parquet", "--file", "FILE"), "no/such/folder.parquet: "),
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
