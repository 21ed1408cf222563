"""A simulated machine seen by its clients: requests, refusals, commands, events, deadlines, and what garbage does."""

from __future__ import annotations

import contextlib
import errno
import math
import socket
import struct
from collections.abc import Callable, Iterator

import pytest
from sim_rig import MIB, Rig, Task, rigs, round_numbers, until

from hil.errors import BenchFault, DeviceHung, NotSupported, UsageError
from hil.hosts.base import Host
from hil.hosts.machine import ControlLine
from hil.hosts.simulated import SimulatedHost
from hil.hosts.wires.frames import receive_frame, send_frame
from hil.hosts.wires.tinygpu import REQUEST, RESPONSE, Command
from hil.sim.faults.base import CommandRun, Event, Fault, Site, Trigger

ROOT = "/sys/bus/pci/devices"


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.close()


@pytest.fixture
def host(rig: Rig) -> SimulatedHost:
    return rig.host()


@pytest.fixture
def switch_on() -> Iterator[Callable[..., Rig]]:
    with rigs() as start:
        yield start


def gpu_folder(rig: Rig) -> str:
    return f"{ROOT}/{rig.machine.gpus[0].function.address}"


# Files


def test_a_simulated_host_is_a_host(host):
    assert isinstance(host, Host)
    assert host.kind == "simulated"
    facts = host.facts()
    assert (facts.system, facts.model, facts.simulated) == ("Linux", "Bench", True)


def test_files_are_read_listed_and_followed(rig, host):
    card = gpu_folder(rig)

    assert host.read(f"{card}/vendor") == b"0x10de\n"
    assert host.pread(f"{card}/config", 2, 0) == b"\xde\x10"
    assert "vendor" in host.list(card)
    assert not host.stat(f"{card}/vendor").is_dir
    assert host.stat(card).is_dir
    assert host.readlink(card).endswith(rig.machine.gpus[0].function.address)


def test_files_are_written_whole_and_at_an_offset(rig, host):
    written: list[tuple[bytes, int]] = []

    def pwrite(data: bytes, offset: int) -> int:
        written.append((data, offset))
        return len(data)

    rig.machine.tree.add("/there", _file(write=lambda data: written.append((data, -1)), pwrite=pwrite))

    host.write("/there", b"1")
    assert host.pwrite("/there", b"ab", 7) == 2
    assert written == [(b"1", -1), (b"ab", 7)]


def _file(**how: object) -> object:
    from hil.sim.tree import File  # noqa: PLC0415

    return File(read=None, **how)


def test_a_write_that_takes_long_takes_the_machines_time(rig, host):
    rig.machine.tree.add("/slow", _file(write=lambda _: 2.5))

    host.write("/slow", b"1")

    assert host.clock.now() == 2.5


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EIO, errno.ENODEV, errno.EBUSY, errno.ETIMEDOUT])
def test_every_refusal_of_the_kernel_arrives_with_its_number_and_path(rig, host, code):
    def refuse(_: bytes) -> None:
        raise OSError(code, "no", "/attribute")

    rig.machine.tree.add("/attribute", _file(write=refuse))

    with pytest.raises(OSError, match="no") as refused:
        host.write("/attribute", b"1")
    assert (refused.value.errno, refused.value.filename) == (code, "/attribute")


def test_refusals_are_raised_as_pythons_own_kinds(rig, host):
    with pytest.raises(FileNotFoundError):
        host.read("/nothing")
    with pytest.raises(IsADirectoryError):
        host.read(gpu_folder(rig))
    with pytest.raises(PermissionError):
        host.write(f"{gpu_folder(rig)}/vendor", b"1")
    with pytest.raises(NotADirectoryError):
        host.list(f"{gpu_folder(rig)}/vendor")
    with pytest.raises(ProcessLookupError):
        host.kill(1, 9)
    with pytest.raises(NotSupported):
        host.map(f"{gpu_folder(rig)}/resource0", 4096)
    assert host.processes() == []


@pytest.mark.parametrize(("size", "offset"), [(-1, 0), (1, -1)])
def test_negative_sizes_and_offsets_are_invalid(rig, host, size, offset):
    with pytest.raises(OSError, match="Invalid argument") as refused:
        host.pread(f"{gpu_folder(rig)}/config", size, offset)
    assert refused.value.errno == errno.EINVAL


# Connections


@pytest.mark.parametrize(
    ("service", "kind"),
    [
        ("nobody", ConnectionRefusedError),
        ("", ConnectionRefusedError),
        ("/var/run/driver", FileNotFoundError),
        ("/tmp/tinygpu.sock", FileNotFoundError),
        ("tmp/driver", FileNotFoundError),
    ],
)
def test_where_nobody_listens_a_connection_is_refused(host, service, kind):
    with pytest.raises(kind):
        host.connect(service)


@pytest.mark.parametrize("service", ["tinygpu.sock", "/somewhere/tinygpu.sock/else"])
def test_a_mac_listens_only_where_tinygpu_does(switch_on, service):
    host = switch_on("macbook-pro-usb4").host()
    host.connect("/tmp/tinygpu.sock").close()

    with pytest.raises(OSError):  # noqa: PT011  (either kind)
        host.connect(service)


def test_no_machine_is_a_fault_of_the_bench(tmp_path):
    with pytest.raises(BenchFault, match="does not answer"):
        SimulatedHost(str(tmp_path / "nothing"))
    with pytest.raises(UsageError, match="no simulated machine answers"):
        ControlLine(str(tmp_path / "nothing"), lambda _: None)


GARBAGE = [
    b"",
    b"\0",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\xff" * 64,
    struct.pack("<II", 4, 0) + b"[12]",
    struct.pack("<II", 4, 0) + b"{\xff\xff}",
    struct.pack("<II", 1 << 29, 0) + b"{",
    struct.pack("<II", 2, 0) + b"{}",
]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_on_a_fresh_connection_disturbs_nobody(rig, host, garbage):
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(rig.address)
        stranger.sendall(garbage)
        stranger.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            while stranger.recv(4096):
                pass

    assert host.clock.now() == 0.0
    assert rig.host().facts().system == "Linux"


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"do": "dance"},
        {"do": None},
        {"do": "read"},
        {"do": "read", "path": 5},
        {"do": "read", "path": None},
        {"do": "sleep", "seconds": "long"},
        {"do": "sleep", "seconds": math.nan},
        {"do": "begin", "name": "x", "deadline": math.nan, "pid": 1},
        {"do": "begin", "pid": 1},
        {"do": "run", "argv": [], "timeout": 1},
        {"do": "run", "argv": ["x"], "timeout": []},
        {"do": "kernel_log", "since": "today"},
        {"do": ["read"], "path": "/"},
    ],
)
def test_what_is_no_request_is_invalid_and_the_line_stays_usable(host, request_):
    line = host.connect("host")
    send_frame(line, request_)
    reply, _ = receive_frame(line)
    assert reply["os_error"][0] in (errno.EINVAL, errno.ENOENT)

    send_frame(line, {"do": "now"})
    assert receive_frame(line)[0] == {"now": 0.0}
    line.close()


def test_a_machine_without_descriptors_serves_again_once_there_are_some(rig, host, monkeypatch):
    refused = []
    accept = rig.server._listener.accept

    class Exhausted:
        def __init__(self, listener: socket.socket) -> None:
            self.listener = listener

        def accept(self) -> object:
            if not refused:
                refused.append(True)
                raise OSError(errno.EMFILE, "Too many open files")
            return accept()

        def __getattr__(self, name: str) -> object:
            return getattr(self.listener, name)

    monkeypatch.setattr(rig.server, "_listener", Exhausted(rig.server._listener))

    assert rig.host().clock.now() == 0.0  # by the accept() that was under way
    assert rig.host().clock.now() == 0.0
    assert refused
    assert host.clock.now() == 0.0


def test_a_machine_that_is_off_hangs_up_on_all(rig, host):
    events = host.watch(["pci"])
    rig.server.switch_off()

    with pytest.raises(DeviceHung, match="hung up during now"):
        host.clock.now()
    with pytest.raises(DeviceHung, match="hung up on a watch"):
        events.next(1.0)
    with pytest.raises(BenchFault):
        rig.host()


def test_a_host_that_is_half_connected_lets_go(rig, monkeypatch):
    monkeypatch.setitem(rig.server._services, "host", None)

    with pytest.raises(ConnectionRefusedError):
        SimulatedHost(rig.address, client="half")

    until(lambda: "half" not in rig.server._open.values())


# Commands


class Slow(Fault):
    """Commands take as long as the test says."""

    name = "slow"

    def __init__(self, site: Site, seconds: float) -> None:
        super().__init__(Trigger(), site)
        self.seconds = seconds

    def on_command(self, run: CommandRun) -> None:
        run.seconds = self.seconds


def test_a_command_answers_and_takes_its_time(switch_on):
    host = switch_on("macbook-pro-usb4", lambda site: Slow(site, 3.0)).host()

    done = host.run(["sw_vers", "-productVersion"], timeout=10.0)

    assert (done.returncode, done.timed_out, done.stderr) == (0, False, b"")
    assert done.stdout.decode().strip() == host.facts().os_version
    assert host.clock.now() == 3.0


@pytest.mark.parametrize("seconds", [11.0, math.inf])
def test_a_command_that_takes_too_long_is_killed_at_its_timeout(switch_on, seconds):
    host = switch_on("macbook-pro-usb4", lambda site: Slow(site, seconds)).host()

    done = host.run(["sw_vers"], timeout=10.0)

    assert done.timed_out
    assert (done.stdout, done.stderr) == (b"", b"")
    assert host.clock.now() == 10.0


def test_a_command_that_fails_says_so(switch_on):
    done = switch_on("macbook-pro-usb4").host().run(["sysctl", "no.such.thing"], timeout=10.0)

    assert done.returncode == 1
    assert b"unknown oid" in done.stderr


def test_a_command_that_is_not_installed_is_not_found(host):
    with pytest.raises(FileNotFoundError) as missing:
        host.run(["nvidia-smi"], timeout=1.0)
    assert missing.value.filename == "nvidia-smi"


# Log and events


def test_the_kernel_log_is_told_from_a_moment_on(rig, host):
    booted = len(host.kernel_log())
    host.clock.sleep(10.0)
    rig.do(rig.machine.log, "NVRM: Xid (PCI:0000:04:00): 79")

    assert booted > 0
    assert [(line.time, line.text) for line in host.kernel_log(since=5.0)] == [(10.0, "NVRM: Xid (PCI:0000:04:00): 79")]
    assert len(host.kernel_log()) == booted + 1
    assert host.kernel_log(since=10.5) == []


def test_a_flooded_kernel_log_forgets_its_oldest_lines(rig, host):
    with rig.machine.clock.lock:
        for n in range(70_000):
            rig.machine.log(f"line {n}")

    assert len(rig.machine.lines) < 70_000
    assert rig.machine.lines[-1].text == "line 69999"


def test_events_are_kept_until_they_are_asked_for_and_others_are_not_told(rig, host):
    events = host.watch(["thunderbolt"])
    rig.do(rig.machine.detach, rig.machine.enclosures[0])
    host.clock.sleep(1.0)

    event = events.next(timeout=0.0)

    assert isinstance(event, Event)
    assert (event.action, event.subsystem) == ("remove", "thunderbolt")
    assert 0.0 < event.time < 1.0
    while event is not None:
        event = events.next(timeout=0.0)
        assert event is None or event.subsystem == "thunderbolt"
    events.close()
    until(lambda: rig.machine.listeners == [])


def test_waiting_for_an_event_spends_time_until_it_comes_or_does_not(rig, host):
    events = host.watch(["thunderbolt"])
    assert events.next(timeout=2.0) is None
    assert host.clock.now() == 2.0

    rig.do(rig.machine.clock.at, 3.0, lambda: rig.machine.detach(rig.machine.enclosures[0]))
    assert events.next(timeout=math.inf) is not None
    assert host.clock.now() == pytest.approx(5.0, abs=0.1)


# Time


def test_two_hosts_share_one_clock(rig):
    first, second = rig.host(), rig.host()
    rig.machine.clock.begin("hold", "hold", math.inf, lambda _: None)

    def work(host: SimulatedHost, *pauses: float) -> list[float]:
        with host.clock.operation("work", 60.0):
            times = []
            for pause in pauses:
                host.clock.sleep(pause)
                times.append(host.clock.now())
            return times

    tasks = Task(work, first, 1.0, 1.0, 1.0), Task(work, second, 1.5, 1.0)
    until(lambda: sum(bool(actor["waits"]) for actor in rig.machine.clock.actors()) == 2)
    rig.machine.clock.end("hold")

    assert [task.result() for task in tasks] == [[1.0, 2.0, 3.0], [1.5, 2.5]]


def test_no_time_passes_for_a_sleep_of_none(host):
    host.clock.sleep(0.0)
    host.clock.sleep(-1.0)

    assert host.clock.now() == 0.0


def test_an_operation_past_its_deadline_is_told_to_the_controller_who_ends_it(rig, host):
    notices: list[dict[str, object]] = []
    line = ControlLine(rig.address, notices.append)

    def hang() -> None:
        with host.clock.operation("copy", 5.0):
            host.clock.sleep(1.0)
            host.clock.sleep(math.inf)

    hanging = Task(hang)
    until(lambda: notices)

    assert {key: notices[0][key] for key in ("notice", "client", "operation", "deadline", "now", "blocked_in")} == {
        "notice": "deadline",
        "client": host.client,
        "operation": "copy",
        "deadline": 5.0,
        "now": 5.0,
        "blocked_in": "sleep",
    }
    assert line.ask("now")["now"] == 5.0
    line.ask("break", client=host.client)
    with pytest.raises(DeviceHung):
        hanging.result()
    with pytest.raises(DeviceHung):
        host.clock.now()
    assert line.ask("actors")["actors"] == []
    line.close()


def test_where_nobody_controls_the_machine_it_ends_such_an_operation_itself(rig, host):
    other = rig.host()

    def hang() -> None:
        with host.clock.operation("copy", 5.0):
            host.clock.sleep(math.inf)

    with pytest.raises(DeviceHung):
        Task(hang).result()
    other.clock.sleep(1.0)
    assert other.clock.now() == 6.0


def test_a_killed_client_takes_its_actor_along(rig):
    gone, other = rig.host(), rig.host()
    operation = gone.clock.operation("copy", math.inf)
    operation.__enter__()
    waiting = Task(other.clock.sleep, 1.0)
    until(lambda: rig.machine.clock._waits)
    assert not waiting.over

    gone.close()
    waiting.result()

    assert rig.machine.clock.actors() == []


def test_a_client_of_the_same_name_may_come_again(rig):
    SimulatedHost(rig.address, client="me").close()
    until(lambda: "me" not in rig.server._open.values())

    again = SimulatedHost(rig.address, client="me")

    again.clock.sleep(1.0)
    assert again.clock.now() == 1.0
    again.close()


# Control


def test_the_controller_asks_what_the_machine_is(rig):
    line = ControlLine(rig.address, lambda _: None)

    told = line.ask("profile")

    assert told["profile"] == round_numbers().model_dump(mode="json")
    assert told["faults"] == []
    with pytest.raises(BenchFault, match="no order 'explode'"):
        line.ask("explode")
    line.close()


def test_a_hold_keeps_time_still_until_it_is_released_or_its_controller_goes(rig, host):
    line = ControlLine(rig.address, lambda _: None)
    line.ask("hold")
    sleeper = Task(host.clock.sleep, 1.0)
    until(lambda: rig.machine.clock._waits)
    assert line.ask("now")["now"] == 0.0
    line.ask("release")
    sleeper.result()

    line.ask("hold")
    sleeper = Task(host.clock.sleep, 1.0)
    until(lambda: rig.machine.clock._waits)
    assert line.ask("now")["now"] == 1.0
    line.close()
    sleeper.result()
    assert host.clock.now() == 2.0


def test_many_threads_may_ask_at_once_and_each_gets_its_own_answer(rig):
    line = ControlLine(rig.address, lambda _: None)

    def ask() -> bool:
        return all("now" in line.ask("now") and "actors" in line.ask("actors") for _ in range(30))

    assert all(task.result() for task in [Task(ask) for _ in range(4)])
    line.close()


def test_a_controller_whose_machine_is_gone_is_told(rig):
    line = ControlLine(rig.address, lambda _: None)
    rig.server.switch_off()
    until(lambda: not rig.server._open)

    for _ in range(2):
        with pytest.raises(BenchFault, match="simulated machine"):
            line.ask("now")
    line.close()


def test_a_controller_that_fails_on_a_notice_does_not_wait_for_ever(rig, host):
    def fail(_: object) -> None:
        raise ValueError("not what was expected")

    line = ControlLine(rig.address, fail)

    def hang() -> None:
        with host.clock.operation("copy", 5.0):
            host.clock.sleep(math.inf)

    def ask_on() -> None:
        while True:
            line.ask("now")

    hanging = Task(hang)
    with pytest.raises(BenchFault, match="simulated machine"):
        ask_on()
    ControlLine(rig.address, lambda _: None).ask("break", client=host.client)
    with pytest.raises(DeviceHung):
        hanging.result()
    line.close()


# Plug


def order(host: SimulatedHost, do: str, enclosure: str = "Left", **more: object) -> dict[str, object]:
    plug = host.connect("plug")
    send_frame(plug, {"do": do, "enclosure": enclosure, **more})
    reply, _ = receive_frame(plug)
    plug.close()
    return reply


@pytest.mark.parametrize("enclosure", ["Left", "00000000000000aa"])
def test_a_cable_is_pulled_and_pushed(rig, host, enclosure):
    assert order(host, "detach", enclosure) == {"ok": True}
    host.clock.sleep(1.0)
    assert not rig.machine.gpus[0].reachable
    assert order(host, "attach", enclosure, port=2) == {"ok": True}
    host.clock.sleep(5.0)

    assert rig.machine.gpus[0].reachable
    assert rig.machine.enclosures[0].port == 2


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"enclosure": "Middle"}, "cannot attach 'Middle': known: Left, Right"),
        ({"do": "shake"}, "cannot shake 'Left': expected attach, detach, power off or power on"),
        ({"port": "left"}, "port = 'left' is no number"),
        ({"port": 3}, "there is no port 3: the host has 3, counted from 0"),
        ({"port": 1}, "port 1 is taken by Right"),
    ],
)
def test_what_no_hand_can_do_is_refused(rig, host, wrong, words):
    order(host, "detach")
    host.clock.sleep(1.0)

    reply = order(host, **{"do": "attach", **wrong})

    assert words in str(reply["error"])
    assert not rig.machine.enclosures[0].attached


def test_a_supply_is_cut_and_given_back(rig, host):
    assert order(host, "power off") == {"ok": True}
    host.clock.sleep(1.0)
    assert not rig.machine.gpus[0].reachable
    assert rig.machine.gpus[1].reachable
    order(host, "power off")
    assert order(host, "power on") == {"ok": True}
    host.clock.sleep(5.0)
    assert rig.machine.gpus[0].reachable


@pytest.mark.parametrize("pulled", [True, False])
def test_without_supply_a_cable_is_a_cable(rig, host, pulled):
    order(host, "power off")
    if pulled:
        order(host, "detach")
    else:
        order(host, "detach")
        order(host, "attach", port=2)
    host.clock.sleep(5.0)
    assert not rig.machine.enclosures[0].visible

    order(host, "power on")
    host.clock.sleep(5.0)
    assert rig.machine.gpus[0].reachable is not pulled


def test_what_hangs_behind_an_enclosure_comes_back_with_its_supply(switch_on):
    rig = switch_on("linux-daisy-chain")
    host, (front, behind) = rig.host(), rig.machine.enclosures[:2]
    order(host, "power off", behind.spec.name)
    order(host, "power off", front.spec.name)
    order(host, "power on", behind.spec.name)
    host.clock.sleep(5.0)
    assert not behind.visible

    order(host, "power on", front.spec.name)
    host.clock.sleep(5.0)
    assert front.visible
    assert behind.visible


def test_faults_are_told_of_supplies(switch_on):
    told = []

    class Listens(Fault):
        name = "listens"

        def on_supply(self, enclosure, on):
            told.append((enclosure, on))

    rig = switch_on(None, lambda site: Listens(Trigger(), site))
    order(rig.host(), "power off")
    order(rig.host(), "power on")

    assert told == [("Left", False), ("Left", True)]


# TinyGPU


def test_a_second_client_of_tinygpu_waits_until_the_first_has_gone(switch_on):
    rig = switch_on("macbook-pro-usb4")
    first, second = rig.host(), rig.host()
    held = first.connect("/tmp/tinygpu.sock")
    held.sendall(REQUEST.pack(Command.CFG_READ, 0, 0, 0, 4, 0))
    assert RESPONSE.unpack(held.recv(RESPONSE.size))[0] == 0
    late = second.connect("/tmp/tinygpu.sock")
    late.sendall(REQUEST.pack(Command.CFG_READ, 0, 0, 0, 4, 0))
    until(lambda: rig.machine.clock._waits)

    held.close()

    assert RESPONSE.unpack(late.recv(RESPONSE.size))[:1] == (0,)
    late.close()


def test_waiting_for_tinygpu_has_a_deadline(switch_on):
    rig = switch_on("macbook-pro-usb4")
    notices: list[dict[str, object]] = []
    line = ControlLine(rig.address, notices.append)
    held, second = rig.host().connect("/tmp/tinygpu.sock"), rig.host()
    held.sendall(REQUEST.pack(Command.CFG_READ, 0, 0, 0, 4, 0))
    held.recv(RESPONSE.size)

    def wait() -> bytes:
        with second.clock.operation("registers", 3.0):
            late = second.connect("/tmp/tinygpu.sock")
            late.sendall(REQUEST.pack(Command.CFG_READ, 0, 0, 0, 4, 0))
            with contextlib.suppress(ConnectionResetError):  # its request lay unread when the machine hung up
                return late.recv(RESPONSE.size)
            return b""

    waiting = Task(wait)
    until(lambda: notices)

    assert "TinyGPU" in str(notices[0]["blocked_in"])
    line.ask("break", client=second.client)
    assert waiting.result() == b""
    held.close()
    line.close()


# Failure


def test_a_machine_that_fails_tells_its_clients_and_calls_no_device_hung(rig, host, capsys):
    events = host.watch(["pci"])
    with rig.machine.clock.lock:
        rig.machine.clock.at(1.0, {}.popitem)

    with pytest.raises(BenchFault, match="the simulated machine failed: KeyError"):
        host.clock.sleep(2.0)
    with pytest.raises(BenchFault, match="KeyError"):
        host.facts()
    with pytest.raises(BenchFault, match="KeyError"):
        events.next(timeout=1.0)
    assert "KeyError" in capsys.readouterr().err


def test_copies_go_on_while_another_client_sends_garbage(rig, host):
    engine = rig.engine()
    sent, there = engine.host_alloc(MIB), engine.alloc(MIB)
    driver = host.connect("driver")
    driver.sendall(b"\xff" * 1000)

    engine.upload(there, sent, MIB)
    engine.synchronize()

    driver.close()
