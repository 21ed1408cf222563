"""The simulated machine itself: cables, chains, resets, registers, and what the operating system asks of it."""

from __future__ import annotations

import pytest
from sim_rig import MIB, round_numbers

from hil.hosts.base import Event
from hil.hosts.wires.tinygpu import BOOT_0
from hil.sim import profile
from hil.sim.faults.base import Fault, Identity, ResetPlan, Trigger
from hil.sim.machine import DETACH_SECONDS, RESET_SECONDS, RETRY_STATUS, ROUTER_SECONDS, Function, Machine
from hil.sim.memory import SharedMemory

GONE = b"\xff\xff\xff\xff"
FOUND = (0x2684_10DE).to_bytes(4, "little")


@pytest.fixture
def machine() -> Machine:
    return Machine(round_numbers())


@pytest.fixture
def chain() -> Machine:
    return Machine(profile.load("linux-daisy-chain"))


def wait(machine: Machine, seconds: float) -> None:
    machine.clock.sleep("hand", seconds)


def card(machine: Machine, index: int = 0) -> Function:
    function = machine.gpus[index].function
    assert function is not None
    return function


def events(machine: Machine) -> list[Event]:
    seen: list[Event] = []
    machine.listeners.append(seen.append)
    return seen


def reachable(machine: Machine) -> list[bool]:
    return [gpu.reachable for gpu in machine.gpus]


# Cables


def test_a_cable_that_is_pulled_is_felt_at_once_and_noticed_a_moment_later(machine):
    function, seen = card(machine), events(machine)

    machine.detach(machine.enclosures[0])

    assert reachable(machine) == [False, True]
    assert machine.config_read(function, 0, 4) == GONE
    assert function.address in machine.functions
    assert seen == []
    wait(machine, DETACH_SECONDS)
    assert function.address not in machine.functions
    assert {event.action for event in seen} == {"remove"}


def test_pulling_and_pushing_twice_is_pulling_and_pushing_once(machine):
    left = machine.enclosures[0]
    machine.detach(left)
    machine.detach(left)
    wait(machine, 1.0)
    machine.attach(left)
    wait(machine, 5.0)
    plugs, seen = left.plugs, events(machine)

    machine.attach(left)
    wait(machine, 5.0)

    assert left.plugs == plugs
    assert seen == []


def test_an_enclosure_comes_back_router_first_and_on_another_port_elsewhere(machine):
    left, before, seen = machine.enclosures[0], card(machine).address, events(machine)
    machine.detach(left)
    wait(machine, 1.0)
    seen.clear()

    machine.attach(left, 2)
    wait(machine, ROUTER_SECONDS)
    assert {event.subsystem for event in seen} == {"thunderbolt"}
    assert not machine.gpus[0].reachable
    wait(machine, 1.0)

    assert machine.gpus[0].reachable
    assert card(machine).address != before


def test_what_an_attachment_had_in_store_does_not_happen_to_a_later_one(machine):
    left = machine.enclosures[0]
    machine.detach(left)
    wait(machine, 1.0)
    machine.attach(left)
    wait(machine, ROUTER_SECONDS / 2)
    machine.detach(left)
    machine.attach(left)
    wait(machine, ROUTER_SECONDS * 0.75)
    assert not left.visible  # by the first attachment's clock it would be

    wait(machine, 5.0)
    assert reachable(machine) == [True, True]


def test_a_cable_that_was_pushed_and_pulled_again_brings_nothing(machine):
    left = machine.enclosures[0]
    machine.detach(left)
    wait(machine, 1.0)
    machine.attach(left)
    machine.detach(left)
    wait(machine, 10.0)

    assert not left.visible
    assert reachable(machine) == [False, True]


def test_a_chain_goes_and_comes_as_one(chain):
    front, behind = chain.enclosures
    machine_functions = len(chain.functions)
    chain.detach(front)
    assert reachable(chain) == [False, False]
    wait(chain, 1.0)

    chain.attach(front, 1)
    wait(chain, 10.0)

    assert reachable(chain) == [True, True]
    assert (front.port, behind.port) == (1, 1)
    assert len(chain.functions) == machine_functions


def test_the_end_of_a_chain_goes_alone(chain):
    front, behind = chain.enclosures
    chain.detach(behind)
    wait(chain, 1.0)

    assert reachable(chain) == [True, False]
    assert chain.why_not(behind, None) == ""
    assert "hangs behind" in chain.why_not(behind, 1)
    chain.detach(front)
    wait(chain, 1.0)
    assert "is not plugged in" in chain.why_not(behind, None)


def test_a_chain_that_loses_its_authorization_is_down_and_its_end_stays_so(chain):
    front, behind = chain.enclosures
    chain.authorize(front, granted=False)
    assert reachable(chain) == [False, False]
    assert (front.visible, behind.visible) == (True, True)

    chain.authorize(front, granted=True)
    wait(chain, 5.0)

    assert reachable(chain) == [True, False]
    chain.authorize(behind, granted=True)
    wait(chain, 5.0)
    assert reachable(chain) == [True, True]


def test_an_authorization_that_is_taken_back_in_time_brings_nothing(machine):
    left = machine.enclosures[0]
    machine.authorize(left, granted=False)
    machine.authorize(left, granted=True)
    machine.authorize(left, granted=False)
    wait(machine, 5.0)

    assert reachable(machine) == [False, True]


def test_an_enclosure_is_known_by_name_uid_and_the_uid_it_came_back_with():
    class Swapped(Fault):
        name = "swapped"

        def on_attach(self, identity: Identity) -> None:
            identity.uid = "00000000000000ff"

    machine = Machine(round_numbers(), lambda site: [Swapped(Trigger(), site)])
    left = machine.enclosures[0]
    assert machine.enclosure("00000000000000ff") is None
    machine.detach(left)
    machine.attach(left)

    assert machine.enclosure("Left") is left
    assert machine.enclosure("00000000000000aa") is left
    assert machine.enclosure("00000000000000ff") is left


def test_a_card_in_a_slot_can_be_pulled_too_and_no_rescan_finds_it():
    machine = Machine(profile.load("mac-pro-slot"))
    (slot,) = (gpu.index for gpu in machine.gpus if gpu.enclosure is None)
    function = card(machine, slot)

    machine.site.remove(slot)
    machine.site.remove(slot)
    machine.rescan()

    assert not machine.gpus[slot].reachable
    assert machine.config_read(function, 0, 4) == GONE
    assert function.address not in machine.functions


# What the operating system asks


def test_functions_that_were_let_go_are_found_again(machine):
    function = card(machine)
    root = function
    while root.parent is not None:
        root = machine.functions[root.parent]
    lost = {f.address for f in machine.functions.values()}

    machine.remove_function(root.address)
    assert reachable(machine) == [False, True]
    lost -= set(machine.functions)
    assert {root.address, function.address} <= lost
    machine.rescan()

    assert reachable(machine) == [True, True]
    assert lost <= set(machine.functions)


def test_a_rescan_finds_nothing_new_where_nothing_is_missing(machine):
    before, seen = dict(machine.functions), events(machine)

    machine.rescan()

    assert machine.functions == before
    assert seen == []


def test_another_driver_loses_what_was_open(machine):
    generation = machine.gpus[0].generation
    machine.drive(card(machine), "vfio-pci")
    assert card(machine).driver == "vfio-pci"
    assert machine.gpus[0].generation > generation

    audio = next(f for f in machine.functions.values() if f.role == "audio")
    generation = machine.gpus[0].generation
    machine.drive(audio, "")
    assert machine.gpus[0].generation == generation


# Resets


def test_a_function_is_silent_while_it_resets_and_has_forgotten_everything(machine):
    function = card(machine)
    machine.config_write(function, 4, b"\0\0")
    changed = machine.config_read(function, 4, 2)

    plan = machine.reset(function, "flr", restores_config=False)
    assert machine.config_read(function, 0, 4) == GONE
    assert machine.bar_read(function, 0, BOOT_0, 4) == GONE
    wait(machine, plan.seconds)

    assert plan.seconds == RESET_SECONDS
    assert machine.config_read(function, 0, 4) == FOUND
    assert changed == machine.config_read(function, 4, 2) == b"\0\0"


def test_where_the_operating_system_restores_config_space_it_is_as_before(machine):
    function = card(machine)
    before = machine.config_read(function, 0, 256)

    wait(machine, machine.reset(function, "flr", restores_config=True).seconds)

    assert machine.config_read(function, 0, 256) == before


def test_a_reset_of_something_else_does_not_touch_the_card(machine):
    audio = next(f for f in machine.functions.values() if f.role == "audio")

    wait(machine, machine.reset(audio, "flr", restores_config=True).seconds)

    assert machine.gpus[0].generation == 0
    assert audio.ready


class Reset(Fault):
    """Resets go as the test says."""

    name = "reset"

    def __init__(self, site: Machine, **changes: object) -> None:
        super().__init__(Trigger(), site)
        self.changes = changes

    def on_reset(self, plan: ResetPlan) -> None:
        for field, value in self.changes.items():
            setattr(plan, field, value)


def test_a_function_that_is_not_ready_answers_with_retry_status():
    machine = Machine(round_numbers(), lambda site: [Reset(site, retry_status_for=2.0)])
    function = card(machine)
    wait(machine, machine.reset(function, "flr", restores_config=True).seconds)

    assert machine.config_read(function, 0, 4) == RETRY_STATUS.to_bytes(4, "little")
    assert machine.config_read(function, 8, 4) == GONE
    wait(machine, 2.0)
    assert machine.config_read(function, 0, 4) == FOUND


def test_a_reset_that_fails_leaves_the_function_silent_until_it_is_plugged_anew():
    machine = Machine(round_numbers(), lambda site: [Reset(site, succeeds=False)])
    machine.reset(card(machine), "bus", restores_config=True)
    wait(machine, 60.0)
    assert reachable(machine) == [False, True]

    machine.detach(machine.enclosures[0])
    wait(machine, 1.0)
    machine.attach(machine.enclosures[0])
    wait(machine, 10.0)

    assert reachable(machine) == [True, True]


def test_a_card_that_is_pulled_while_it_resets_stays_away(machine):
    function = card(machine)
    plan = machine.reset(function, "flr", restores_config=True)
    machine.detach(machine.enclosures[0])
    wait(machine, plan.seconds)

    assert not function.ready
    assert reachable(machine) == [False, True]


# Registers and memory


def test_registers_are_read_at_any_offset_and_written_in_words(machine):
    function = card(machine)
    boot = machine.gpus[0].spec.boot_0.to_bytes(4, "little")
    assert machine.bar_read(function, 0, BOOT_0, 4) == boot
    assert machine.bar_read(function, 0, BOOT_0 + 1, 2) == boot[1:3]

    machine.bar_write(function, 0, 0x1000, b"abcdefgh" + b"ij")
    machine.bar_write(function, 0, 0x2001, b"abcd")

    assert machine.bar_read(function, 0, 0x1002, 8) == b"cdefgh\0\0"
    assert machine.bar_read(function, 0, 0x2000, 8) == bytes(8)


def test_the_memory_window_shows_the_cards_memory_and_nothing_beyond(machine):
    function, memory = card(machine), machine.gpus[0].memory
    machine.bar_write(function, 1, 100, b"there")
    assert machine.bar_read(function, 1, 99, 7) == b"\0there\0"

    machine.bar_write(function, 1, memory.size - 2, b"over")
    machine.bar_write(function, 1, memory.size + 2, b"beyond")

    assert machine.bar_read(function, 1, memory.size - 3, 6) == b"\0ov\xff\xff\xff"
    assert machine.bar_read(function, 1, memory.size + 2, 2) == b"\xff\xff"


def test_what_is_no_register_of_a_card_takes_and_tells_nothing(machine):
    function = card(machine)
    audio = next(f for f in machine.functions.values() if f.role == "audio")
    bridge = machine.functions[function.parent]

    machine.bar_write(function, 3, 0, b"abcd")
    machine.bar_write(audio, 0, 0, b"abcd")
    machine.bar_write(bridge, 0, 0, b"abcd")

    assert machine.bar_read(function, 3, 0, 4) == bytes(4)
    assert machine.bar_read(audio, 0, 0, 4) == bytes(4)
    assert machine.bar_read(bridge, 0, 0, 4) == GONE
    assert (machine.bar_size(function, 1), machine.bar_size(function, 5)) == (256 * MIB, 0)


def test_with_memory_decoding_off_nothing_answers(machine):
    function = card(machine)
    machine.config_write(function, 4, b"\0\0")

    machine.bar_write(function, 0, 0x1000, b"abcd")

    assert machine.bar_read(function, 0, 0x1000, 4) == GONE
    machine.config_write(function, 4, b"\6\0")
    assert machine.bar_read(function, 0, 0x1000, 4) == bytes(4)


def test_a_reset_asked_for_in_config_space_happens(machine):
    function = card(machine)
    control = next(
        offset for offset in range(0, 256, 2) if function.config.asks_for_reset(offset, b"\x00\x80")
    )  # fmt: skip
    machine.config_write(function, control, b"\x00\x80")

    assert not function.ready
    wait(machine, RESET_SECONDS)
    assert function.ready


def test_what_lost_power_has_forgotten_all_its_memory(machine):
    memory: SharedMemory = machine.gpus[0].memory
    machine.vram_write(machine.gpus[0], memory.size - 4, b"kept")  # where nothing was ever allocated

    machine.detach(machine.enclosures[0])

    assert bytes(memory.view[-4:]) == bytes(4)


def test_the_same_profile_is_the_same_host_and_another_is_not(machine):
    assert Machine(round_numbers()).facts() == machine.facts()
    assert Machine(round_numbers(vram_mib=2048)).boot_id != machine.boot_id
