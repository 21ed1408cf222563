"""The file of a measurement: read again as it was written, refused where it is something else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from coverage_rows import HEAD, about, clean, green, measured, row

from hil.cli.coverage import ledger
from hil.errors import BenchFault, UsageError

ALL = measured(row(0, right=True), green(1), clean(0), about=[about(), about("later", unscored="the oven")], left=2)


def test_what_is_written_is_read_again(tmp_path):
    path = tmp_path / "c.json"

    ledger.write(path, ALL)

    assert sorted(tmp_path.iterdir()) == [path]
    found = ledger.read(path)
    assert replace(found, runs=()) == replace(ALL, runs=())
    assert {one.key: one for one in found.runs} == {one.key: one for one in ALL.runs}


def test_the_file_holds_the_score_for_whoever_reads_json(tmp_path):
    path = tmp_path / "c.json"
    ledger.write(path, ALL)

    facts = json.loads(path.read_text())

    assert list(facts) == ["hil_coverage", "head", "left", "faults", "clean", "unscored", "about", "runs"]
    assert (facts["faults"][0]["name"], facts["faults"][0]["caught"], facts["faults"][0]["counted"]) == ("melts", 1, 2)
    assert facts["unscored"] == {"later": "the oven"}
    assert facts["runs"][1]["given"] == {"seed": "5"}


def test_every_key_of_the_file_is_documented(tmp_path):
    page = (Path(__file__).parents[1] / "docs/json.md").read_text(encoding="utf-8")
    path = tmp_path / "c.json"
    ledger.write(path, ALL)
    facts = json.loads(path.read_text())

    parts = [facts, facts["head"], *(facts[name][0] for name in ("faults", "clean", "about", "runs"))]

    assert [key for part in parts for key in part if f"`{key}`" not in page] == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is not a file that `hil coverage --json` wrote"),
        ("[1, 2]", "is not a file that `hil coverage --json` wrote"),
        ('{"faults": []}', "is not a file that `hil coverage --json` wrote"),
        ('{"hil_coverage": 1, "head": {}, "about": [], "runs": [], "left": 0}', "is not a file that"),
        ('{"hil_coverage": 99}', "is of format 99; this hil reads format 1"),
        ("\xff\x00", "is not a file that"),
    ],
)
def test_another_file_is_refused_in_one_message(tmp_path, content, said):
    path = tmp_path / "c.json"
    path.write_text(content, encoding="latin-1")

    with pytest.raises(UsageError, match=f"^{path} {said}"):
        ledger.read(path)


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(UsageError, match=r"^/nowhere/c.json cannot be read: No such file or directory; expected"):
        ledger.read(Path("/nowhere/c.json"))


def test_a_file_that_cannot_be_written_is_named():
    with pytest.raises(BenchFault, match=r"^/nowhere/c.json cannot be written: No such file or directory"):
        ledger.write(Path("/nowhere/c.json"), ALL)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"seed": 2}, "--seed: there 1, now 2"),
        ({"draws": 8}, "--draws: there 4, now 8"),
        ({"profiles": ("mac",)}, "--profile: there none, now mac"),
        ({"suites": "cccc"}, "suites (they or hil have changed since): there aaaa, now cccc"),
        ({"catalogue": "cccc"}, "catalogue (faults or the simulated machine have changed since): there bbbb, now cccc"),
        ({"mode": "ci", "hil": "2.0"}, "version of hil: there 1.0, now 2.0; mode: there full, now ci"),
    ],
)
def test_a_measurement_of_something_else_does_not_go_on(tmp_path, other, said):
    with pytest.raises(UsageError) as caught:
        ledger.same(HEAD, replace(HEAD, **other), tmp_path)

    assert f"holds another measurement ({said}): " in str(caught.value)
    assert "--afresh" in str(caught.value)


def test_the_same_measurement_goes_on(tmp_path):
    ledger.same(HEAD, HEAD, tmp_path)
