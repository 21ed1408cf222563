"""The demonstration: its scenario makes sense, and a few nights of it become records, a history and a page."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from hil.bench.file import BenchFile, HostSection
from hil.cli import main
from hil.cli.demo import MARK, _cleared, _run_all
from hil.cli.demo_night import Job
from hil.errors import BenchFault, UsageError
from hil.history import open_history
from hil.hosts import toml_file
from hil.report.record import read
from hil.sim import scenario
from hil.sim.faults import choice
from hil.sim.profile import Profile

DEMO = scenario.load("demo")
ROOT = Path(__file__).parents[1]


@pytest.fixture
def command(capsys):
    """Runs `hil` in this process; what it printed."""

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        told = capsys.readouterr()
        assert not end.value.code, told.err
        return told.out

    return run


def test_every_night_of_every_bench_is_a_machine_and_its_faults_are_known():
    for bench in DEMO.bench:
        for night in range(1, DEMO.nights + 1):
            machine = DEMO.machine(bench, night)
            assert Profile.model_validate(tomllib.loads(scenario.toml_text(machine)), strict=False) == machine
            for fault in DEMO.faults_of(bench.name, night):
                kind, given = choice.named(fault)
                assert choice.check(kind, given, fault)


def test_every_test_of_it_is_a_test_of_the_suites():
    for test in (*DEMO.tests, *DEMO.more_tests):
        path, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / "suites" / path).read_text()


def test_a_test_that_names_the_device_is_run_once_for_each():
    bench = DEMO.bench[0].model_copy(update={"devices": ("left", "right")})
    one = DEMO.model_copy(update={"tests": ("a.py::test_a", "a.py::test_b[{device}-D2H]")})
    assert one.tests_of(bench, 1) == ("a.py::test_a", "a.py::test_b[left-D2H]", "a.py::test_b[right-D2H]")


def test_the_driver_update_costs_four_per_cent_on_one_bench_from_its_night_on():
    bench = DEMO.bench[0]
    change = next(change for change in DEMO.change if change.h2d != 1.0)

    def mean(nights) -> float:
        return sum(DEMO.machine(bench, night).gpu[0].h2d for night in nights) / len(nights)

    before, after = mean(range(1, change.night)), mean(range(change.night, DEMO.nights + 1))
    assert change.bench == bench.name
    assert after / before == pytest.approx(0.96, abs=0.004)
    assert DEMO.machine(bench, change.night - 1).host.driver_version == "1.0.4"
    assert DEMO.machine(bench, change.night).host.driver_version == change.driver_version


def test_a_night_is_the_same_whenever_it_is_made():
    assert DEMO.machine(DEMO.bench[1], 7) == DEMO.machine(DEMO.bench[1], 7)
    assert DEMO.machine(DEMO.bench[1], 7).gpu != DEMO.machine(DEMO.bench[1], 8).gpu
    assert DEMO.date_of(60).isoformat() == "2026-04-30"


def test_a_section_written_as_toml_reads_as_the_same(tmp_path):
    bench = BenchFile(name="a", host=HostSection(kind="simulated", profile="macbook-pro-usb4"))
    (tmp_path / "b.toml").write_text(scenario.toml_text(bench))
    assert toml_file.read(tmp_path / "b.toml", BenchFile) == bench


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nights = 0", "nights"),
        ('first_night = "May"', "first_night"),
        ('change = [{night = 1, bench = "b"}]', "'b' is no bench of it; expected a"),
    ],
)
def test_a_wrong_scenario_is_refused_by_its_key(tmp_path, text, said):
    whole = {
        "summary": 'summary = "s"', "first_night": 'first_night = "2026-01-01"', "nights": "nights = 2",
        "tests": 'tests = ["a"]', "bench": 'bench = [{name = "a", profile = "macbook-pro-usb4", devices = ["d"]}]',
    }  # fmt: skip
    whole[text.partition(" ")[0]] = text
    path = tmp_path / "s.toml"
    path.write_text("\n".join(whole.values()))
    with pytest.raises(UsageError, match=said):
        scenario.load(str(path))


def test_an_unknown_scenario_is_refused():
    with pytest.raises(UsageError, match="known: demo"):
        scenario.load("nothing")


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SystemExit) as end:
        main(["demo", "--out", str(tmp_path), "--nights", "1"])
    assert end.value.code == 2
    assert "thesis.txt" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_nights_of_a_lab_are_left_alone(tmp_path, capsys):
    (tmp_path / "records").mkdir()
    for name in ("records/2026-11-23-lab.jsonl", "history.db"):
        (tmp_path / name).write_text("ours")
    with pytest.raises(SystemExit) as end:
        main(["demo", "--out", str(tmp_path), "--nights", "1"])
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        f"hil: --out {tmp_path}: holds history.db, which no demonstration wrote; name a new folder\n"
    )
    assert [path.read_text() for path in tmp_path.rglob("*") if path.is_file()] == ["ours", "ours"]


def test_only_what_a_demonstration_left_is_replaced(tmp_path):
    records, history = _cleared(tmp_path / "demo")
    (records / "2026-03-02-mac-usb4.jsonl").write_text("of an earlier demonstration")
    history.write_text("of an earlier demonstration")
    assert _cleared(tmp_path / "demo") == (records, history)
    assert {path.name for path in (tmp_path / "demo").rglob("*")} == {MARK, "records"}
    (tmp_path / "demo" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"thesis\.txt"):
        _cleared(tmp_path / "demo")


@pytest.mark.slow
def test_a_night_that_cannot_be_run_is_named():
    wrong = DEMO.model_copy(update={"tests": ("driver/nothing.py",)})
    with pytest.raises(BenchFault, match=r"night 3 of mac-usb4: pytest ended with 4: .*nothing\.py"):
        list(_run_all(wrong, [Job(DEMO.bench[0], 3)], 1))


@pytest.mark.slow
def test_nights_become_records_a_history_and_a_page_in_place_of_what_an_earlier_one_left(tmp_path, command):
    earlier = tmp_path / "demo" / "records" / "2026-03-02-mac-usb4.jsonl"
    earlier.parent.mkdir(parents=True)
    (tmp_path / "demo" / MARK).touch()
    earlier.write_text("of an earlier demonstration")
    command("demo", "--out", str(tmp_path / "demo"), "--nights", "1")

    records = sorted((tmp_path / "demo" / "records").iterdir())
    assert len(records) == 3
    last = read(records[-1])
    assert last.finished
    assert last.head.bench == "mac-usb4"
    assert last.head.simulated
    assert last.head.started.startswith("2026-04-30T22:30:00")
    assert last.head.context["scenario"] == DEMO.summary
    cable = read(next(path for path in records if path.name == "2026-04-30-mac-tb3.jsonl"))
    assert tuple(cable.head.faults) == DEMO.faults_of("mac-tb3", 60)
    with open_history(tmp_path / "demo" / "history.db", must_exist=True) as history:
        assert {key.bench for key in history.series()} == {bench.name for bench in DEMO.bench}
        key = next(key for key in history.series() if key.bench == "mac-usb4" and key.metric == "bandwidth")
        points = history.points(key)
        assert [point.night for point in points][-1] == "2026-04-30"
        assert all(point.context["scenario"] == DEMO.summary for point in points)
    told = command("report", str(tmp_path / "demo" / "records"), "--history", str(tmp_path / "demo" / "history.db"),
                   "--out", str(tmp_path / "page"), "--json")  # fmt: skip
    (night,) = json.loads(told)["nights"]
    assert night["simulated"]
    assert not night["good"]
    assert {item["bench"] for item in night["items"] if item["bad"]} == {"mac-tb3"}
    assert "2026-04-30" in (tmp_path / "demo" / "index.html").read_text()
