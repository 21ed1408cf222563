"""The TinyGPU client against a server of the protocol that was written apart and speaks raw bytes."""

from __future__ import annotations

import errno
import socket
import struct
import tempfile
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from hil.errors import BenchFault, DeviceGone, DriverError, NotSupported
from hil.model import Gpu, PciFunction
from hil.pci import (
    FunctionAccess,
    TinyGpuFunction,
    differences,
    identify,
    open_function,
    open_tinygpu,
    presence,
    restore,
    snapshot,
    socket_path,
)
from hil.pci import tinygpu as client
from tests.files_host import FilesHost, refused
from tests.pci_device import config_space

if TYPE_CHECKING:
    from collections.abc import Iterator

BDF = "0000:64:00.0"
GPU = Gpu(id="g", name="RTX", function=PciFunction(address=BDF, vendor_id=0x10DE, device_id=0x2704))
NO_DRIVER = b"Driver not available. Check: System Report > PCI for GPU, System Settings > Privacy & Security."


class RawServer(threading.Thread):
    """A TinyGPU server with one client: answers bytes by bytes, knows nothing of the client's code."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(daemon=True)
        self.sock = sock
        self.config = config_space()
        self.bars = {0: bytearray(0x2000), 1: bytearray(64)}
        struct.pack_into("<I", self.bars[0], 0x0, 0x192000A1)
        struct.pack_into("<I", self.bars[0], 0xA00, 0x19200000)
        self.mapped: set[int] = set()
        self.commands: list[int] = []
        self.probe_answer = struct.pack("<BQQ", 1, 0, 0)
        self.answers: dict[int, bytes] = {}
        self.leaves_at: int | None = None

    def run(self) -> None:
        with self.sock:
            while len(head := self._take(33)) == 33:
                command, _device, bar, a0, a1, a2 = struct.unpack("<BIIQQQ", head)
                self.commands.append(command)
                if command == self.leaves_at:
                    return
                answer = self.answers.get(command) or self._answer(command, bar, a0, a1, a2)
                if answer:
                    self.sock.sendall(answer)

    def _take(self, count: int) -> bytes:
        data = b""
        while len(data) < count and (part := self.sock.recv(count - len(data))):
            data += part
        return data

    def _answer(self, command: int, bar: int, a0: int, a1: int, a2: int) -> bytes:
        if command == 0:
            return self.probe_answer
        good, bad = struct.pack("<BQQ", 0, 0, 0), struct.pack("<BQQ", 1, 0, 0)
        if command in {1, 6, 7}:
            return self._bar(command, bar, a0, a1) if bar in self.bars else bad
        if command == 3:
            return struct.pack("<BQQ", 0, int.from_bytes(self.config[a0 : a0 + a1], "little"), 0)
        if command == 4:
            self.config[a0 : a0 + a1] = a2.to_bytes(8, "little")[:a1]
        if command == 5:
            self.config[4:6] = bytes(2)
        return good

    def _bar(self, command: int, bar: int, a0: int, a1: int) -> bytes:
        if command == 1:
            self.mapped.add(bar)
            return struct.pack("<BQQ", 0, 0x7F0000000000, len(self.bars[bar]))
        if command == 6:
            read = struct.pack("<BQQ", 0, a1, 0) + bytes(self.bars[bar][a0 : a0 + a1])
            return read if bar in self.mapped else struct.pack("<BQQ", 1, 0, 0)
        data = self._take(a1)
        if bar in self.mapped:
            self.bars[bar][a0 : a0 + a1] = data
        return b""


@contextmanager
def serving(**settings: object) -> Iterator[tuple[FilesHost, RawServer]]:
    """A Mac on which a server listens; `settings` are the server's attributes."""
    ours, theirs = socket.socketpair()
    server = RawServer(theirs)
    for name, value in settings.items():
        setattr(server, name, value)
    server.start()
    try:
        yield FilesHost(system="Darwin", arch="arm64", sockets={socket_path(): ours}), server
    finally:
        ours.close()
        server.join(5)


def error(text: bytes) -> bytes:
    return struct.pack("<BQQ", 1, len(text), 0) + text


def test_the_socket_is_where_tinygrad_expects_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APL_REMOTE_SOCK", raising=False)
    assert socket_path() == f"{tempfile.gettempdir()}/tinygpu.sock"

    monkeypatch.setenv("APL_REMOTE_SOCK", "/run/other.sock")
    assert socket_path() == "/run/other.sock"


def test_on_a_mac_a_function_is_opened_through_tinygpu_and_probed_first() -> None:
    with serving() as (host, server):
        access = open_function(host, GPU)

        assert isinstance(access, TinyGpuFunction)
        assert isinstance(access, FunctionAccess)
        assert server.commands[0] == 0
        access.close()


def test_a_server_that_knows_the_probe_is_as_good() -> None:
    with serving(probe_answer=struct.pack("<BQQ", 0, 0, 0)) as (host, _):
        assert presence(open_tinygpu(host, BDF)) == "ready"


def test_config_space_is_read_in_accesses_that_are_aligned() -> None:
    with serving() as (host, server):
        access = open_tinygpu(host, BDF)

        assert access.config_read(0x01, 7) == bytes(server.config[1:8])
        assert server.commands == [0, 3, 3, 3]


def test_config_space_is_written_and_read_back() -> None:
    with serving() as (host, server):
        access = open_tinygpu(host, BDF)

        access.config_write(0x0E, b"\1\2\3\4\5\6")

        assert access.config_read(0x0E, 6) == b"\1\2\3\4\5\6"
        assert server.commands.count(4) == 2


def test_the_chip_is_identified_and_its_bar_mapped_once() -> None:
    with serving() as (host, server):
        chip = identify(open_tinygpu(host, BDF))

        assert (chip.boot_0, chip.boot_42) == (0x192000A1, 0x19200000)
        assert server.commands.count(1) == 1


def test_a_bar_is_written_and_read_back_in_bursts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MMIO_BURST_LIMIT", 16)
    with serving() as (host, server):
        access = open_tinygpu(host, BDF)

        access.mmio_write(1, 4, bytes(range(40)))

        assert access.mmio_read(1, 0, 64) == bytes(4) + bytes(range(40)) + bytes(20)
        assert (server.commands.count(7), server.commands.count(6)) == (3, 4)


def test_an_access_that_leaves_its_bar_is_not_sent() -> None:
    with serving() as (host, server):
        access = open_tinygpu(host, BDF)

        with pytest.raises(ValueError, match="BAR 1 has 0x40 bytes"):
            access.mmio_write(1, 60, bytes(8))
        with pytest.raises(ValueError, match="BAR 6 has 0x0 bytes"):
            access.mmio_read(6, 0, 4)
        assert 7 not in server.commands


def test_a_bar_that_cannot_be_mapped_is_the_drivers_error() -> None:
    with (
        serving() as (host, _),
        pytest.raises(DriverError, match=r"mapping BAR 5 of 0000:64:00.0: MAP_BAR refused"),
    ):
        open_tinygpu(host, BDF).bar_size(5)


def test_what_a_reset_cleared_is_told_and_put_back() -> None:
    with serving() as (host, _):
        access = open_tinygpu(host, BDF)
        before = snapshot(access)

        access.reset()

        assert differences(before, snapshot(access)) == ("COMMAND was 0x0407, is 0x0000",)
        assert restore(access, before) == ("COMMAND was 0x0407, is 0x0000",)
        assert differences(before, snapshot(access)) == ()


def test_the_kind_of_reset_cannot_be_chosen() -> None:
    with serving() as (host, server):
        access = open_tinygpu(host, BDF)

        assert access.reset_kinds() == ("default",)
        with pytest.raises(NotSupported, match="chooses the kind itself"):
            access.reset("flr")
        assert 5 not in server.commands


def test_a_refusal_carries_the_servers_text() -> None:
    with serving(answers={5: error(b"FLR timed out")}) as (host, _):
        access = open_tinygpu(host, BDF)

        with pytest.raises(DriverError, match="RESET refused: FLR timed out") as caught:
            access.reset()
        assert caught.value.code == 1


def test_a_removal_is_device_gone_and_stays_so() -> None:
    with serving(leaves_at=5) as (host, _):
        access = open_tinygpu(host, BDF)

        with pytest.raises(DeviceGone, match="exits when the GPU leaves"):
            access.reset()
        with pytest.raises(DeviceGone):
            access.config_read(0, 4)
        assert presence(access) == "gone"


def test_a_removal_in_the_middle_of_a_burst_is_device_gone() -> None:
    with serving(answers={6: struct.pack("<BQQ", 0, 8, 0) + b"abc"}, leaves_at=5) as (host, server):
        access = open_tinygpu(host, BDF)
        access.bar_size(1)
        # The server dies after three bytes of eight.
        threading.Timer(0.05, server.sock.shutdown, [socket.SHUT_RDWR]).start()

        with pytest.raises(DeviceGone, match="3 of 8 bytes"):
            access.mmio_read(1, 0, 8)


def test_a_server_without_a_driver_is_a_fault_of_the_bench() -> None:
    with (
        serving(probe_answer=error(NO_DRIVER)) as (host, _),
        pytest.raises(BenchFault, match="systemextensionsctl list"),
    ):
        open_function(host, GPU)


def test_another_refusal_of_the_probe_is_the_drivers_error() -> None:
    with (
        serving(probe_answer=error(b"GSP is dead")) as (host, _),
        pytest.raises(DriverError, match="GSP is dead"),
    ):
        open_function(host, GPU)


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (errno.ENOENT, "TinyGPU server /"),
        (errno.ECONNREFUSED, "TinyGPU server /"),
        (errno.EACCES, "another user"),
    ],
)
def test_a_server_that_does_not_run_is_asked_for_never_started(refusal: int, words: str) -> None:
    host = FilesHost(system="Darwin", arch="arm64", sockets={socket_path(): refused(refusal)})

    with pytest.raises(BenchFault, match=words):
        open_function(host, GPU)


def test_another_gpu_than_the_one_asked_for_is_refused() -> None:
    other = Gpu(id="o", name="RTX 3060", function=PciFunction(address=BDF, vendor_id=0x10DE, device_id=0x2504))

    with serving() as (host, _), pytest.raises(BenchFault, match="drives 10de:2704, not 10de:2504"):
        open_function(host, other)


def test_a_gpu_off_the_bus_can_still_be_opened_to_be_looked_at() -> None:
    with serving(config=bytearray(b"\xff" * 4096)) as (host, _):
        access = open_function(host, GPU)

        assert presence(access) == "gone"


def test_an_answer_out_of_step_is_the_drivers_error() -> None:
    answers = {3: struct.pack("<BQQ", 1, 1 << 40, 0), 6: struct.pack("<BQQ", 0, 3, 0)}
    with serving(answers=answers) as (host, _):
        access = open_tinygpu(host, BDF)

        with pytest.raises(DriverError, match="error text of 1099511627776 bytes"):
            access.config_read(0, 4)
        with pytest.raises(DriverError, match="announced 3 of 4 bytes"):
            access.mmio_read(1, 0, 4)
