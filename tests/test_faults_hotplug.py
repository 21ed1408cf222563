"""Faults of plugging: who comes back, how much of it, who is told, and a cable that is pulled by itself."""

from __future__ import annotations

import pytest
from fault_rig import GPU, LINUX, MAC, machine_of
from machine_host import MachineHost
from sim_rig import rigs, round_numbers, there_and_back

from hil.discovery import discover
from hil.errors import DeviceGone
from hil.hosts.base import Event
from hil.sim.faults.base import Departure, Fault, Identity, Trigger
from hil.sim.machine import Machine

NAMES = ("half-enumerated", "identity-changed", "no-event", "surprise-removal")
AUDIO = GPU[:-1] + "1"


@pytest.fixture
def switch_on():
    with rigs() as start:
        yield start


def wait(machine: Machine, seconds: float = 10.0) -> None:
    machine.clock.sleep("hand", seconds)


def replug(machine: Machine, index: int = 0) -> list[Event]:
    """Out and in again, with time for both; what the host told."""
    seen: list[Event] = []
    machine.listeners.append(seen.append)
    enclosure = machine.enclosures[index]
    machine.detach(enclosure)
    wait(machine)
    machine.attach(enclosure)
    wait(machine)
    return seen


def found(machine: Machine):
    return discover(MachineHost(machine))


# Half enumerated ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", [LINUX, MAC])
def test_without_its_tunnel_an_enclosure_is_a_router_and_nothing_else(profile):
    machine = machine_of(profile, "half-enumerated:missing=tunnel,gpu=0")

    replug(machine)

    assert machine.enclosures[0].visible
    assert machine.enclosures[0].functions == []
    assert not machine.gpus[0].reachable


@pytest.mark.parametrize(("part", "left"), [("gpu", [AUDIO]), ("audio", [GPU])])
def test_a_function_that_is_missing_is_missed_by_no_other(part, left):
    machine = machine_of(LINUX, f"half-enumerated:missing={part},gpu=0")
    before = set(machine.functions)

    replug(machine)

    assert before - set(machine.functions) == {GPU, AUDIO} - set(left)
    assert machine.gpus[0].driven is (part == "audio")


def test_usb_that_does_not_come_up_leaves_the_card_as_it_is(switch_on):
    rig = switch_on(LINUX, "half-enumerated:missing=usb,gpu=0")
    backend = rig.host().usb_backend()
    before = len(list(backend.enumerate_devices()))

    rig.do(rig.machine.detach, rig.machine.enclosures[0])
    rig.host().clock.sleep(1.0)
    rig.do(rig.machine.attach, rig.machine.enclosures[0])
    rig.host().clock.sleep(10.0)

    assert rig.machine.gpus[0].driven
    assert len(list(backend.enumerate_devices())) < before


def test_a_card_without_room_for_its_memory_is_shown_and_taken_by_no_driver():
    machine = machine_of(LINUX, "half-enumerated:missing=memory-bar,gpu=0")

    replug(machine)

    lines = [line.text for line in machine.lines]
    resource = machine.tree.read(f"/sys/bus/pci/devices/{GPU}/resource").decode().splitlines()
    assert not machine.gpus[0].driven
    assert resource[1] == "0x0000000000000000 0x0000000000000000 0x0000000000000000"
    assert f"NVRM: BAR1 is 0M @ 0x0 (PCI:{GPU})" in lines
    assert f"pci {GPU}: BAR 1 [mem size 0x10000000 64bit pref]: can't assign; no space" in lines


def test_on_a_mac_the_extension_leaves_a_card_without_memory_alone(switch_on):
    rig = switch_on(MAC, "half-enumerated:missing=memory-bar")

    rig.do(rig.machine.detach, rig.machine.enclosures[0])
    rig.host().clock.sleep(1.0)
    rig.do(rig.machine.attach, rig.machine.enclosures[0])
    rig.host().clock.sleep(10.0)

    assert rig.machine.gpus[0].reachable
    with pytest.raises(DeviceGone):
        rig.engine()


def test_what_is_missing_once_is_there_the_next_time():
    machine = machine_of(LINUX, "half-enumerated:missing=gpu,gpu=0,times=1")

    replug(machine)
    replug(machine)

    assert machine.gpus[0].driven


def test_the_other_enclosure_comes_back_whole():
    machine = machine_of(LINUX, "half-enumerated:missing=tunnel,gpu=0")

    replug(machine, 1)

    assert machine.gpus[1].driven


# Events ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("of", "told"), [("attach", {"remove"}), ("detach", {"add"})])
def test_what_is_not_announced_is_shown_all_the_same(of, told):
    machine = machine_of(LINUX, f"no-event:of={of}")
    before = set(machine.functions)

    seen = replug(machine)

    assert {event.action for event in seen} == told
    assert set(machine.functions) == before
    assert machine.gpus[0].driven


def test_an_attach_that_is_not_noticed_shows_nothing_at_all():
    machine = machine_of(LINUX, "no-event:of=attach,lost=interrupt")

    seen = replug(machine)

    assert {event.action for event in seen} == {"remove"}
    assert not machine.enclosures[0].visible
    assert GPU not in machine.functions


def test_a_detach_that_is_not_noticed_leaves_what_is_not_there_until_it_is_back():
    machine = machine_of(LINUX, "no-event:of=detach,lost=interrupt,times=1")
    machine.detach(machine.enclosures[0])
    wait(machine)
    stale = machine.functions[GPU]
    assert machine.enclosures[0].visible
    assert machine.config_read(stale, 0, 4) == b"\xff" * 4

    machine.attach(machine.enclosures[0])
    wait(machine)

    assert machine.functions[GPU] is not stale
    assert machine.gpus[0].driven


# Identity -------------------------------------------------------------------------------------------------------------


def test_an_enclosure_that_calls_itself_something_else_is_found_under_that():
    machine = machine_of(LINUX, "identity-changed:what=uid,gpu=0")
    before = [enclosure.router.uid for enclosure in found(machine).enclosures]

    replug(machine)

    after = [enclosure.router.uid for enclosure in found(machine).enclosures]
    assert machine.enclosures[0].uid not in before
    assert set(after) - set(before) == {machine.enclosures[0].uid}


def test_a_card_on_another_path_sits_behind_a_bridge_more():
    machine = machine_of(LINUX, "identity-changed:what=path,gpu=0")
    slot = machine.functions[GPU].parent

    replug(machine)

    moved = machine.gpus[0].function
    assert machine.gpus[0].driven
    assert machine.functions[moved.parent].parent == slot


def test_a_fault_chooses_the_slot_that_a_card_shows_itself_in():
    class Slides(Fault):
        name = "slides"

        def on_attach(self, identity: Identity) -> None:
            identity.slot = 2

    machine = Machine(machine_of(LINUX).profile, lambda site: [Slides(Trigger(), site)])

    replug(machine)

    assert machine.gpus[0].driven
    assert machine.gpus[0].function.parent.endswith(":03.0")


def test_a_card_with_another_uuid_is_another_card():
    machine = machine_of(LINUX, "identity-changed:what=card,gpu=0")
    serial = machine.functions[GPU].config.read(0x154, 8)

    replug(machine)

    assert machine.gpus[0].identity.uuid != machine.gpus[0].spec.uuid
    assert machine.functions[GPU].config.read(0x154, 8) != serial


def test_two_enclosures_may_answer_under_each_others_id():
    machine = machine_of(LINUX, "identity-changed:what=swapped,gpu=0")
    own = [enclosure.uid for enclosure in machine.enclosures]

    replug(machine)

    assert [enclosure.uid for enclosure in machine.enclosures] == own[::-1]


def test_where_there_is_one_enclosure_nothing_is_swapped():
    machine = machine_of(MAC, "identity-changed:what=swapped")

    replug(machine)

    assert machine.hooks.faults[0].struck == 0
    assert machine.gpus[0].driven


def test_the_next_replug_shows_what_it_is_again():
    machine = machine_of(LINUX, "identity-changed:what=card,gpu=0")

    replug(machine)
    replug(machine)

    assert machine.gpus[0].identity == machine.gpus[0].own_identity()


# By itself ------------------------------------------------------------------------------------------------------------


def test_an_idle_cable_is_pulled_at_its_time():
    machine = machine_of(LINUX, "surprise-removal:phase=idle,at_time=3")

    wait(machine, 2.9)
    assert machine.gpus[0].reachable
    wait(machine, 0.2)

    assert [gpu.reachable for gpu in machine.gpus] == [False, True]


def test_an_idle_cable_is_pulled_again_once_it_is_in():
    machine = machine_of(LINUX, "surprise-removal:phase=idle,at_time=3,times=2,gpu=1")
    wait(machine, 3.5)
    machine.attach(machine.enclosures[1])
    wait(machine, 2.0)
    assert machine.gpus[1].reachable

    wait(machine, 1.0)

    assert not machine.gpus[1].reachable
    assert machine.hooks.faults[0].struck == 2


@pytest.mark.parametrize("phase", ["copy", "allocation"])
def test_a_cable_is_pulled_in_the_middle_of_something(switch_on, phase):
    rig = switch_on(None, f"surprise-removal:phase={phase}")

    with pytest.raises(DeviceGone):
        there_and_back(rig)


# For faults that nobody has thought of --------------------------------------------------------------------------------


def test_a_fault_chooses_when_and_where_an_enclosure_shows_up():
    class Wanders(Fault):
        name = "wanders"

        def on_attach(self, identity: Identity) -> None:
            identity.port, identity.seconds = 2, 20.0

    machine = Machine(round_numbers(), lambda site: [Wanders(Trigger(), site)])

    replug(machine)
    assert not machine.enclosures[0].visible
    wait(machine, 20.0)

    assert machine.enclosures[0].port == 2
    assert machine.gpus[0].driven


def test_a_port_that_is_taken_is_not_moved_to():
    class Pushes(Fault):
        name = "pushes"

        def on_attach(self, identity: Identity) -> None:
            identity.port = 1

    machine = Machine(machine_of(LINUX).profile, lambda site: [Pushes(Trigger(), site)])
    ports = [enclosure.port for enclosure in machine.enclosures]

    replug(machine)

    assert [enclosure.port for enclosure in machine.enclosures] == ports


def test_a_fault_lets_a_connector_lose_contact_and_find_it_again():
    class Rattles(Fault):
        name = "rattles"

        def armed(self) -> None:
            self.site.after(1.0, lambda: self.site.remove(0))
            self.site.after(2.0, lambda: self.site.replug(0))

    machine = Machine(machine_of(LINUX).profile, lambda site: [Rattles(Trigger(), site)])

    wait(machine, 1.5)
    assert not machine.gpus[0].reachable
    wait(machine, 5.0)

    assert machine.gpus[0].driven


def test_a_departure_names_the_cards_that_go():
    seen: list[Departure] = []

    class Looks(Fault):
        name = "looks"

        def on_departure(self, departure: Departure) -> None:
            seen.append(departure)

    machine = Machine(machine_of(LINUX).profile, lambda site: [Looks(Trigger(), site)])

    machine.detach(machine.enclosures[1])

    assert [(one.enclosure, one.gpus) for one in seen] == [(machine.enclosures[1].spec.name, [1])]
