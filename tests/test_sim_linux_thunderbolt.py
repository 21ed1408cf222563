"""The simulated Linux's Thunderbolt bus: formats, daisy chains, authorization, and that discovery finds the profile."""

from __future__ import annotations

import errno

import pytest
from machine_host import MachineHost

from hil.discovery import discover
from hil.model import LinkKind
from hil.sim import profile
from hil.sim.linux_thunderbolt import unique_id
from hil.sim.machine import Machine
from hil.sim.profile import Profile

BUS = "/sys/bus/thunderbolt/devices"
PCI = "/sys/bus/pci/devices"
GPU = "0000:04:00.0"


@pytest.fixture
def machine() -> Machine:
    return Machine(profile.load("linux-two-enclosures"))


def chained(**second: object) -> Profile:
    """The second enclosure behind the first, on the first port."""
    known = profile.load("linux-two-enclosures")
    first, behind = known.enclosure
    behind = behind.model_copy(update={"behind": first.name, "port": 0, **second})
    return known.model_copy(update={"enclosure": (first, behind)})


def text(machine: Machine, path: str) -> str:
    return machine.tree.read(f"{BUS}/{path}").decode()


def refusal(machine: Machine, path: str, data: bytes) -> int | None:
    with pytest.raises(OSError) as caught:  # noqa: PT011  (the errno is looked at)
        machine.tree.write(f"{BUS}/{path}", data)
    return caught.value.errno


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("domain0/security", "user\n"),
        ("domain0/deauthorization", "1\n"),
        ("domain0/iommu_dma_protection", "1\n"),
        ("0-1/vendor", "0x41\n"),
        ("0-1/device", "0xa4c\n"),
        ("0-1/vendor_name", "Akitio\n"),
        ("0-1/device_name", "eGPU Node Titan\n"),
        ("0-1/generation", "4\n"),
        ("0-1/authorized", "1\n"),
        ("0-1/boot", "1\n"),
        ("0-1/nvm_version", "40.1\n"),
        ("0-1/rx_speed", "20.0 Gb/s\n"),
        ("0-1/tx_lanes", "2\n"),
        ("0-1/unique_id", "a0014100-7707-f2c4-ffff-ffffffffffff\n"),
        ("0-0:1.1/vendor", "0x8087\n"),
        ("0-0/usb4_port1/link", "usb4\n"),
    ],
)
def test_an_attribute_reads_as_the_kernel_prints_it(machine, path, content):
    assert text(machine, path) == content


def test_the_hosts_router_has_neither_link_nor_boot_nor_firmware(machine):
    assert not {"rx_speed", "tx_lanes", "boot", "nvm_version"} & set(machine.tree.list(f"{BUS}/0-0"))


@pytest.mark.parametrize(
    ("uid", "generation", "printed"),
    [
        # As `boltctl` and sysfs of real enclosures print the ids that macOS shows for them.
        (0x0008F8F4_C5890B00, 3, "000b89c5-f4f8-0800-ffff-ffffffffffff"),
        (0x808714C4_E87CA900, 4, "c4148780-00a9-7ce8-ffff-ffffffffffff"),
    ],
)
def test_a_routers_id_becomes_the_uuid_the_kernel_prints(uid, generation, printed):
    assert unique_id(uid, generation=generation) == printed


def test_the_domain_lies_below_its_host_controller(machine):
    assert machine.tree.readlink(f"{BUS}/domain1") == "../../../devices/pci0000:00/0000:00:0d.3/domain1"
    assert machine.tree.readlink(f"{BUS}/0-1").endswith("/0000:00:0d.2/domain0/0-0/0-1")


@pytest.mark.parametrize("name", ["linux-two-enclosures", "macbook-pro-usb4"])
def test_discovery_finds_exactly_the_profile(name):
    known = profile.load(name)

    found = discover(MachineHost(Machine(known)))

    assert found.problems == ()
    assert {e.router.uid: (e.router.device_name, e.router.kind, e.router.link.gbps) for e in found.enclosures} == {
        e.uid: (e.name, e.link_kind, e.lane_gbps * e.lanes) for e in known.enclosure
    }
    joined = {(g.function.device_id, g.function.subsystem_device_id, g.enclosure.device_name) for g in found.gpus}
    assert joined == {(g.device_id, g.subsystem_device_id, g.enclosure) for g in known.gpu}


def test_discovery_tells_apart_what_is_daisy_chained():
    machine = Machine(chained())

    found = discover(MachineHost(machine))

    assert found.problems == ()
    assert text(machine, "0-301/device_name") == "TH3P4G3\n"
    assert machine.tree.readlink(f"{BUS}/0-301").endswith("/0-0/0-1/0-301")
    assert {gpu.enclosure.name: gpu.function.device_id for gpu in found.gpus} == {"0-1": 0x26B1, "0-301": 0x2684}


@pytest.mark.parametrize(
    ("kind", "lane", "found"),
    [("thunderbolt3", 20.0, LinkKind.THUNDERBOLT3), ("thunderbolt5", 40.0, LinkKind.THUNDERBOLT5)],
)
def test_discovery_finds_other_kinds_of_enclosure(kind, lane, found):
    known = profile.load("linux-two-enclosures")
    box = known.enclosure[0].model_copy(update={"kind": kind, "lane_gbps": lane})
    host = known.host.model_copy(update={"port_kind": "thunderbolt5"})
    machine = Machine(known.model_copy(update={"host": host, "enclosure": (box, known.enclosure[1])}))

    gpu = discover(MachineHost(machine)).gpus[0]

    assert gpu.link_kind is found
    assert gpu.enclosure.uid == box.uid
    assert text(machine, "0-1/rx_speed") == f"{lane:.1f} Gb/s\n"
    assert text(machine, "0-0/usb4_port1/link") == ("tbt\n" if kind == "thunderbolt3" else "usb4\n")


def test_revoking_takes_the_functions_and_granting_brings_them_back(machine):
    events = []
    machine.listeners.append(lambda event: events.append((event.action, event.path)))

    assert machine.tree.write(f"{BUS}/0-1/authorized", b"0") > 0
    assert GPU not in machine.tree.list(PCI)
    assert text(machine, "0-1/authorized") == "0\n"
    assert machine.tree.write(f"{BUS}/0-1/authorized", b"1\n") > 0
    machine.clock.sleep("test", 1.0)

    assert GPU in machine.tree.list(PCI)
    assert machine.gpus[0].reachable
    assert events.count(("change", "0-1")) == 2
    assert not any("Xid" in line.text for line in machine.lines)


@pytest.mark.parametrize("wrong", [b"1", b"3", b"x"])
def test_what_changes_nothing_or_has_no_meaning_is_refused(machine, wrong):
    assert refusal(machine, "0-1/authorized", wrong) == errno.EINVAL


def test_a_challenge_without_a_key_is_refused(machine):
    machine.tree.write(f"{BUS}/0-1/authorized", b"0")
    assert refusal(machine, "0-1/authorized", b"2") == errno.EINVAL


def test_revoking_an_enclosure_revokes_those_behind_it():
    machine = Machine(chained())

    machine.tree.write(f"{BUS}/0-1/authorized", b"0")

    assert text(machine, "0-301/authorized") == "0\n"
    assert not any(gpu.reachable for gpu in machine.gpus)
    assert refusal(machine, "0-301/authorized", b"1") == errno.EINVAL
    machine.tree.write(f"{BUS}/0-1/authorized", b"1")
    machine.clock.sleep("test", 1.0)
    assert [gpu.reachable for gpu in machine.gpus] == [True, False]
    machine.tree.write(f"{BUS}/0-301/authorized", b"1")
    machine.clock.sleep("test", 1.0)
    assert [gpu.reachable for gpu in machine.gpus] == [True, True]


def test_a_grant_that_is_revoked_before_the_tunnel_is_up_brings_nothing(machine):
    machine.tree.write(f"{BUS}/0-1/authorized", b"0")
    machine.tree.write(f"{BUS}/0-1/authorized", b"1")
    machine.tree.write(f"{BUS}/0-1/authorized", b"0")
    machine.clock.sleep("test", 1.0)
    assert GPU not in machine.tree.list(PCI)


def test_an_unplugged_chain_leaves_nothing_and_returns_on_another_port():
    machine = Machine(chained())
    machine.detach(machine.enclosures[0])
    machine.clock.sleep("test", 0.1)
    assert machine.tree.list(BUS) == ["0-0", "1-0", "domain0", "domain1"]
    assert text(machine, "0-0/usb4_port1/link") == "none\n"

    machine.attach(machine.enclosures[0], 1)
    machine.clock.sleep("test", 3.0)

    assert {"1-1", "1-301", "1-0:1.1"} <= set(machine.tree.list(BUS))
    assert text(machine, "1-1/boot") == "0\n"
    found = discover(MachineHost(machine))
    assert found.problems == ()
    assert {gpu.enclosure.name for gpu in found.gpus} == {"1-1", "1-301"}
