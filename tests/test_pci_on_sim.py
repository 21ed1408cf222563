"""The clients of registers, actuators and the kernel log against the simulated machine, both ends in one process."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hil.control import actuator, wait_gone, wait_present
from hil.discovery import discover
from hil.errors import BenchFault, DeviceFault, DeviceGone, DeviceHung, DriverError, NotSupported
from hil.hosts.simulated import SimulatedHost
from hil.pci import (
    differences,
    identify,
    maximum_link,
    negotiated_link,
    open_function,
    presence,
    restore,
    snapshot,
    wait_ready,
)
from hil.sim.faults.base import Fault, Identity, ResetPlan, Trigger
from hil.sim.machine import Machine
from hil.sim.profile import load
from hil.sim.server import Server
from hil.watch import begin, since

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    SwitchOn = Callable[..., SimulatedHost]

LINUX, MAC = "linux-two-enclosures", "macbook-pro-usb4"


class BadReset(Fault):
    """Resets go wrong as the test says."""

    name = "bad-reset"

    def __init__(self, machine: Machine, *, succeeds: bool = True, retry: float = 0.0) -> None:
        super().__init__(Trigger(), machine)
        self.succeeds, self.retry = succeeds, retry

    def on_reset(self, plan: ResetPlan) -> None:
        plan.succeeds, plan.retry_status_for = self.succeeds, self.retry


class NoTunnel(Fault):
    """The router comes back without its functions."""

    name = "no-tunnel"

    def on_attach(self, identity: Identity) -> None:
        identity.gpus_present = False


@pytest.fixture
def switch_on() -> Iterator[Callable[..., SimulatedHost]]:
    servers: list[Server] = []
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:

        def start(profile: str, fault: Callable[[Machine], Fault] | None = None) -> SimulatedHost:
            machine = Machine(load(profile), lambda m: (fault(m),) if fault else ())
            server = Server(machine, Path(folder) / "m")
            servers.append(server)
            threading.Thread(target=server.serve, daemon=True).start()
            return SimulatedHost(str(server.address))

        yield start
        for server in servers:
            server.switch_off()


@pytest.mark.parametrize("profile", [LINUX, MAC])
def test_a_card_is_identified_and_tells_its_links(switch_on: SwitchOn, profile: str) -> None:
    host = switch_on(profile)
    for gpu in discover(host).gpus:
        access = open_function(host, gpu)

        assert identify(access).boot_0 >> 20 in {0x192, 0x193}
        assert access.bar_size(1) == 256 << 20
        assert (str(negotiated_link(access)), str(maximum_link(access))) == ("16 GT/s x4", "16 GT/s x16")
        access.close()


@pytest.mark.parametrize("profile", [LINUX, MAC])
def test_the_cards_memory_is_written_and_read_through_its_bar(switch_on: SwitchOn, profile: str) -> None:
    host = switch_on(profile)
    access = open_function(host, discover(host).gpus[0])

    access.mmio_write(1, 0x1000, bytes(range(256)))

    assert access.mmio_read(1, 0xFFE, 258) == bytes(2) + bytes(range(256))


def test_linux_puts_the_config_back_after_each_kind_of_reset(switch_on: SwitchOn) -> None:
    host = switch_on(LINUX)
    access = open_function(host, discover(host).gpus[0])
    before = snapshot(access)

    for kind in access.reset_kinds():
        access.reset(kind)
        wait_ready(access, host.clock, 1.0)

        assert differences(before, snapshot(access)) == ()
        assert access.reset_kinds() == ("flr", "bus")


def test_tinygpu_leaves_the_config_cleared_and_restore_puts_it_back(switch_on: SwitchOn) -> None:
    host = switch_on(MAC)
    access = open_function(host, discover(host).gpus[0])
    before = snapshot(access)

    access.reset()

    wait_ready(access, host.clock, 1.0)
    with pytest.raises(DriverError, match="memory decoding is off"):
        identify(access)
    assert "COMMAND was 0x0006, is 0x0000" in restore(access, before)
    assert identify(access).boot_0 == 0x193000A1


def test_a_card_that_answers_later_is_waited_for(switch_on: SwitchOn) -> None:
    host = switch_on(MAC, lambda machine: BadReset(machine, retry=0.3))
    access = open_function(host, discover(host).gpus[0])

    access.reset()

    assert presence(access) == "retry"
    assert wait_ready(access, host.clock, 2.0) == pytest.approx(0.3, abs=0.02)


def test_a_card_that_never_answers_is_hung_and_named_with_its_last_value(switch_on: SwitchOn) -> None:
    host = switch_on(MAC, lambda machine: BadReset(machine, retry=1e9))
    access = open_function(host, discover(host).gpus[0])

    access.reset()

    with pytest.raises(DeviceHung, match="0xffff0001"):
        wait_ready(access, host.clock, 5.0)


@pytest.mark.parametrize(("profile", "words"), [(LINUX, "ENOTTY"), (MAC, "RESET refused")])
def test_a_reset_that_fails_is_the_drivers_error(switch_on: SwitchOn, profile: str, words: str) -> None:
    host = switch_on(profile, lambda machine: BadReset(machine, succeeds=False))
    access = open_function(host, discover(host).gpus[0])

    with pytest.raises(DriverError, match=words):
        access.reset()
    assert presence(access) == "gone"


@pytest.mark.parametrize("profile", [LINUX, MAC])
def test_an_unplugged_card_is_gone_comes_back_and_is_opened_anew(switch_on: SwitchOn, profile: str) -> None:
    host = switch_on(profile)
    found = discover(host)
    box = found.enclosures[0]
    gpu = next(gpu for gpu in found.gpus if gpu.enclosure == box.router)
    access = open_function(host, gpu)
    plug = actuator("simulated").open(host, box.router, {})

    plug.detach()
    wait_gone(host, box.router, deadline=2, functions=box.functions)
    with pytest.raises(DeviceGone):
        access.config_read(0, 4)
    plug.attach()
    took = wait_present(host, box.router, deadline=5)

    assert 1.0 < took < 3.0
    again = next(one for one in discover(host).gpus if one.id == gpu.id)
    assert presence(open_function(host, again)) == "ready"


def test_a_router_that_comes_back_without_its_card_is_told_as_a_missing_tunnel(switch_on: SwitchOn) -> None:
    host = switch_on(LINUX, lambda machine: NoTunnel(Trigger(), machine))
    box = discover(host).enclosures[0].router
    plug = actuator("simulated").open(host, box, {})
    plug.detach()
    wait_gone(host, box, deadline=2)

    plug.attach()

    with pytest.raises(DeviceFault, match="PCIe tunnel missing: router is there, no 10de function after 5 s"):
        wait_present(host, box, deadline=5)


def test_a_cable_that_is_not_pushed_in_is_a_router_that_did_not_come_back(switch_on: SwitchOn) -> None:
    host = switch_on(MAC)
    box = discover(host).enclosures[0].router
    actuator("simulated").open(host, box, {}).detach()
    wait_gone(host, box, deadline=2)

    with pytest.raises(DeviceFault, match="router did not come back within 4 s"):
        wait_present(host, box, deadline=4)


def test_an_enclosure_that_the_machine_does_not_know_is_a_fault_of_the_bench(switch_on: SwitchOn) -> None:
    host = switch_on(LINUX)
    host_router = next(router for router in discover(host).routers if router.parent is None)

    with pytest.raises(BenchFault, match="the simulated machine refused"):
        actuator("simulated").open(host, host_router, {}).detach()


@pytest.mark.parametrize("by", ["remove", "authorize"])
def test_an_orderly_removal_takes_the_functions_and_leaves_the_router(switch_on: SwitchOn, by: str) -> None:
    host = switch_on(LINUX)
    box = discover(host).enclosures[0]
    try:
        eject = actuator("sysfs").open(host, box.router, {"by": by})
    except NotSupported:
        pytest.skip("this machine's domains do not allow deauthorization")

    mark = begin(host, box.functions)
    eject.detach()
    wait_gone(host, box.router, deadline=2, router_too=False, functions=box.functions)
    eject.attach()
    wait_present(host, box.router, deadline=5)

    assert since(host, mark).xids == ()


def test_a_surprise_removal_is_seen_in_the_kernel_log_of_its_window(switch_on: SwitchOn) -> None:
    host = switch_on(LINUX)
    gpu = discover(host).gpus[0]
    assert gpu.enclosure is not None
    quiet = since(host, begin(host, [gpu.function.address]))
    mark = begin(host, [gpu.function.address])

    actuator("simulated").open(host, gpu.enclosure, {}).detach()
    wait_gone(host, gpu.enclosure, deadline=2)
    seen = since(host, mark)

    assert (quiet.lines, quiet.aer, quiet.problems) == ((), (), ())
    assert [xid.number for xid in seen.xids if xid.concerns(gpu.function.address)] == [79]
    assert {"xid", "hot plug"} <= {line.about for line in seen.relevant}
    assert len(mark.functions) > 1
