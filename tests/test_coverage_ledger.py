"""The file of a measurement: read again as it was written, refused where it is something else."""

from __future__ import annotations

import json
import os
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


@pytest.mark.parametrize(
    ("part", "key", "value", "said"),
    [
        ("runs", "severity", "mild", "runs.1.severity: Input should be a valid number (got 'mild')"),
        ("runs", "severity", 7.5, "runs.1.severity: Input should be less than or equal to 1 (got 7.5)"),
        ("runs", "seconds", "4", "runs.1.seconds: Input should be a valid number (got '4')"),
        ("runs", "seconds", float("nan"), "runs.1.seconds: Input should be "),
        ("runs", "host_seconds", 1e308, "runs.1.host_seconds: Input should be less than "),
        ("runs", "given", [], "runs.1.given: Input should be "),
        ("runs", "given", {"seed": 5}, "runs.1.given.seed: Input should be a valid string (got 5)"),
        ("runs", "test", 5, "runs.1.test: Input should be a valid string (got 5)"),
        ("runs", "end", "blue", "runs.1.end: Input should be 'green', 'alarm', "),
        ("runs", "number", -1, "runs.1.number: Input should be greater than or equal to 0 (got -1)"),
        ("runs", "struck", True, "runs.1.struck: Input should be a valid integer (got True)"),
        ("about", "name", [], "about.1.name: Input should be a valid string (got [])"),
        ("head", "profiles", "mac", "head.profiles: Input should be a valid "),
        ("", "left", "2", "left: Input should be a valid integer (got '2')"),
        ("", "runs", {"a" * 99: 1}, "runs: Input should be a valid "),
    ],
)
def test_a_value_of_the_wrong_type_or_size_is_named_with_its_run(tmp_path, part, key, value, said):
    path = tmp_path / "c.json"
    ledger.write(path, ALL)
    facts = json.loads(path.read_text())
    place = facts[part] if part else facts
    (place[1] if isinstance(place, list) else place)[key] = value
    path.write_text(json.dumps(facts))

    with pytest.raises(UsageError) as caught:
        ledger.read(path)

    assert str(caught.value).startswith(f"{path} is not a file that `hil coverage --json` wrote: {said}")
    assert len(str(caught.value)) < len(str(path)) + 250


def test_a_key_that_is_missing_is_named_and_others_are_counted(tmp_path):
    path = tmp_path / "c.json"
    ledger.write(path, ALL)
    facts = json.loads(path.read_text())
    del facts["runs"][0]["end"], facts["left"]
    path.write_text(json.dumps(facts))

    with pytest.raises(UsageError, match=r": runs\.0\.end: Field required; and 1 more$"):
        ledger.read(path)


def test_keys_that_a_newer_hil_adds_are_no_fault(tmp_path):
    path = tmp_path / "c.json"
    ledger.write(path, ALL)
    facts = json.loads(path.read_text())
    facts["colour"] = facts["runs"][0]["colour"] = "red"
    path.write_text(json.dumps(facts))

    assert ledger.read(path).left == ALL.left


def test_one_command_at_a_time_goes_on_with_a_file(tmp_path, monkeypatch):
    path = tmp_path / "c.json"
    monkeypatch.chdir(tmp_path)

    with ledger.alone(path), pytest.raises(BenchFault) as caught:
        ledger.alone(Path("c.json"))

    assert str(caught.value).startswith(f"c.json is in use by pid {os.getpid()} of ")
    assert list(tmp_path.iterdir()) == []
    with ledger.alone(path), ledger.alone(tmp_path / "other.json"):
        pass


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
