"""Sleep and wake: what the simulated hosts do, how they are put to sleep, and what a bench finds afterwards."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fault_rig import GPU, LINUX, MAC, said
from files_host import FilesHost
from pytest_runs import ROOT, Suite
from sim_rig import MIB, Rig, rigs, round_numbers

from hil.bench import Device, Wish, open_bench, parse
from hil.control import cannot_sleep, sleep_host
from hil.control.sleep import SLEEPS
from hil.errors import BenchFault, DeviceGone, DeviceHung, DriverError, NotPermitted, NotSupported
from hil.hosts.base import Completed
from hil.model import HostFacts
from hil.sim import profile
from hil.sim.faults.base import Fault, Site, SleepPlan, Training, Trigger

CONFIG = f"/sys/bus/pci/devices/{GPU}/config"


@pytest.fixture
def switch_on():
    with rigs() as start:
        yield start


def sleeping(**changes: object) -> Callable[[Site], Fault]:
    """A fault that changes how a sleep goes."""

    class Sleeps(Fault):
        name = "sleeps"

        def on_sleep(self, plan: SleepPlan) -> None:
            for field, value in changes.items():
                assert hasattr(plan, field)
                setattr(plan, field, value)

    return lambda site: Sleeps(Trigger(), site)


def preserving() -> profile.Profile:
    """A Linux host whose driver saves the cards' memory."""
    data = round_numbers().model_dump(mode="json")
    data["host"]["preserve_video_memory"] = True
    return profile.validate(data, "preserving")


def imprint(rig: Rig):
    engine = rig.engine()
    there, here = engine.alloc(MIB), engine.host_alloc(MIB)
    here.view[:] = b"x" * MIB
    engine.upload(there, here, MIB)
    engine.synchronize()
    here.view[:] = b"." * MIB
    return engine, there, here


# The simulated hosts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "taken"), [(LINUX, 30.0 + 1.6 + 0.9), (MAC, 30.0 + 1.6)])
def test_a_host_sleeps_for_as_long_as_it_was_told_and_wakes(switch_on, name, taken):
    rig = switch_on(name)

    assert sleep_host(rig.host(), 30) == pytest.approx(taken, abs=1.1)

    assert rig.machine.absence.sleeps == 1
    assert rig.machine.gpus[0].driven


@pytest.mark.parametrize(
    ("name", "lines"), [(LINUX, ["PM: suspend entry (deep)", "PM: suspend exit"]), (MAC, ["PMRD: System Sleep"])]
)
def test_the_log_tells_of_the_sleep(switch_on, name, lines):
    rig = switch_on(name)

    sleep_host(rig.host(), 10)

    assert [line for line in lines if line not in said(rig)] == []


def test_nobody_is_answered_by_a_host_that_sleeps(switch_on):
    rig = switch_on(MAC)
    host = rig.host()
    engine = rig.engine(host=host)
    rig.do(rig.machine.absence.sleep, 100.0)

    host.list("/")

    assert host.clock.now() == pytest.approx(101.6)
    with pytest.raises(DriverError, match="CONTEXT_LOST"):
        engine.memory()


def test_what_was_open_is_lost_and_can_be_opened_again(switch_on):
    rig = switch_on(LINUX)
    engine, there, here = imprint(rig)

    sleep_host(rig.host(), 10)

    with pytest.raises(DriverError, match="CONTEXT_LOST"):
        engine.download(here, there, MIB)
    assert rig.engine().memory()[0] > 0


def test_a_driver_that_saves_the_memory_goes_on_where_it_was(switch_on):
    rig = switch_on(preserving())
    host = rig.host()
    engine, there, here = imprint(rig)
    assert host.read("/proc/driver/nvidia/params") == b"PreserveVideoMemoryAllocations: 1\n"

    sleep_host(host, 10)
    engine.download(here, there, MIB)
    engine.synchronize()

    assert bytes(here.view) == b"x" * MIB


def test_a_copy_under_way_ends_with_an_error(switch_on):
    rig = switch_on(LINUX)
    engine = rig.engine()
    there, here = engine.alloc(512 * MIB), engine.host_alloc(512 * MIB)
    engine.upload(there, here, 512 * MIB)

    rig.do(rig.machine.absence.sleep, 10.0)

    with pytest.raises((DeviceGone, DriverError)):
        engine.synchronize()


def test_config_space_is_put_back_unless_a_fault_lets_nobody_do_so(switch_on):
    for faults, command in (((), b"\x06\x00"), ((sleeping(restores_config=False),), bytes(2))):
        host = switch_on(LINUX, *faults).host()

        sleep_host(host, 10)

        assert host.pread(CONFIG, 2, 4) == command


def test_links_train_anew_at_the_wake(switch_on):
    class Tired(Fault):
        name = "tired"

        def on_link_training(self, training: Training) -> None:
            if self.site.now() > 0:
                training.lanes = 1

    rig = switch_on(LINUX, lambda site: Tired(Trigger(), site))
    before = rig.machine.site.link_gbps(0)

    sleep_host(rig.host(), 10)

    assert rig.machine.site.link_gbps(0) == before / 2


def test_an_enclosure_may_be_lost_over_a_sleep(switch_on):
    name = profile.load(LINUX).enclosure[0].name
    rig = switch_on(LINUX, sleeping(lost={name}))
    host = rig.host()

    sleep_host(host, 10)
    host.clock.sleep(1.0)

    assert [enclosure.visible for enclosure in rig.machine.enclosures] == [False, True]


def test_a_host_that_never_wakes_is_given_up(switch_on):
    host = switch_on(LINUX, sleeping(seconds=float("inf"))).host()

    with pytest.raises(DeviceHung, match="was not back 70 s after `rtcwake -m mem -s 10`"):
        sleep_host(host, 10)


def test_a_mac_without_a_wake_sleeps_until_somebody_presses_a_key(switch_on):
    rig = switch_on(MAC)
    host = rig.host()
    assert host.run(["pmset", "sleepnow"], timeout=5.0).stdout == b"Sleeping now...\n"
    host.clock.sleep(1e6)

    assert rig.machine.absence.away


@pytest.mark.parametrize(
    ("name", "argv"),
    [
        (MAC, ["pmset"]),
        (MAC, ["pmset", "relative", "wake", "soon"]),
        (LINUX, ["rtcwake"]),
        (LINUX, ["/usr/sbin/rtcwake", "-m", "disk", "-s", "10"]),
    ],
)
def test_other_words_are_refused(switch_on, name, argv):
    done = switch_on(name).host().run(argv, timeout=5.0)

    assert done.returncode
    assert done.stderr


def test_linux_has_no_other_command(switch_on):
    with pytest.raises(FileNotFoundError):
        switch_on(LINUX).host().run(["lspci"], timeout=5.0)


# Putting a host to sleep ----------------------------------------------------------------------------------------------


class Talker(FilesHost):
    """A host whose commands answer what a test says."""

    def __init__(self, system: str, files: dict[str, bytes], answers: dict[str, Completed | None]) -> None:
        super().__init__({})
        self._system, self._texts, self._answers = system, files, answers

    def facts(self) -> HostFacts:
        return HostFacts(system=self._system)

    def read(self, path: str) -> bytes:
        if path not in self._texts:
            raise FileNotFoundError(2, "No such file or directory", path)
        return self._texts[path]

    def run(self, argv, *, timeout: float) -> Completed:
        answer = self._answers.get(argv[0])
        if answer is None:
            raise FileNotFoundError(2, "No such file or directory", argv[0])
        return answer


def done(code: int = 0, out: bytes = b"", error: bytes = b"") -> Completed:
    return Completed(argv=("x",), returncode=code, stdout=out, stderr=error)


LINUX_FILES = {"/sys/power/state": b"freeze mem disk\n", SLEEPS: b"3\n"}


@pytest.mark.parametrize(
    ("system", "files", "reason"),
    [
        ("Linux", {}, "/sys/power/state cannot be read: No such file or directory"),
        ("Linux", {"/sys/power/state": b"freeze\n"}, "its kernel offers no suspend to RAM"),
        ("Plan 9", {}, "no way to sleep is known on Plan 9"),
    ],
)
def test_a_host_that_cannot_sleep_says_why(system, files, reason):
    host = Talker(system, files, {})

    assert reason in cannot_sleep(host)
    with pytest.raises(NotSupported, match=r"^sleep: "):
        sleep_host(host, 10)


def test_a_captured_host_does_nothing():
    host = Talker("Darwin", {}, {})
    host.kind = "captured"

    assert cannot_sleep(host) == "a captured host does nothing"


@pytest.mark.parametrize(
    ("answers", "kind", "message"),
    [
        ({}, NotSupported, "there is no rtcwake on this host"),
        ({"rtcwake": done(1, error=b"rtcwake: set alarm failed: Permission denied")}, NotPermitted, "run it as root"),
        ({"rtcwake": done(1)}, BenchFault, "ended with 1: it said nothing"),
        ({"rtcwake": done()}, BenchFault, "still counts 3: the host did not sleep"),
    ],
)
def test_a_sleep_that_was_none_is_no_finding_about_the_device(answers, kind, message):
    with pytest.raises(kind, match=message):
        sleep_host(Talker("Linux", LINUX_FILES, answers), 10)


def test_a_mac_that_something_keeps_awake_is_told_of():
    host = Talker("Darwin", {}, {"pmset": done(), "sysctl": done(out=b"{ sec = 1, usec = 0 }")})

    with pytest.raises(BenchFault, match="pmset -g assertions"):
        sleep_host(host, 10)


def test_a_sleep_too_short_to_wake_from_is_refused():
    with pytest.raises(ValueError, match="at least 5, not 1"):
        sleep_host(Talker("Linux", LINUX_FILES, {}), 1)


# The bench ------------------------------------------------------------------------------------------------------------

OPERATIONS = "hil.bench.operations.sleeping"


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    opened = open_bench(Wish(selection=parse("sim:linux-two-enclosures"), folder=tmp_path_factory.mktemp("out")))
    yield opened
    opened.close()


@pytest.fixture
def device(bench) -> Device:
    return bench.devices[0]


def test_a_bench_sleeps_where_that_is_allowed_and_nowhere_else(bench):
    allowed = bench.allow
    assert bench.cannot_sleep() == ""
    bench.allow = allowed.model_copy(update={"sleep": False})
    try:
        with pytest.raises(NotPermitted, match=r"set allow.sleep = true"):
            bench.sleep(10)
        assert "allow.sleep" in bench.cannot_sleep()
    finally:
        bench.allow = allowed


def test_devices_are_open_again_after_a_sleep(bench, device):
    for one in bench.devices:
        one.process()

    assert bench.sleep(10) == pytest.approx(12.5, abs=0.5)

    assert [one.probe() for one in bench.devices] == ["", ""]
    assert device.call("transfer:round_trip", nbytes=4096, epoch=7)["intact"]


def test_memory_that_is_held_is_refused_after_the_wake(bench, device):
    device.call(f"{OPERATIONS}:hold", nbytes=64 << 10, epoch=9)

    bench.sleep(10, keep=[device])

    assert "CONTEXT_LOST" in device.call(f"{OPERATIONS}:look")["refusal"]
    device.renew()
    assert device.probe() == ""


def test_memory_that_is_held_is_intact_where_nothing_happened(device):
    device.call(f"{OPERATIONS}:hold", nbytes=64 << 10, epoch=9)

    found = device.call(f"{OPERATIONS}:look")

    assert (found["refusal"], found["intact"]) == ("", True)


def test_config_space_is_compared_over_a_sleep(bench, device):
    device.bare_call(f"{OPERATIONS}:note_config", deadline=5.0, gpu=device.gpu_facts())
    bench.sleep(10)

    assert device.bare_call(f"{OPERATIONS}:config_changes", deadline=5.0, gpu=device.gpu_facts()) == []


FORGETFUL = """
from hil.sim.faults.base import Fault

class Forgets(Fault):
    name, domain, story, seen_by = "forgets", "host", "The driver keeps its contexts and no memory.", "driver"

    def on_sleep(self, plan):
        if self.strikes():
            plan.context_survives = True
"""


@pytest.mark.slow
def test_a_suite_sees_memory_that_is_silently_lost(tmp_path):
    (tmp_path / "forgets.py").write_text(FORGETFUL)
    lab = Suite(ROOT)

    done = lab.run("suites/driver/test_sleep.py", "-k", "held", "--hil-fault", f"{tmp_path / 'forgets.py'}:Forgets")

    lab.tmp.rmdir()
    assert set(done.outcomes().values()) == {"FAILED"}
    assert "expected as they were, or refused with an error, and are silently other ones" in done.out
