"""The simulated TinyGPU server, spoken to in its raw protocol over a socket pair."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hil.hosts.wires.frames import receive_exactly
from hil.hosts.wires.tinygpu import BOOT_0, BOOT_42, MMIO_BURST_LIMIT, REQUEST, RESPONSE, Command
from hil.sim import profile
from hil.sim.faults.base import Fault, ResetPlan, Trigger
from hil.sim.machine import RESET_SECONDS, Machine
from hil.sim.tinygpu import NO_DRIVER, serve_tinygpu

COMMAND = 4


class BadReset(Fault):
    """Resets of some kinds fail."""

    name = "bad-reset"

    def __init__(self, machine: Machine, *kinds: str) -> None:
        super().__init__(Trigger(), machine)
        self.kinds = kinds

    def on_reset(self, plan: ResetPlan) -> None:
        plan.succeeds = plan.kind not in self.kinds


class Client:
    """Asks and reads answers."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def send(self, command: int, bar: int = 0, *arguments: int, payload: bytes = b"") -> None:
        self.sock.sendall(REQUEST.pack(command, 0, bar, *(*arguments, 0, 0, 0)[:3]) + payload)

    def ask(self, command: int, bar: int = 0, *arguments: int, payload: bytes = b"") -> tuple[int, int, int]:
        self.send(command, bar, *arguments, payload=payload)
        return RESPONSE.unpack(receive_exactly(self.sock, RESPONSE.size))

    def read(self, bar: int, offset: int, size: int) -> bytes:
        assert self.ask(Command.MMIO_READ, bar, offset, size) == (0, size, 0)
        return receive_exactly(self.sock, size)


@contextmanager
def connected(machine: Machine) -> Iterator[Client]:
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs:
            serve_tinygpu(machine, theirs, "test")

    thread = threading.Thread(target=serve)
    thread.start()
    with ours:
        ours.settimeout(10)
        yield Client(ours)
    thread.join(10)
    assert not thread.is_alive()
    assert machine.on_change == []


@pytest.fixture
def machine() -> Machine:
    return Machine(profile.load("macbook-pro-usb4"))


def filters(*pairs: tuple[int, int]) -> bytes:
    return b"".join(struct.pack("<II", *pair) for pair in pairs)


def test_a_probe_names_the_card_that_fits(machine):
    wanted = filters((0xFF00, 0x2600), (0xFF00, 0x2700))
    with connected(machine) as client:
        status, nbytes, count = client.ask(Command.PROBE, 0, 3, len(wanted), 0x10DE, payload=wanted)
        assert (status, count) == (0, 1)
        assert receive_exactly(client.sock, nbytes) == b"0000:04:00.0:0"


@pytest.mark.parametrize(
    ("base_class", "vendor", "pairs"),
    [(3, 0x1002, [(0xFF00, 0x2700)]), (4, 0x10DE, [(0xFF00, 0x2700)]), (3, 0x10DE, [(0xFF00, 0x2B00)]), (0, 0, [])],
)
def test_a_probe_for_something_else_finds_nothing(machine, base_class, vendor, pairs):
    wanted = filters(*pairs)
    with connected(machine) as client:
        assert client.ask(Command.PROBE, 0, base_class, len(wanted), vendor, payload=wanted) == (0, 0, 0)


def test_a_probe_with_absurd_filters_is_refused_and_the_stream_stays_in_step(machine):
    with connected(machine) as client:
        assert client.ask(Command.PROBE, 0, 3, 1 << 17, 0x10DE, payload=bytes(1 << 17)) == (1, 0, 0)
        assert client.ask(Command.CFG_READ, 0, 0, 4) == (0, 0x2704_10DE, 0)


def test_config_space_is_read_and_written_in_words(machine):
    with connected(machine) as client:
        assert client.ask(Command.CFG_READ, 0, 0, 2) == (0, 0x10DE, 0)
        assert client.ask(Command.CFG_WRITE, 0, COMMAND, 2, 0xFFFF_0002) == (0, 0, 0)
        assert client.ask(Command.CFG_READ, 0, COMMAND, 2) == (0, 0x0002, 0)


@pytest.mark.parametrize("command", [Command.CFG_READ, Command.CFG_WRITE])
@pytest.mark.parametrize(("offset", "size"), [(0, 3), (0, 8), (4094, 4)])
def test_config_accesses_of_other_sizes_are_refused(machine, command, offset, size):
    with connected(machine) as client:
        assert client.ask(command, 0, offset, size) == (1, 0, 0)


def test_registers_and_memory_are_reached_through_mapped_bars(machine):
    with connected(machine) as client:
        status, address, size = client.ask(Command.MAP_BAR, 0)
        assert (status, size) == (0, 16 << 20)
        assert address != client.ask(Command.MAP_BAR, 1)[1]
        assert int.from_bytes(client.read(0, BOOT_0, 4), "little") == 0x193000A1
        assert int.from_bytes(client.read(0, BOOT_42, 4), "little") == 0x19300000
        client.send(Command.MMIO_WRITE, 1, 0x2000, 8, payload=b"abcdefgh")
        assert client.read(1, 0x1FFE, 12) == b"\0\0abcdefgh\0\0"


def test_a_bar_that_was_not_mapped_or_is_not_there_is_refused(machine):
    with connected(machine) as client:
        assert client.ask(Command.MMIO_READ, 1, 0, 4) == (1, 0, 0)
        assert client.ask(Command.MAP_BAR, 2) == (1, 0, 0)
        assert client.ask(Command.MAP_BAR, 77) == (1, 0, 0)


@pytest.mark.parametrize(("offset", "size"), [((256 << 20) - 2, 4), (1 << 63, 4), (0, MMIO_BURST_LIMIT + 4)])
def test_reads_past_the_end_or_the_limit_are_refused_without_a_text(machine, offset, size):
    with connected(machine) as client:
        client.ask(Command.MAP_BAR, 1)
        assert client.ask(Command.MMIO_READ, 1, offset, size) == (1, 0, 0)


def test_a_write_that_fails_is_dropped_without_a_word(machine):
    with connected(machine) as client:
        client.send(Command.MMIO_WRITE, 1, 0, 4, payload=b"lost")
        client.ask(Command.MAP_BAR, 1)
        client.send(Command.MMIO_WRITE, 1, (256 << 20) - 2, 4, payload=b"lost")
        assert client.read(1, 0, 4) == bytes(4)
        assert client.read(1, (256 << 20) - 4, 4) == bytes(4)


def test_a_reset_takes_its_time_and_leaves_the_config_cleared(machine):
    with connected(machine) as client:
        client.ask(Command.MAP_BAR, 0)
        begin = machine.clock.now()

        assert client.ask(Command.RESET) == (0, 0, 0)

        assert machine.clock.now() - begin == pytest.approx(RESET_SECONDS)
        assert client.ask(Command.CFG_READ, 0, COMMAND, 2) == (0, 0, 0)
        assert client.ask(Command.CFG_READ, 0, 0x10, 4) == (0, 0, 0)
        assert client.read(0, BOOT_0, 4) == b"\xff" * 4


@pytest.mark.parametrize(("kinds", "status"), [(("flr",), 0), (("flr", "bus"), 1)])
def test_a_hot_reset_is_tried_where_the_function_level_reset_fails(kinds, status):
    machine = Machine(profile.load("macbook-pro-usb4"), lambda m: [BadReset(m, *kinds)])
    with connected(machine) as client:
        assert client.ask(Command.RESET) == (status, 0, 0)
        assert machine.clock.now() == pytest.approx(2 * RESET_SECONDS)


def test_resizing_does_nothing_and_says_so_well(machine):
    with connected(machine) as client:
        assert client.ask(Command.RESIZE_BAR, 1) == (0, 0, 0)
        assert client.ask(Command.MAP_BAR, 1)[2] == 256 << 20


@pytest.mark.parametrize("command", [Command.PING, Command.MAP_SYSMEM, Command.MAP_SYSMEM_FD, Command.SYSMEM_READ, 200])
def test_what_the_server_does_not_do_is_refused(machine, command):
    with connected(machine) as client:
        assert client.ask(command, 0, 4096) == (1, 0, 0)


def test_a_card_that_leaves_ends_the_connection_even_of_a_client_that_waits(machine):
    with connected(machine) as client:
        client.ask(Command.MAP_BAR, 0)
        with machine.clock.lock:
            machine.site.remove(0)
        assert client.sock.recv(1) == b""


def test_a_card_that_came_back_meanwhile_is_another_one(machine):
    with connected(machine) as client:
        client.ask(Command.MAP_BAR, 0)
        with machine.clock.lock:
            machine.site.remove(0)
        machine.clock.sleep("cable", 0.1)
        with machine.clock.lock:
            machine.attach(machine.enclosures[0])
        machine.clock.sleep("cable", 3.0)
        assert client.sock.recv(1) == b""
    with connected(machine) as again:
        assert again.ask(Command.CFG_READ, 0, 0, 4) == (0, 0x2704_10DE, 0)


def test_a_machine_that_is_switched_off_during_a_reset_ends_the_session(machine):
    machine.clock.switch_off()
    with connected(machine) as client:
        client.send(Command.RESET)
        assert client.sock.recv(1) == b""


@pytest.mark.parametrize("payload", [b"", b"12345678"])
def test_without_a_card_the_first_request_is_answered_with_advice_and_a_hang_up(machine, payload):
    machine.site.remove(0)
    machine.clock.sleep("cable", 0.1)
    with connected(machine) as client:
        assert client.ask(Command.PROBE, 0, 0, len(payload), payload=payload) == (1, len(NO_DRIVER), 0)
        assert receive_exactly(client.sock, len(NO_DRIVER)).decode() == NO_DRIVER
        assert client.sock.recv(1) == b""


def test_an_extension_that_waits_for_approval_is_no_driver(machine):
    machine.face.extension = "activated waiting for user"
    with connected(machine) as client:
        assert client.ask(Command.CFG_READ, 0, 0, 4)[0] == 1


def test_a_client_that_hangs_up_at_once_is_no_matter(machine):
    with connected(machine):
        pass
    machine.site.remove(0)
    with connected(machine):
        pass


def test_the_first_card_behind_a_tunnel_is_served_before_one_in_a_slot():
    known = profile.load("macbook-pro-usb4")
    internal = known.gpu[0].model_copy(
        update={"enclosure": "", "device_id": 0x2684, "uuid": "GPU-00000000-0000-0000-0000-000000000001"}
    )
    machine = Machine(known.model_copy(update={"gpu": (internal, known.gpu[0])}))
    with connected(machine) as client:
        assert client.ask(Command.CFG_READ, 0, 2, 2)[1] == 0x2704
    machine.site.remove(1)
    with connected(machine) as client:
        assert client.ask(Command.CFG_READ, 0, 2, 2)[1] == 0x2684
