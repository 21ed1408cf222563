"""What `hil coverage` sets out to run: draws and their parameters, their order, the command lines."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from hil.cli.coverage import catalogue, command, plan
from hil.cli.coverage.plan import Job, Kind, Sizes
from hil.errors import UsageError
from hil.hosts.selection import DEFAULT_PROFILE
from hil.sim.faults.base import Fault, Trigger

MINE = """
from enum import StrEnum
from hil.sim.faults.base import Fault, Trigger

class Side(StrEnum):
    LEFT = "left"

class Parameters(Trigger):
    side: Side = Side.LEFT
    heat: float = 0.0
    loud: bool = False

class Mine(Fault):
    name, domain, story, seen_by = "mine", "link", "It is mine.", "driver"
    Parameters = Parameters
    profiles = ("linux-two-enclosures", "mac-pro-slot")

    @classmethod
    def draw(cls, severity, dice):
        return {"heat": severity / 3, "side": Side.LEFT, "loud": severity > 0.5, "nth": None, "seed": dice.randrange(9)}

    @classmethod
    def below_sight(cls, parameters):
        return "cold" if parameters.heat < 0.1 else ""

class Raises(Mine):
    @classmethod
    def draw(cls, severity, dice):
        return {"heat": 1 / severity}

class Unheard(Mine):
    @classmethod
    def draw(cls, severity, dice):
        return {"colour": "red"}

class Listed(Mine):
    @classmethod
    def draw(cls, severity, dice):
        return {"heat": [1, 2]}

class Blind(Mine):
    @classmethod
    def below_sight(cls, parameters):
        raise KeyError("heat")
"""


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    return lambda name="Mine", settings="": catalogue.chosen([f"{tmp_path}/mine.py:{name}{settings}"])[0]


def sizes(**facts):
    return Sizes(**{"draws": 4, "clean": 0, "whole": 0, "seed": 1, "profiles": (), **facts})


def job(**facts):
    return Job(**{"kind": Kind.FAULT, "number": 0, "profile": "mac", "seed": 1, "seen_by": "transfer", **facts})


def test_a_draw_is_what_a_command_line_takes(mine):
    drawn = catalogue.draw(mine(), 3, 4, seed=1)

    assert drawn.severity == 1.0
    assert {**drawn.given, "seed": ""} == {"seed": "", "heat": "0.3333333333", "side": "left", "loud": "true"}
    assert drawn.text.startswith(f"{mine().name}:seed=")
    assert drawn == catalogue.draw(mine(), 3, 4, seed=1)
    assert any(drawn != catalogue.draw(mine(), 3, 4, seed=seed) for seed in range(2, 30))


def test_draws_go_from_mild_to_severe_and_say_what_nobody_could_see(mine):
    drawn = [catalogue.draw(mine(), number, 4, seed=1) for number in range(4)]

    assert [one.severity for one in drawn] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert [one.below_sight for one in drawn] == ["cold", "", "", ""]
    assert catalogue.draw(mine(), 0, 1, seed=1).severity == 0.5


def test_a_parameter_that_the_user_gives_is_not_drawn(mine):
    entry = mine(settings=":heat=0.9")

    assert entry.name.endswith("mine.py:Mine")
    assert catalogue.draw(entry, 0, 4, seed=1).given["heat"] == "0.9"


def test_a_fault_that_draws_no_seed_is_given_one():
    class Plain(Fault):
        name, domain, story, seen_by = "plain", "link", "", "driver"

    drawn = [catalogue.draw(catalogue.Entry(name="plain", kind=Plain), n, 4, seed=1).given for n in range(4)]

    assert {frozenset(given) for given in drawn} == {frozenset(["seed"])}
    assert len({given["seed"] for given in drawn}) == 4
    assert Trigger.model_validate(drawn[0])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Raises", r"draw\(0, …\) raised ZeroDivisionError"),
        ("Unheard", "colour: Extra inputs are not permitted"),
        ("Listed", r"heat = '\[1, 2\]' cannot be written on a command line"),
        ("Blind", "below_sight raised KeyError"),
    ],
)
def test_a_fault_that_draws_what_cannot_be_used_is_named(mine, name, said):
    with pytest.raises(UsageError, match=f"^fault .*mine.py:{name}.*{said}"):
        catalogue.draw(mine(name), 0, 4, seed=1)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["no-such"], "fault 'no-such': .* known: "),
        (["bit-flip", "bit-flip:bits=2"], "--fault bit-flip:bits=2: bit-flip is named twice"),
        (["bit-flip:bits=99"], "fault 'bit-flip:bits=99': bits: "),
        (["bit-flip:bits"], "'bits' is not key=value"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(texts, said):
    with pytest.raises(UsageError, match=said):
        catalogue.chosen(texts)


def test_a_fault_is_drawn_on_its_profiles_in_turn_unless_the_user_names_some(mine):
    own = plan.jobs([mine()], sizes())
    asked = plan.jobs([mine()], sizes(profiles=("mac-mini-usb4",)))

    assert Counter(one.profile for one in own) == {"linux-two-enclosures": 2, "mac-pro-slot": 2}
    assert {one.profile for one in asked} == {"mac-mini-usb4"}
    assert len({one.key for one in own}) == len({one.seed for one in own}) == 4


def test_wherever_it_is_cut_off_as_much_is_done_of_everything():
    entries = catalogue.chosen(["bit-flip", "call-hangs"])
    jobs = plan.jobs(entries, sizes(draws=10, clean=20, whole=1))

    first = Counter(one.fault or one.kind.value for one in jobs[: len(jobs) // 2])

    assert Counter(one.fault or one.kind.value for one in jobs) == {
        "bit-flip": 10,
        "call-hangs": 10,
        "clean": 20,
        "whole": 1,
    }
    assert (first["bit-flip"], first["call-hangs"]) == (5, 5)
    assert first["clean"] == pytest.approx(10, abs=1)


def test_clean_machines_are_every_profile_with_a_gpu_in_turn():
    jobs = plan.jobs([], sizes(clean=len(plan.with_gpus()) + 1))

    assert [one.profile for one in jobs] == [*plan.with_gpus(), DEFAULT_PROFILE]
    assert not {"empty-mac", "empty-linux"} & set(plan.with_gpus())
    assert not any(one.text for one in jobs)


def test_a_control_is_drawn_a_quarter_as_often_from_mild_to_severe():
    jobs = plan.jobs(catalogue.chosen(["control-slow-night", "bit-flip"]), sizes(draws=10))
    severities = {name: sorted(one.severity for one in jobs if one.fault == name) for name in ("control-slow-night",)}

    assert severities == {"control-slow-night": [0.0, 0.5, 1.0]}
    assert sum(one.fault == "bit-flip" for one in jobs) == 10


def test_soaks_that_a_fault_is_seen_by_are_run_on_a_clean_machine_too():
    warm, plain = catalogue.chosen(["thermal-throttle"]), catalogue.chosen(["bit-flip"])

    both = {one.fault or one.kind.value: one.soaks for one in plan.jobs([*warm, *plain], sizes(clean=1, whole=1))}

    assert both == {"thermal-throttle": ("throughput",), "bit-flip": (), "clean": (), "whole": ("throughput",)}
    assert {one.soaks for one in plan.jobs(plain, sizes(whole=1))} == {()}


def test_ci_makes_one_draw_a_fault_and_repeats_it_with_its_number(mine):
    entry, (other,) = mine(), catalogue.chosen(["bit-flip"])
    before = catalogue.draw(other, 7, 20, seed=1)

    jobs = {one.fault: one for one in plan.repeated([entry, other], sizes(clean=2), {"bit-flip": (7, before)})}

    assert jobs["bit-flip"].key == "bit-flip 7"
    assert jobs["bit-flip"].text == before.text
    assert jobs[entry.name].severity == 0.5
    assert jobs[""].kind is Kind.CLEAN


SUITES = command.Suites(folder=Path("/s"), kinds=("driver", "throughput", "transfer"))


def told(arguments):
    """The folders and the selection of a command line."""
    marker = arguments[arguments.index("-m") + 1] if "-m" in arguments else ""
    return marker, [Path(part).name for part in arguments if part.startswith("/s/")]


@pytest.mark.parametrize(
    ("facts", "ci", "expected"),
    [
        ({}, False, [("", ["transfer"]), ("", ["driver", "throughput"])]),
        ({}, True, [("", ["transfer"]), ("quick", ["driver", "throughput"])]),
        ({"seen_by": "elsewhere"}, True, [("quick", ["driver", "throughput", "transfer"])]),
        ({"soaks": ("transfer",)}, False, [("soak", ["transfer"]), ("", ["transfer"]), ("", ["driver", "throughput"])]),
        (
            {"soaks": ("transfer",)},
            True,
            [("soak", ["transfer"]), ("", ["transfer"]), ("quick", ["driver", "throughput"])],
        ),
        ({"seen_by": "elsewhere", "soaks": ("elsewhere",)}, False, [("", ["driver", "throughput", "transfer"])]),
        (
            {"kind": Kind.WHOLE, "seen_by": "", "soaks": ("driver",)},
            False,
            [("", ["driver", "throughput", "transfer"]), ("soak", ["driver"])],
        ),
        ({"kind": Kind.CONTROL, "seen_by": "driver"}, False, [("", ["driver", "throughput", "transfer"])]),
        ({"kind": Kind.CONTROL}, True, [("quick", ["driver", "throughput", "transfer"])]),
        ({"kind": Kind.CLEAN, "seen_by": ""}, False, [("quick", ["driver", "throughput", "transfer"])]),
        ({"kind": Kind.WHOLE, "seen_by": ""}, False, [("", ["driver", "throughput", "transfer"])]),
    ],
)
def test_the_expected_kind_comes_first_and_nothing_else_is_tuned(facts, ci, expected):
    assert [told(stage) for stage in command.stages(job(**facts), SUITES, ci=ci)] == expected


def test_a_run_stops_at_the_first_alarm_and_depends_on_nothing_around_it():
    arguments, _ = command.stages(job(text="bit-flip:bits=2"), SUITES, ci=False)
    words = " ".join(arguments)

    assert "-x" in arguments
    assert "--hil-quick-first" in arguments
    assert "--hil-bench sim:mac --hil-seed 1 --hil-fault bit-flip:bits=2" in words
    assert "-c /dev/null --rootdir /s --confcutdir /s" in words
    assert "-p hil.fixtures" in words
    kept = command.environment({"HIL_BENCH": "local", "PYTEST_ADDOPTS": "-v", "PATH": "/bin"})
    assert kept == {"PATH": "/bin", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def test_the_suites_that_come_with_hil_are_found_by_kind():
    found = command.suites(None)

    assert {"driver", "throughput", "transfer"} <= set(found.kinds)


def test_a_folder_without_suites_is_refused(tmp_path):
    with pytest.raises(UsageError, match=f"^no suites in {tmp_path}: no sub-folder of it has a test_"):
        command.suites(tmp_path)
    with pytest.raises(UsageError, match=r"^no suites at /nowhere; expected a folder with driver/"):
        command.suites(Path("/nowhere"))


def test_the_same_seed_draws_the_same(mine):
    def texts(seed):
        return [one.text for one in plan.jobs([mine()], sizes(seed=seed))]

    assert texts(3) == texts(3) != texts(4)
