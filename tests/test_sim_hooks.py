"""Every hook of a fault is really asked at its place, and what it says is done."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from sim_rig import MIB, Rig, rigs, there_and_back

from hil.errors import BenchFault, DeviceGone, DeviceHung, DriverError, HilError, OutOfMemory
from hil.hosts.base import Completed
from hil.hosts.reading import read_many
from hil.hosts.wires.frames import receive_exactly, receive_frame, send_frame
from hil.hosts.wires.tinygpu import BOOT_0, REQUEST, RESPONSE, Command
from hil.sim.faults.base import (
    NEVER,
    Chunk,
    DriverAnswer,
    DriverCall,
    Fault,
    Identity,
    ResetPlan,
    Site,
    Training,
    Trigger,
)

LINUX, MAC = "linux-two-enclosures", "macbook-pro-usb4"


@pytest.fixture
def switch_on() -> Iterator[Callable[..., Rig]]:
    with rigs() as start:
        yield start


@dataclass(frozen=True)
class Case:
    """A hook, what a fault does in it, what is then done with the machine, and what is seen of it."""

    behave: Callable[..., Any]
    act: Callable[[Rig], Any]
    seen: Any
    profile: str | None = None


def acting(hook: str, behave: Callable[..., Any]) -> Callable[[Site], Fault]:
    """Makes a fault that overrides one hook; `behave` gets what the hook gets."""

    def override(_self: Fault, *facts: Any) -> Any:
        return behave(*facts)

    kind = type("OneHook", (Fault,), {"name": "one-hook", hook: override})
    return lambda site: kind(Trigger(), site)


def config_path(rig: Rig) -> str:
    return f"/sys/bus/pci/devices/{rig.machine.gpus[0].function.address}/config"


def config(rig: Rig) -> bytes:
    return rig.host().pread(config_path(rig), 2, 0)


def config_after_write(rig: Rig) -> bytes:
    host = rig.host()
    host.pwrite(config_path(rig), b"\0\0", 4)
    return host.pread(config_path(rig), 2, 4)


def tinygpu(rig: Rig, *requests: tuple[bytes, int]) -> list[bytes]:
    """Requests with what follows them; the bytes of each answer beyond its head."""
    sock = rig.host().connect("/tmp/tinygpu.sock")
    found = []
    for request, size in requests:
        sock.sendall(request)
        if size >= 0:
            receive_exactly(sock, RESPONSE.size)
            found.append(receive_exactly(sock, size))
    sock.close()
    return found


MAP = (REQUEST.pack(Command.MAP_BAR, 0, 0, 0, 0, 0), 0)
READ = (REQUEST.pack(Command.MMIO_READ, 0, 0, BOOT_0, 4, 0), 4)
WRITE = (REQUEST.pack(Command.MMIO_WRITE, 0, 0, 0x1000, 4, 0) + b"abcd", -1)
READ_BACK = (REQUEST.pack(Command.MMIO_READ, 0, 0, 0x1000, 4, 0), 4)


def nvml(rig: Rig, function: str, **given: int) -> int:
    line = rig.host().connect("host")

    def ask(name: str, values: dict[str, int]) -> dict[str, Any]:
        send_frame(line, {"do": "nvml", "function": name, "given": values})
        return receive_frame(line)[0]

    device = ask("nvmlDeviceGetHandleByIndex_v2", {"index": 0})["values"]["device"]
    answer = ask(function, {"device": device, **given})
    line.close()
    return answer["values"]["value"]


def read_after(rig: Rig, path: str = "/there") -> bytes:
    rig.machine.tree.add(path, "as it is")
    return rig.host().read(path)


def written(rig: Rig) -> list[bytes]:
    from hil.sim.tree import File  # noqa: PLC0415

    found: list[bytes] = []

    def pwrite(data: bytes, _offset: int) -> int:
        found.append(data)
        return len(data)

    rig.machine.tree.add("/there", File(read=None, write=found.append, pwrite=pwrite))
    host = rig.host()
    host.write("/there", b"one")
    assert host.pwrite("/there", b"two", 0) == 3
    return found


def logged(rig: Rig) -> list[str]:
    rig.do(rig.machine.log, "Xid 79")
    return [line.text for line in rig.host().kernel_log()][-2:]


def detached(rig: Rig) -> list[str]:
    host = rig.host()
    events = host.watch(["pci", "thunderbolt"])
    rig.do(rig.machine.detach, rig.machine.enclosures[0])
    host.clock.sleep(1.0)
    found = []
    while (event := events.next(0.0)) is not None:
        found.append(event.action)
    return found


def replugged(rig: Rig) -> tuple[str, bool, list[str]]:
    host, enclosure = rig.host(), rig.machine.enclosures[0]
    detached(rig)
    events = host.watch(["pci"])
    rig.do(rig.machine.attach, enclosure)
    host.clock.sleep(10.0)
    found = []
    while (event := events.next(0.0)) is not None:
        found.append(event.action)
    return enclosure.uid, rig.machine.gpus[0].reachable, found


def reset(rig: Rig) -> bool:
    host = rig.host()
    with pytest.raises(OSError, match="Inappropriate ioctl"):
        host.write(config_path(rig).replace("config", "reset"), b"1")
    host.clock.sleep(60.0)
    return rig.machine.gpus[0].reachable


def cut(rig: Rig) -> None:
    with rig.machine.clock.lock:
        rig.machine.power(rig.machine.enclosures[0], on=False)


def slept(rig: Rig) -> float:
    host = rig.host()
    assert host.run(["rtcwake", "-m", "mem", "-s", "10"], timeout=60.0).returncode == 0
    return host.clock.now()


def upload_seconds(rig: Rig) -> float:
    engine = rig.engine()
    there, host = engine.alloc(16 * MIB), engine.host_alloc(16 * MIB)
    start, _, end = engine.record(), engine.upload(there, host, 16 * MIB), engine.record()
    engine.synchronize()
    return engine.elapsed(start, end)


def refused(action: Callable[[Rig], object]) -> Callable[[Rig], object]:
    def act(rig: Rig) -> object:
        try:
            return action(rig)
        except DriverError as error:
            return error.code

    return act


def free_after(rig: Rig) -> int:
    engine = rig.engine()
    before = engine.memory()[0]
    engine.free(engine.alloc(MIB))
    return before - engine.memory()[0]


def last_owners(rig: Rig) -> bytes:
    there_and_back(rig, 16)
    return rig.do(rig.machine.site.peek, 0, rig.engine().alloc(16).address, 16)


def taken(rig: Rig) -> int:
    engine = rig.engine()
    before = engine.memory()[0]
    engine.alloc(MIB)
    return before - engine.memory()[0]


def put(**changes: Any) -> Callable[..., None]:
    """Change fields of what a hook may change in place."""

    def behave(facts: Any) -> None:
        for field, value in changes.items():
            assert hasattr(facts, field)
            setattr(facts, field, value)

    return behave


def no_data(*facts: Any) -> None:
    """Drop it."""


OK = Completed(argv=("sw_vers",), returncode=0, stdout=b"changed", stderr=b"")
DETACHED: list[str] = []
SUPPLIES: list[tuple[str, bool]] = []


def takes(rate: float) -> Any:
    """Seconds of `upload_seconds` at `rate` bytes/s."""
    return pytest.approx(10e-6 + 16 * MIB / rate, rel=1e-6)


CASES: dict[str, Case] = {
    "on_chunk": Case(lambda _: (), there_and_back, [b"." * 4096]),
    "on_vram_read": Case(lambda _gpu, _at, data: b"r" * len(data), there_and_back, [b"r" * 4096]),
    "on_vram_write": Case(lambda _gpu, _at, data: b"w" * len(data), there_and_back, [b"w" * 4096]),
    "on_driver_call": Case(
        lambda call: put(status=11)(call) if call.name == "memory" else None,
        refused(lambda rig: rig.engine().memory()),
        11,
    ),
    "on_allocate": Case(lambda _gpu, nbytes: 3 * nbytes, taken, 3 * MIB),
    "on_driver_answer": Case(
        lambda answer: put(results=(1, 2))(answer) if answer.call.name == "memory" else None,
        lambda rig: rig.engine().memory(),
        (1, 2),
    ),
    "on_submit": Case(put(share=0.25), upload_seconds, takes(0.5e9)),
    "on_free": Case(lambda _gpu, _at, _nbytes: False, free_after, MIB),
    "on_scrub": Case(lambda _gpu, _at, _nbytes: False, last_owners, b"\1" * 16),
    "on_completion": Case(put(status=11), refused(there_and_back), 11),
    "on_config_read": Case(lambda _bdf, _at, data: b"\xff" * len(data), config, b"\xff\xff"),
    "on_config_write": Case(no_data, config_after_write, b"\x06\x00"),
    "on_bar_read": Case(
        lambda _bdf, _bar, _at, data: b"r" * len(data), lambda rig: tinygpu(rig, MAP, READ), [b"", b"rrrr"], MAC
    ),
    "on_bar_write": Case(no_data, lambda rig: tinygpu(rig, MAP, WRITE, READ_BACK), [b"", bytes(4)], MAC),
    "on_file_read": Case(lambda _path, data: data.upper(), read_after, b"AS IT IS"),
    "on_file_write": Case(lambda _path, data: data if data == b"two" else None, written, [b"two"]),
    "on_command": Case(put(completed=OK, seconds=2.0), lambda rig: rig.host().run(["sw_vers"], timeout=9.0), OK, MAC),
    "on_nvml": Case(
        lambda _name, answer: {**answer, "values": {**answer["values"], "value": 77}},
        lambda rig: nvml(rig, "nvmlDeviceGetPowerUsage"),
        77,
    ),
    "on_event": Case(no_data, detached, []),
    "on_kernel_log": Case(lambda text: (text, text + " again"), logged, ["Xid 79", "Xid 79 again"]),
    "on_attach": Case(
        put(uid="00000000000000ff", gpus_present=False, event=False), replugged, ("00000000000000ff", False, [])
    ),
    "on_departure": Case(put(event=False), detached, []),
    "on_detach": Case(DETACHED.append, lambda rig: (detached(rig), DETACHED)[1], ["Left"]),
    "on_supply": Case(
        lambda name, on: SUPPLIES.append((name, on)), lambda rig: (cut(rig), SUPPLIES)[1], [("Left", False)]
    ),
    "on_reset": Case(put(succeeds=False), reset, False),
    "on_sleep": Case(put(resume_seconds=5.0), slept, pytest.approx(15.9)),
    "on_helper": Case(put(delay=2.0), lambda rig: (tinygpu(rig, MAP), rig.machine.clock.now())[1], 4.0, MAC),
    "on_link_training": Case(put(lanes=1), upload_seconds, takes(1e9)),
    "on_bandwidth": Case(lambda _gpu, _way, rate: rate / 4, upload_seconds, takes(0.5e9)),
    "on_temperature": Case(lambda _gpu, _: 91.0, lambda rig: nvml(rig, "nvmlDeviceGetTemperature", sensor=0), 91),
    "on_power": Case(lambda _gpu, _: 123.0, lambda rig: nvml(rig, "nvmlDeviceGetPowerUsage"), 123_000),
    "on_clock_rate": Case(
        lambda _gpu, _domain, _hertz: 300e6, lambda rig: nvml(rig, "nvmlDeviceGetClockInfo", clock=0), 300
    ),
    "on_device_clock": Case(lambda _gpu, ns: ns // 2, upload_seconds, pytest.approx((10e-6 + 16 * MIB / 2e9) / 2)),
    "on_host_clock": Case(lambda seconds: seconds + 1000.0, lambda rig: rig.host().clock.now(), 1000.0),
}


def test_every_hook_has_its_case():
    assert set(CASES) == {name for name in dir(Fault) if name.startswith("on_")}


@pytest.mark.parametrize("hook", CASES)
def test_a_hook_is_asked_at_its_place_and_what_it_says_is_done(switch_on, hook):
    case = CASES[hook]
    rig = switch_on(case.profile, acting(hook, case.behave))

    assert case.act(rig) == case.seen


@pytest.mark.parametrize("hook", CASES)
def test_a_fault_that_changes_nothing_changes_nothing(switch_on, hook):
    case = CASES[hook]
    if hook in ("on_detach", "on_reset", "on_supply"):
        pytest.skip("nothing is answered there")
    base = getattr(Fault, hook)
    rig = switch_on(case.profile, acting(hook, lambda *facts: base(None, *facts)))

    seen = case.act(rig)

    assert seen == case.act(switch_on(case.profile))
    assert seen != case.seen


# What hooks may do beyond that


def test_faults_see_what_faults_before_them_left(switch_on):
    rig = switch_on(
        None,
        acting("on_file_read", lambda path, data: data + b" one" * (path == "/there")),
        acting("on_file_read", lambda path, data: data + b" two" * (path == "/there")),
        acting("on_config_write", no_data),
        acting("on_config_write", lambda *_: pytest.fail("it was dropped")),
    )

    assert read_after(rig) == b"as it is one two"
    assert config_after_write(rig) == b"\x06\x00"


def test_a_file_may_be_refused_by_a_fault(switch_on):
    def refuse(path: str, _: bytes) -> bytes:
        raise OSError(errno.EIO, "Input/output error", path)

    rig = switch_on(None, acting("on_file_read", refuse), acting("on_file_write", refuse))

    for action in (read_after, written):
        with pytest.raises(OSError, match="/there") as refused:
            action(rig)
        assert refused.value.errno == errno.EIO


def test_of_many_files_each_passes_the_faults_and_a_refusal_is_in_the_place_of_its_own(switch_on):
    def behave(path: str, data: bytes) -> bytes:
        if path == "/refused":
            raise OSError(errno.EIO, "Input/output error", path)
        return data.upper()

    rig = switch_on(None, acting("on_file_read", behave))
    for path in ("/one", "/refused", "/two"):
        rig.machine.tree.add(path, path[1:])
    one, refused, absent, two, none = read_many(rig.host(), ["/one", "/refused", "/absent", "/two", "/"])

    assert (one, two) == (b"ONE", b"TWO")
    assert (refused.errno, refused.filename) == (errno.EIO, "/refused")
    assert isinstance(absent, FileNotFoundError)
    assert isinstance(none, IsADirectoryError)
    assert read_many(rig.host(), []) == []


def no_number(plan: ResetPlan) -> None:
    plan.seconds = "2"


def no_list(identity: Identity) -> None:
    identity.cards = None


def not_bytes(plan: ResetPlan) -> None:
    plan.config[0x10] = 5


def half_a_lane(training: Training) -> None:
    training.lanes = 1.5


WRONG = {
    "no number": ("on_reset", no_number, reset, "on_reset left ResetPlan.seconds = '2', expected float"),
    "not bytes": ("on_reset", not_bytes, reset, "on_reset left ResetPlan.config = 5, expected bytes"),
    "no list": ("on_attach", no_list, replugged, "on_attach left Identity.cards = None, expected list of CardIdentity"),
    "half a lane": ("on_link_training", half_a_lane, None, "on_link_training left Training.lanes = 1.5, expected int"),
    "nothing": ("on_file_read", lambda *_: None, read_after, "on_file_read returned None, expected bytes"),
    "not a number": ("on_host_clock", lambda _: math.nan, None, "on_host_clock returned nan, expected a number"),
    "letters": ("on_kernel_log", lambda text: text, None, "on_kernel_log returned .*, expected sequence of str"),
}


@pytest.mark.parametrize(("hook", "behave", "act", "said"), WRONG.values(), ids=WRONG)
def test_what_a_hook_may_not_leave_or_return_is_told_with_the_faults_name(switch_on, hook, behave, act, said):
    with pytest.raises(BenchFault, match=f"fault one-hook: {said}"):
        act(switch_on(None, acting(hook, behave)))


def test_after_a_mistake_on_any_wire_all_who_ask_are_told_of_it(switch_on):
    def wrong(call: DriverCall) -> None:
        call.delay = None

    rig = switch_on(None, acting("on_driver_call", wrong))
    host = rig.host()
    with pytest.raises(HilError):
        there_and_back(rig)  # the driver's wire has no words for it

    with pytest.raises(BenchFault, match=r"fault one-hook: on_driver_call left .*delay = None, expected float"):
        host.clock.now()


def test_a_list_does_where_a_tuple_was(switch_on):
    def listed(answer: DriverAnswer) -> None:
        answer.results = [*answer.results]

    rig = switch_on(None, acting("on_driver_answer", listed))

    assert there_and_back(rig) == there_and_back(switch_on(None))


def test_a_hook_may_make_what_it_returns_one_by_one(switch_on):
    def twice(text: str) -> Iterator[str]:
        yield text
        yield text.upper()

    rig = switch_on(None, acting("on_kernel_log", twice))
    rig.do(lambda: rig.machine.log("a line"))

    assert [line.text for line in list(rig.machine.lines)[-2:]] == ["a line", "A LINE"]


def test_an_operating_systems_error_elsewhere_is_a_mistake_in_the_fault(switch_on, capsys):
    def wrong(text: str) -> Sequence[str]:
        raise OSError(errno.EIO, text)

    with pytest.raises(BenchFault, match="fault one-hook: on_kernel_log raised OSError"):
        switch_on(None, acting("on_kernel_log", wrong))
    assert "OSError" in capsys.readouterr().err


def test_what_a_fault_says_of_itself_is_passed_on(switch_on):
    def refuse(_gpu: int, _nbytes: int) -> int:
        raise OutOfMemory("the fault's own words")

    with pytest.raises(BenchFault, match="the fault's own words"):
        switch_on(None, acting("on_allocate", refuse)).engine().alloc(16)


def test_a_completion_that_is_lost_is_waited_for_in_vain(switch_on):
    rig = switch_on(None, acting("on_completion", put(lost=True)))
    host = rig.host()
    engine = rig.engine(host=host)
    engine.upload(engine.alloc(16), engine.host_alloc(16), 16)

    with pytest.raises(DeviceHung), host.clock.operation("copy", 7.0):
        engine.synchronize()
    assert rig.machine.clock.now() == 7.0


def test_pieces_may_be_repeated_torn_delayed_and_be_as_fine_as_the_fault_wants(switch_on):
    pieces: list[Chunk] = []

    class Fine(Fault):
        name, chunk_bytes = "fine", 1024

        def on_chunk(self, chunk: Chunk) -> Sequence[Chunk]:
            pieces.append(chunk)
            chunk.delay = 0.25
            return (chunk, chunk)

    rig = switch_on(None, lambda site: Fine(Trigger(), site))
    there_and_back(rig, 4000)

    assert [(chunk.copy, chunk.offset, len(chunk.data)) for chunk in pieces[:4]] == [
        (1, 0, 1024),
        (1, 1024, 1024),
        (1, 2048, 1024),
        (1, 3072, 928),
    ]
    assert {chunk.total for chunk in pieces} == {4000}
    assert rig.machine.clock.now() == pytest.approx(8 * 2 * 0.25, abs=0.001)


def test_a_path_that_carries_nothing_never_completes(switch_on):
    rig = switch_on(None, acting("on_bandwidth", lambda *_: 0.0))
    host = rig.host()
    engine = rig.engine(host=host)
    engine.upload(engine.alloc(16), engine.host_alloc(16), 16)

    with pytest.raises(DeviceHung), host.clock.operation("copy", 7.0):
        engine.synchronize()


@pytest.mark.parametrize(
    ("changes", "share"),
    [
        ({"lane_gbps": 10.0}, 0.5),
        ({"pcie_width": 1, "pcie_gts": 2.5}, 2.5 / 8 * 0.8 * 128 / 152 / 2.0),
        ({"pcie_gts": 8.0}, 1.0),  # still wider than the tunnel
    ],
)
def test_a_link_that_trains_to_less_carries_less(switch_on, changes, share):
    healthy, poor = switch_on(), switch_on(None, acting("on_link_training", put(**changes)))

    assert upload_seconds(healthy) / upload_seconds(poor) == pytest.approx(share, rel=0.01)


def test_a_fault_acts_on_the_machine_now_and_later(switch_on):
    class Trips(Fault):
        name = "trips"

        def on_driver_call(self, call: DriverCall) -> None:
            if call.name == "memory":
                self.site.log(f"{self.site.now()}: somebody comes near the cable")
                self.site.after(2.0, lambda: self.site.remove(0))

    rig = switch_on(None, lambda site: Trips(Trigger(), site))
    host, engine = rig.host(), rig.engine()
    engine.memory()
    assert host.kernel_log()[-1].text == "0.0: somebody comes near the cable"
    host.clock.sleep(1.0)
    engine.memory()

    host.clock.sleep(1.5)

    with pytest.raises(DeviceGone):
        engine.memory()


def test_a_fault_that_strikes_never_more_than_it_may():
    class Quiet(Fault):
        name = "quiet"

    class Now:
        def now(self) -> float:
            return 5.0

    fault = Quiet(Trigger(times=2, at_time=5.0, gpu=1), Now())

    assert [fault.strikes(1), fault.strikes(0), fault.strikes(None), fault.strikes(1)] == [True, False, True, False]
    assert math.isinf(NEVER)
