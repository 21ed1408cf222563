"""The recovery ladder: which rung helps against what, what is seen at each, and what must not be climbed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pytest_runs import eventually
from sim_rig import Rig

from hil.bench import Wish, open_bench, parse
from hil.bench.operations import evidence
from hil.bench.recovery import LADDER, told
from hil.errors import BenchFault, NotPermitted, NotSupported
from hil.hosts.bench_sections import ActuatorEntry, Allow
from hil.sim.faults.base import Fault, Trigger

FIRST, SECOND = "rtx-4090-th3p4g3", "rtx-6000-ada-egpu-node-titan"
RUNGS = ["reopen", "reset", "driver rebind", "sleep and wake", "replug", "cold cycle"]


class Stuck(Fault):
    """A card that answers all ones until one particular thing is done to it."""

    name, domain, story, seen_by = "stuck", "reset", "It is stuck.", "driver"
    cured_by = ""

    def __init__(self, parameters, site):
        super().__init__(parameters, site)
        self.stuck, self.gpu = False, 0

    def on_config_read(self, address, offset, data):
        sick = self.stuck and self.site.gpu_at(address) == self.gpu
        return b"\xff" * len(data) if sick else data

    def done(self, what):
        self.stuck = self.stuck and what != self.cured_by

    def on_reset(self, plan):
        self.done("reset")

    def on_file_write(self, path, data):
        if path.endswith("/bind"):
            self.done("driver rebind")
        return data

    def on_sleep(self, nap):
        self.done("sleep and wake")

    def on_attach(self, identity):
        self.done("replug")

    def on_supply(self, enclosure, on):
        if on:
            self.done("cold cycle")


class Lab:
    """A bench on a served machine with one stuck card on it."""

    def __init__(self, folder, profile: str) -> None:
        def make(site):
            self.fault = Stuck(Trigger(), site)
            return self.fault

        self.rig = Rig(profile, make)
        self.bench = open_bench(Wish(selection=parse(f"sim:{self.rig.address}"), folder=folder, inline=True))
        self.device = self.bench.devices[0]

    def strike(self, cured_by: str) -> None:
        gpu = self.rig.machine.site.gpu_at(self.device.facts.gpu.function.address)
        self.rig.do(lambda: self.fault.__dict__.update(stuck=True, cured_by=cured_by, gpu=gpu))

    def close(self) -> None:
        self.bench.close()
        self.rig.close()


@pytest.fixture(scope="module")
def labs(tmp_path_factory):
    made: dict[str, Lab] = {}

    def lab(profile: str) -> Lab:
        if profile not in made:
            made[profile] = Lab(tmp_path_factory.mktemp("output"), profile)
        return made[profile]

    yield lab
    for lab_ in made.values():
        lab_.close()


@pytest.fixture
def linux(labs):
    lab = labs("linux-two-enclosures")
    yield lab
    lab.rig.do(lambda: lab.fault.__dict__.update(stuck=False))
    lab.device.quarantine, lab.device.story = "", []
    lab.device.ensure_healthy()
    lab.device.story = []


def usable(device) -> bool:
    return device.call("session:memory")[1] > 0


@pytest.mark.parametrize("cure", RUNGS[1:])
def test_the_ladder_ends_at_the_rung_that_helps(linux, cure):
    linux.strike(cure)

    linux.device.ensure_healthy()

    climbed = linux.device.story
    assert [rung.name for rung in climbed] == RUNGS[: RUNGS.index(cure) + 1]
    assert [rung.ok for rung in climbed] == [False] * RUNGS.index(cure) + [True]
    assert climbed[-1].sentence == "well again after: its vendor id reads as all ones"
    assert usable(linux.device)
    assert linux.bench.device(SECOND).probe() == ""


def test_every_rung_has_its_evidence(linux):
    linux.strike("cold cycle")
    linux.device.ensure_healthy()

    first, *_, replug, cold = linux.device.story
    assert first.before["health probe"] == "its vendor id reads as all ones"
    assert first.before["vendor and device id"] == "0xffffffff"
    assert replug.before["BARs"] == " ".join(["0xffffffff"] * 6)
    assert any("pciehp" in line or "thunderbolt" in line for line in replug.log)
    assert 1.4 < replug.seconds < replug.within
    assert cold.seconds > 10.0  # without supply
    assert (cold.after["vendor and device id"], cold.after["COMMAND"]) == ("0x268410de", "0x0006")
    assert cold.after["link"] == "16 GT/s x4"
    assert cold.after["health probe"] == "well"
    text = told(linux.device.story)
    assert "    vendor and device id: 0xffffffff → 0x268410de" in text
    assert f"    took {cold.seconds:.3f} s of at most 95 s" in text


def test_a_rung_that_is_not_allowed_is_not_climbed(linux, monkeypatch):
    linux.strike("cold cycle")
    monkeypatch.setattr(linux.bench, "allow", Allow(reset=True))

    with pytest.raises(BenchFault, match=f"{FIRST} is quarantined: it is not well .its vendor id .* nothing helped"):
        linux.device.ensure_healthy()

    assert [(rung.name, rung.sentence) for rung in linux.device.story if not rung.tried] == [
        ("driver rebind", "not tried: the bench does not allow to take it from the kernel (allow.unbind)"),
        ("sleep and wake", "not tried: the bench does not allow the host to be put to sleep (allow.sleep)"),
        ("replug", "not tried: the bench does not allow unplugging (allow.unplug)"),
        ("cold cycle", "not tried: the bench does not allow cutting a supply (allow.power_cycle)"),
    ]
    assert linux.device.story[-1].seconds == 0.0
    with pytest.raises(NotPermitted, match=r"allow\.power_cycle = true"):
        linux.bench.supplies.off(linux.device)


def test_an_actuator_is_chosen_by_what_it_can_do(linux, monkeypatch):
    entries = linux.bench.actuators
    outlet = ActuatorEntry(kind="pdu", enclosure="TH3P4G3", options={"model": "gude", "host": "outlet"})
    monkeypatch.setattr(linux.bench, "actuators", (outlet, *entries))
    linux.strike("replug")

    linux.device.ensure_healthy()

    assert linux.device.story[-1].name == "replug"
    monkeypatch.setattr(linux.bench, "actuators", (outlet,))
    assert linux.bench.plugs.cannot_unplug(linux.device).startswith("no actuator of the bench acts on its enclosure")
    monkeypatch.setattr(linux.bench, "actuators", ())
    reason = "no actuator of the bench switches the supply of its enclosure TH3P4G3"
    assert linux.bench.supplies.cannot_cycle(linux.device) == reason
    with pytest.raises(NotSupported, match="switch it by hand, or name an actuator that can"):
        linux.bench.supplies.off(linux.device)


def test_an_outlet_that_cannot_be_reached_is_told_and_the_ladder_ends(linux, monkeypatch):
    outlet = ActuatorEntry(kind="pdu", enclosure="TH3P4G3", options={"model": "gude"})
    monkeypatch.setattr(linux.bench, "actuators", (outlet,))
    linux.strike("cold cycle")

    with pytest.raises(BenchFault, match="cold cycle: actuator pdu: host = None; expected the address or URL"):
        linux.device.ensure_healthy()
    monkeypatch.undo()
    assert linux.bench.supplies.restore() == []


def test_what_is_switched_off_is_noted_and_given_back(linux):
    bench, device = linux.bench, linux.device
    gone = bench.supplies.off(device)
    noted = bench.left._states[device.facts.id]["powered off"]
    complaints = bench.supplies.restore()

    assert 0 < gone < 5
    assert [(away["enclosure"]["device_name"], away["gpus"]) for away in noted] == [("TH3P4G3", 1)]
    assert complaints == []
    assert "powered off" not in bench.left._states[device.facts.id]
    assert usable(device)


def test_devices_behind_the_same_enclosure_are_found_again(labs):
    lab = labs("linux-daisy-chain")
    front, behind = lab.device, lab.bench.devices[1]
    assert usable(behind)
    lab.strike("cold cycle")

    front.ensure_healthy()

    assert front.story[-1].name == "cold cycle"
    assert behind.probe() == ""
    assert usable(behind)


def test_a_slot_has_neither_cable_nor_supply_of_its_own(labs):
    device = labs("linux-two-enclosures").device
    lonely = type(device)(device.bench, replace(device.facts, gpu=None, engine=""))

    assert {step.name: step.forbidden(lonely) for step in LADDER} == {
        "reopen": "",
        "reset": "it is no GPU of the inventory",
        "driver rebind": "it is no GPU of the inventory",
        "sleep and wake": "it is no GPU of the inventory",
        "replug": "it sits in no enclosure",
        "cold cycle": "it sits in no enclosure",
    }


def test_a_reset_on_a_mac_puts_back_the_config_space_that_it_had_when_it_was_well(labs):
    lab = labs("macbook-pro-usb4")
    lab.device.ensure_healthy()
    lab.strike("reset")

    lab.device.ensure_healthy()

    assert lab.device.story[-1].name == "reset"
    assert lab.device.story[-1].after["COMMAND"] == "0x0006"
    lab.device.story.clear()


def test_a_mac_has_no_driver_to_rebind(labs):
    lab = labs("macbook-pro-usb4")
    lab.strike("cold cycle")

    lab.device.ensure_healthy()

    assert [rung.name for rung in lab.device.story if not rung.tried] == ["driver rebind"]
    assert lab.device.story[-1].name == "cold cycle"
    assert eventually(lambda: lab.device.probe() == "")


def test_what_cannot_be_read_says_why(linux):
    linux.bench.plugs.detach(linux.device)
    linux.device.ensure_healthy()

    assert linux.device.story[0].before["registers"].startswith("cannot be reached: opening 0000:24:00.0")
    assert linux.bench.host_call("evidence:seen") == []  # nobody had asked to watch


def test_one_reading_that_fails_costs_no_other():
    class Locked:
        def config_read(self, offset, size):
            if offset:
                raise BenchFault("only root may read so far")
            return b"\xde\x10\x84\x26"

    told = {name: evidence._told(read, Locked()) for name, read in evidence._READINGS.items()}

    assert told["vendor and device id"] == "0x268410de"
    assert {text for name, text in told.items() if name != "vendor and device id"} == {
        "cannot be read: only root may read so far"
    }
