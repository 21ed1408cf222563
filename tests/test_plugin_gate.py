"""The health gate: what a test needs, devices that are left unwell, the recovery ladder, quarantine."""

from __future__ import annotations

import json
import re

import pytest
from pytest_runs import ROOT, suite

from hil.model import MIB

pytestmark = pytest.mark.slow  # whole runs of pytest in processes of their own
FIRST, SECOND = "rtx-4090-th3p4g3", "rtx-6000-ada-egpu-node-titan"
RUNGS = ["reopen", "reset", "driver rebind", "sleep and wake", "replug", "cold cycle"]
GATE = f"""
    import pytest

    def test_leaves_it_unplugged(device, hil_bench, telemetry):
        '''Passes by itself, and the telemetry window sees what the kernel said.'''
        hil_bench.plugs.detach(device)
        assert telemetry.observed().lines

    def test_works_again(transfer):
        transfer.round_trip({MIB})

    def test_fails_and_leaves_it_unplugged(device, hil_bench):
        hil_bench.plugs.detach(device)
        pytest.fail("by itself")

    def test_kills_its_process(device):
        device.process()
        device.kill()

    def test_plugged_back_by_the_word(hotplug, telemetry):
        hotplug.detach(orderly=False)

    def test_pulls_at_a_call_that_succeeds_all_the_same(hotplug):
        hotplug.pull_during("session:memory", after=1.0)

    @pytest.fixture
    def somebody_trips_over_the_cable_afterwards(hil_bench):
        yield
        hil_bench.plugs.detach(hil_bench.devices[0])

    def test_leaves_it_well(somebody_trips_over_the_cable_afterwards, device):
        device.process()

    def test_begins_with_it_unwell(device):
        device.process()

    def test_leaves_it_unplugged_for_good(device, hil_bench):
        hil_bench.plugs.detach(device)
        hil_bench.actuators = ()
"""
LOST = """
    import pytest

    @pytest.mark.parametrize("n", [1, 2])
    def test_use(transfer, n):
        transfer.round_trip(64)

    def test_use_much(transfer):
        transfer.round_trip(1000000)

    @pytest.mark.parametrize("n", [3, 4])
    def test_use_afterwards(transfer, n):
        transfer.round_trip(64)
"""
NEEDY = """
    import pytest

    @pytest.mark.needs("hotplug")
    def test_hotplug(device): pass

    @pytest.mark.needs("reset")
    def test_reset(device): pass

    @pytest.mark.needs("enclosure", "gpu", "band")
    def test_place(device): pass

    def test_reset_all_the_same(reset):
        reset()

    def test_unplug_all_the_same(hotplug):
        hotplug.detach(orderly=True)

    def test_unwell_without_consent(device):
        device.process()
        device.kill()
"""


def profile(folder, *changes):
    """A profile of one's own: the shipped one with two enclosures, changed."""
    text = (ROOT / "hil/sim/profiles/linux-two-enclosures.toml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "own.toml"
    path.write_text(text)
    return path


def unconsenting(folder):
    allowed = ("reset", "unplug", "unbind", "sleep", "power_cycle")
    return profile(folder, *((f"{what} = true", f"{what} = false") for what in allowed))


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    with suite(tmp_path_factory.mktemp("gate")) as made:
        made.write(test_gate=GATE)
        yield made.run("--hil-bench=sim:linux-two-enclosures", f"--hil-device={FIRST}", allure=True)
        assert made.left_over() == []


@pytest.fixture(scope="module")
def lost(tmp_path_factory):
    """A bench without consent to do anything, and a first device whose cable comes loose."""
    folder = tmp_path_factory.mktemp("lost")
    with suite(folder) as made:
        made.write(test_lost=LOST, test_needy=NEEDY)
        fault = "surprise-removal:gpu=1,at_bytes=200000"
        yield made.run(f"--hil-bench=sim:{unconsenting(folder)}", f"--hil-fault={fault}", allure=True)
        assert made.left_over() == []


def test_a_device_left_unwell_fails_the_test_that_passed(gate):
    name = f"test_leaves_it_unplugged[{FIRST}]"

    assert gate.results()[name]["status"] == "failed"
    assert re.search(
        rf"DeviceFault: {FIRST} was well before this test and is not after it: .* \(it is well again\)",
        gate.results()[name]["statusDetails"]["message"],
    )
    assert gate.outcomes()[f"test_works_again[{FIRST}]"] == "PASSED"


def test_a_device_that_fell_between_two_tests_fails_the_second(gate):
    assert gate.outcomes()[f"test_leaves_it_well[{FIRST}]"] == "PASSED"
    told = gate.results()[f"test_begins_with_it_unwell[{FIRST}]"]
    assert told["status"] == "failed"
    assert (
        f"{FIRST} was well after the test before this one, and not when this one began"
        in told["statusDetails"]["message"]
    )
    assert "not in the inventory" in told["statusDetails"]["message"]


def test_an_error_of_the_gate_is_shown_as_its_sentence_alone(gate):
    shown = gate.out[gate.out.index("ERROR at teardown of test_kills") :].splitlines()[1:3]

    assert shown[0].startswith(f"hil.errors.DeviceFault: {FIRST} was well before this test")
    assert shown[1].startswith("___")


def test_what_failed_by_itself_is_not_blamed_twice(gate):
    name = f"test_fails_and_leaves_it_unplugged[{FIRST}]"

    assert gate.results()[name]["statusDetails"]["message"] == "Failed: by itself"
    assert f"recovery  {FIRST} after {name}: well again by replug" in "\n".join(gate.summary())
    assert f"broken    test_gate.py::{name}" not in "\n".join(gate.summary())


def test_every_rung_of_the_ladder_is_told(gate):
    stories = [path.read_text() for path in (gate.folder / "allure").glob("*-attachment.txt")]
    story = next(text for text in stories if "replug: ok" in text)

    rungs = [line for line in story.splitlines() if not line.startswith(" ")]
    assert [line.split(":")[0] for line in rungs] == RUNGS[: RUNGS.index("replug") + 1]
    assert re.match(
        r"reopen: no: .*not in the inventory\nreset: no: .*replug: ok: well again", "\n".join(rungs), re.DOTALL
    )
    assert "    vendor and device id: not read → 0x268410de" in story


def test_every_rung_of_the_ladder_is_told_to_programs_too(gate):
    texts = [path.read_text() for path in (gate.folder / "allure").glob("*-attachment.json")]
    stories = [rungs for rungs in map(json.loads, texts) if rungs[-1]["name"] == "replug"]

    assert stories
    for rungs in stories:
        assert [rung["name"] for rung in rungs] == RUNGS[: RUNGS.index("replug") + 1]
        assert rungs[-1]["ok"]
        assert 0 < rungs[-1]["seconds"] < rungs[-1]["within"]
        assert rungs[-1]["after"]["vendor and device id"] == "0x268410de"
        assert any("pciehp" in line for line in rungs[-1]["log"])


def test_what_the_kernel_said_is_attached(gate):
    texts = [path.read_text() for path in (gate.folder / "allure").glob("*-attachment.txt")]

    assert any("pciehp" in text for text in texts), texts


def test_a_process_that_ended_is_noticed_and_replaced(gate):
    lines = "\n".join(gate.summary())

    assert (
        f"recovery  {FIRST} after test_kills_its_process[{FIRST}]: well again by reopen (its process has ended" in lines
    )


def test_what_a_word_unplugged_it_plugs_back(gate):
    assert "after test_plug" not in gate.out
    assert "after test_pulls" not in gate.out
    assert gate.results()[f"test_plugged_back_by_the_word[{FIRST}]"]["status"] == "passed"


def test_an_operation_that_succeeds_without_its_device_is_a_device_fault(gate):
    details = gate.results()[f"test_pulls_at_a_call_that_succeeds_all_the_same[{FIRST}]"]["statusDetails"]

    assert f"session:memory reported success although {FIRST} was unplugged 1 s into it" in details["message"]


def test_a_device_that_nothing_helps_is_quarantined_and_the_other_goes_on(lost):
    status = {name: fact["status"] for name, fact in lost.results().items() if name.startswith("test_use")}

    assert status == {
        f"test_use[{FIRST}-1]": "passed",
        f"test_use[{FIRST}-2]": "passed",
        f"test_use_much[{FIRST}]": "failed",
        f"test_use_afterwards[{FIRST}-3]": "broken",
        f"test_use_afterwards[{FIRST}-4]": "broken",
        f"test_use[{SECOND}-1]": "passed",
        f"test_use[{SECOND}-2]": "passed",
        f"test_use_much[{SECOND}]": "passed",
        f"test_use_afterwards[{SECOND}-3]": "passed",
        f"test_use_afterwards[{SECOND}-4]": "passed",
    }


def test_the_remaining_tests_of_a_quarantined_device_end_with_the_reason_at_once(lost):
    facts = lost.results()[f"test_use_afterwards[{FIRST}-4]"]

    assert facts["statusDetails"]["message"].startswith(
        f"hil.errors.BenchFault: {FIRST} is quarantined: it is not well"
    )
    assert facts["stop"] - facts["start"] < 1000  # milliseconds; the ladder takes several
    assert any(line.startswith(f"QUARANTINED {FIRST}, ") for line in lost.summary())


def test_the_reason_of_a_quarantine_names_every_rung(lost):
    line = next(line for line in lost.summary() if line.startswith("QUARANTINED"))

    assert f"{FIRST}, 8 tests broken by that: it is not well ({FIRST} is not in the inventory any more, its " in line
    assert "enclosure is gone too: " in line
    assert "nothing helped (reopen: " in line
    assert "; reset: not tried: the bench does not allow resets" in line
    assert "; replug: not tried: the bench does not allow unplugging" in line


def test_a_quarantine_is_told_once_and_hides_nothing(lost):
    assert sum("is quarantined" in line for line in lost.summary()) == 0
    assert any(line.startswith(f"failed    test_lost.py::test_use_much[{FIRST}]") for line in lost.summary())


def test_what_cannot_be_put_back_is_said_at_the_end(gate):
    assert gate.results()[f"test_leaves_it_unplugged_for_good[{FIRST}]"]["status"] == "failed"
    assert any(
        line.startswith(f"NOT RESTORED {FIRST} could not be plugged in again: no act") for line in gate.summary()
    )


# --- what a test needs ---


@pytest.fixture(scope="module")
def needy(tmp_path_factory):
    """The first device has no actuator, the second sits in an internal slot."""
    folder = tmp_path_factory.mktemp("needy")
    actuator = '[[actuator]]\nkind = "simulated"\nenclosure = "TH3P4G3"\n'
    own = profile(folder, (actuator, ""), ('enclosure = "eGPU Node Titan"\nvram', 'enclosure = ""\nvram'))
    with suite(folder) as made:
        made.write(test_needy=NEEDY)
        yield made.run(f"--hil-bench=sim:{own}", "-k", "not all_the_same", "-rs")


def skips(run, alias="") -> set[str]:
    reasons = (line.partition("× ")[2] for line in run.summary() if line.startswith("skipped"))
    return {reason for reason in reasons if reason.startswith(alias)}


def test_skips_say_what_the_bench_lacks(needy):
    assert skips(needy) == {
        f"{FIRST}: hotplug: no actuator of the bench acts on its enclosure TH3P4G3",
        "rtx-6000-ada: hotplug: it sits in no enclosure",
        "rtx-6000-ada: reset: it drives the console",  # what sits in a slot may
        "rtx-6000-ada: enclosure: it sits in no enclosure",
    }


def test_skips_say_what_is_not_allowed_and_how_to_allow_it(lost):
    assert skips(lost, SECOND) == {
        f"{SECOND}: hotplug: the bench does not allow unplugging (allow.unplug)",
        f"{SECOND}: reset: the bench does not allow resets (allow.reset)",
    }


@pytest.mark.parametrize("what", ["reset", "unplug"])
def test_what_is_not_allowed_is_refused_to_a_test_that_does_not_ask_first(lost, what):
    facts = lost.results()[f"test_{what}_all_the_same[{SECOND}]"]

    assert facts["status"] == "broken"
    assert f"does not allow {what} of {SECOND}: set allow.{what} = true" in facts["statusDetails"]["message"]


def test_the_gentlest_rung_needs_no_consent(lost):
    assert f"{SECOND} after test_unwell_without_consent[{SECOND}]: well again by reopen" in "\n".join(lost.summary())


def test_results_are_valid_json_even_where_the_reason_is_long(lost):
    for path in (lost.folder / "allure").glob("*.json"):
        json.loads(path.read_text())
