"""Whatever hangs ends as a result: at its deadline where the machine can tell, else at the backstop."""

from __future__ import annotations

import re
import sys

import pytest
from sim_rig import Rig

from hil.bench import Wish, open_bench, parse
from hil.errors import DeviceHung
from hil.hosts.bench_sections import ActuatorEntry
from hil.hosts.wires.driver import Call
from hil.sim.faults.base import NEVER, Fault, Trigger

BACKSTOP = 4.0
DEADLINE = 7.0
CALLS = [call.name.lower() for call in Call]


class Hangs(Fault):
    """One call of the driver never comes back."""

    name, domain, story, seen_by = "hangs", "driver", "It waits for an interrupt that was lost.", "driver"
    call = ""

    def on_driver_call(self, call):
        if call.name == self.call:
            call.delay = NEVER


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    faults = []

    def make(site):
        faults.append(Hangs(Trigger(), site))
        return faults[0]

    rig = Rig("linux-two-enclosures", make)
    wish = Wish(selection=parse(f"sim:{rig.address}"), folder=tmp_path_factory.mktemp("output"), backstop=BACKSTOP)
    bench = open_bench(wish)
    yield bench, faults[0]
    bench.close()
    rig.close()


@pytest.fixture
def bench(lab):
    yield lab[0]
    lab[1].call = ""


@pytest.fixture
def device(bench):
    return bench.devices[0]


@pytest.mark.parametrize("name", CALLS)
def test_every_call_of_the_driver_that_hangs_ends_at_the_operations_deadline(lab, device, name):
    bench, fault = lab
    fault.call = name
    began = bench.machine_now()

    with pytest.raises(DeviceHung, match=rf"by its deadline of 7 s; it hangs in driver call {name}\. Its"):
        device.bare_call("tests.hanging_operations:call", deadline=DEADLINE, name=name)

    assert bench.machine_now() - began <= DEADLINE + 2.0
    fault.call = ""
    assert device.call("session:memory")[1] > 0


def test_what_burns_time_without_asking_for_it_ends_at_the_backstop(bench, device):
    with pytest.raises(DeviceHung, match=r"burn on .* did not come back within [\d.]+ s of real time") as caught:
        device.bare_call("tests.hanging_operations:burn", deadline=DEADLINE)

    seconds = float(re.search(r"within ([\d.]+) s", str(caught.value))[1])
    assert BACKSTOP <= seconds <= BACKSTOP + 2.0
    assert "in burn (" in str(caught.value)
    assert device.call("session:memory")[1] > 0


def test_a_hang_of_the_hosts_own_process_is_named_and_the_bench_goes_on(bench, device):
    bench.notes.clear()
    bench.supplies.off(device)

    with pytest.raises(DeviceHung, match=r"wait on the host did not come back by its deadline of 7 s; it hangs in"):
        bench.host_call("tests.hanging_operations:wait", deadline=DEADLINE)

    assert bench.supplies.restore() == []
    assert device.probe() == ""
    (note,) = bench.notes
    assert note.startswith("the host's own process had to be started again: killed because ")
    assert "wait hung" in note


def test_an_actuator_that_hangs_costs_its_call_and_not_the_bench(bench, device, monkeypatch, tmp_path):
    package = tmp_path / "labgrid" / "driver" / "power"
    package.mkdir(parents=True)
    for folder in (package, package.parent, package.parent.parent):
        (folder / "__init__.py").write_text("")
    (package / "stuck.py").write_text("import time\ndef power_get(*_): time.sleep(600)\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    outlet = ActuatorEntry(kind="pdu", enclosure="TH3P4G3", options={"model": "stuck", "host": "10.0.0.1"})
    bench._host.close()  # the next one has the path
    monkeypatch.setattr(bench, "actuators", (outlet,))

    with pytest.raises(DeviceHung, match=r"hosting:power on the host did not come back within .* in power_get \("):
        bench.supplies.off(bench.device("rtx-4090-th3p4g3"))

    monkeypatch.undo()
    assert bench.supplies.restore() == []
    assert bench.device("rtx-4090-th3p4g3").probe() == ""
