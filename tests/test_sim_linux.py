"""The simulated Linux's PCI bus: formats, remove and rescan, plug and unplug, drivers, what the kernel says of it."""

from __future__ import annotations

import errno

import pytest
from machine_host import refusal, said, slotted, text

from hil.sim import profile
from hil.sim.linux_pci import REMOVE_SECONDS, RESCAN_SECONDS
from hil.sim.machine import Machine

PCI = "/sys/bus/pci/devices"
GPU, AUDIO, UPSTREAM, ROOT, CONTROLLER = (
    *("0000:04:00.0", "0000:04:00.1", "0000:02:00.0"),
    *("0000:00:07.0", "0000:00:0d.2"),
)


@pytest.fixture
def machine() -> Machine:
    return Machine(profile.load("linux-two-enclosures"))


# Formats --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("vendor", "0x10de\n"),
        ("device", "0x26b1\n"),
        ("class", "0x030000\n"),
        ("subsystem_vendor", "0x10de\n"),
        ("subsystem_device", "0x16a1\n"),
        ("revision", "0xa1\n"),
        ("current_link_speed", "16.0 GT/s PCIe\n"),
        ("current_link_width", "4\n"),
        ("max_link_speed", "16.0 GT/s PCIe\n"),
        ("max_link_width", "16\n"),
        ("removable", "removable\n"),
        ("reset_method", "flr bus\n"),
        ("boot_vga", "0\n"),
        ("modalias", "pci:v000010DEd000026B1sv000010DEsd000016A1bc03sc00i00\n"),
        ("resource1_resize", "000000000001ffc0\n"),
    ],
)
def test_an_attribute_reads_as_the_kernel_prints_it(machine, name, content):
    assert text(machine, f"{PCI}/{GPU}/{name}") == content


def test_the_tunnels_root_port_says_gen1_and_the_controller_nothing(machine):
    assert text(machine, f"{PCI}/{ROOT}/current_link_speed") == "2.5 GT/s PCIe\n"
    assert text(machine, f"{PCI}/{CONTROLLER}/current_link_speed") == "Unknown\n"
    assert text(machine, f"{PCI}/{CONTROLLER}/current_link_width") == "0\n"
    assert "removable" not in machine.tree.list(f"{PCI}/{ROOT}")


def test_a_function_lies_in_the_folder_of_the_bridge_above(machine):
    chain = "pci0000:00/0000:00:07.0/0000:02:00.0/0000:03:01.0/0000:04:00.0"
    assert machine.tree.readlink(f"{PCI}/{GPU}") == f"../../../devices/{chain}"
    assert machine.tree.read(f"/sys/devices/{chain}/vendor") == b"0x10de\n"
    assert machine.tree.resolve(f"{PCI}/{GPU}/subsystem") == "/sys/bus/pci"


def test_resources_of_cards_and_bridges(machine):
    lines = text(machine, f"{PCI}/{GPU}/resource").splitlines()
    start, end, flags = (int(part, 16) for part in lines[1].split())

    assert len(lines) == 13
    assert lines[0] == "0x0000000080000000 0x0000000080ffffff 0x0000000000040200"
    assert (end - start + 1, flags) == (256 << 20, 0x14220C)
    assert lines[2].split() == ["0x0000000000000000"] * 3
    assert len(text(machine, f"{PCI}/{ROOT}/resource").splitlines()) == 17


def test_two_cards_do_not_share_addresses(machine):
    first, second = (text(machine, f"{PCI}/{a}/resource").splitlines() for a in (GPU, "0000:24:00.0"))
    assert not set(first[:2]) & set(second[:2])


def test_aer_counters_come_with_all_names_and_their_total(machine):
    machine.functions[GPU].aer = {"correctable": {"BadTLP": 3, "Timeout": 2}, "fatal": {"NewInThisKernel": 1}}

    correctable = text(machine, f"{PCI}/{GPU}/aer_dev_correctable").splitlines()

    assert correctable[1:5] == ["BadTLP 3", "BadDLLP 0", "Rollover 0", "Timeout 2"]
    assert correctable[-1] == "TOTAL_ERR_COR 5"
    assert text(machine, f"{PCI}/{GPU}/aer_dev_fatal").endswith("NewInThisKernel 1\nTOTAL_ERR_FATAL 1\n")
    assert text(machine, f"{PCI}/{GPU}/aer_dev_nonfatal").endswith("TOTAL_ERR_NONFATAL 0\n")


def test_the_kernels_device_links_join_root_port_and_controller(machine):
    link = f"{PCI}/{CONTROLLER}/consumer:pci:{ROOT}"
    assert machine.tree.resolve(link) == machine.tree.resolve(f"{PCI}/{ROOT}/supplier:pci:{CONTROLLER}")
    assert machine.tree.resolve(f"{link}/consumer") == machine.tree.resolve(f"{PCI}/{ROOT}")


def test_the_host_tells_who_it_is(machine):
    assert text(machine, "/proc/sys/kernel/random/boot_id") == f"{machine.boot_id}\n"
    assert text(machine, "/sys/class/dmi/id/product_name") == "ThinkStation P3\n"
    assert text(machine, "/proc/sys/kernel/osrelease") == "6.12.48\n"
    assert text(machine, "/sys/module/nvidia/version") == "580.95.05\n"
    assert machine.face.run(["lspci"]) is None


# Coming and going -----------------------------------------------------------------------------------------------------


def test_remove_and_rescan_take_away_and_bring_back_what_is_below(machine):
    before = machine.tree.list(PCI)
    events = []
    machine.listeners.append(lambda event: events.append((event.action, event.path)))

    assert machine.tree.write(f"{PCI}/{UPSTREAM}/remove", b"1") == REMOVE_SECONDS
    left = machine.tree.list(PCI)
    assert machine.tree.write("/sys/bus/pci/rescan", b"1\n") == RESCAN_SECONDS

    assert len(before) - len(left) == 5
    assert GPU not in left
    assert machine.tree.list(PCI) == before
    assert events.count(("remove", GPU)) == events.count(("add", GPU)) == 1
    assert text(machine, f"{PCI}/{GPU}/vendor") == "0x10de\n"
    assert not any("Xid" in line or "pciehp" in line for line in said(machine))


def test_what_is_removed_has_no_files_any_more(machine):
    machine.tree.write(f"{PCI}/{GPU}/remove", b"1")
    assert GPU not in machine.tree.list("/sys/bus/pci/drivers/nvidia")
    with pytest.raises(FileNotFoundError):
        machine.tree.read(f"{PCI}/{GPU}/vendor")
    with pytest.raises(FileNotFoundError):
        machine.tree.write(f"{PCI}/{GPU}/remove", b"1")
    assert AUDIO in machine.tree.list(PCI)


def test_zero_removes_and_rescans_nothing(machine):
    before = machine.tree.list(PCI)
    assert machine.tree.write(f"{PCI}/{GPU}/remove", b"0") == 0
    assert machine.tree.write(f"{PCI}/{GPU}/rescan", b"0") == 0
    assert machine.tree.list(PCI) == before


@pytest.mark.parametrize("address", [ROOT, CONTROLLER])
def test_the_machines_own_ports_come_back_with_their_links(machine, address):
    machine.tree.write(f"{PCI}/{address}/remove", b"1")
    assert f"consumer:pci:{ROOT}" not in (machine.tree.list(f"{PCI}/{CONTROLLER}") if address == ROOT else [])
    machine.tree.write("/sys/bus/pci/rescan", b"1")
    assert f"consumer:pci:{ROOT}" in machine.tree.list(f"{PCI}/{CONTROLLER}")
    assert GPU in machine.tree.list(PCI)


def test_a_surprise_removal_reads_as_a_real_kernels_log(machine):
    start = len(machine.lines)
    machine.detach(machine.enclosures[0])
    machine.clock.sleep("test", 0.1)

    assert said(machine)[start:] == [
        "pcieport 0000:00:07.0: pciehp: Slot(12): Link Down",
        "pcieport 0000:00:07.0: pciehp: Slot(12): Card not present",
        "NVRM: Xid (PCI:0000:04:00): 79, GPU has fallen off the bus.",
        "thunderbolt 0-1: device disconnected",
        "thunderbolt 0-0:1.1: retimer disconnected",
    ]
    assert [a for a in machine.tree.list(PCI) if a.startswith(("0000:02", "0000:03", "0000:04"))] == []


def test_a_cable_pulled_after_an_orderly_removal_is_no_xid(machine):
    machine.tree.write(f"{PCI}/{UPSTREAM}/remove", b"1")
    start = len(machine.lines)
    machine.detach(machine.enclosures[0])
    machine.clock.sleep("test", 0.1)

    log = said(machine)[start:]
    assert log[0] == "pcieport 0000:00:07.0: pciehp: Slot(12): Link Down"
    assert not any("Xid" in line for line in log)


def test_an_attach_is_logged_and_told(machine):
    machine.detach(machine.enclosures[1])
    machine.clock.sleep("test", 0.1)
    start, events = len(machine.lines), []
    machine.listeners.append(lambda event: events.append((event.action, event.subsystem, event.path)))

    machine.attach(machine.enclosures[1])
    machine.clock.sleep("test", 5.0)

    log = said(machine)[start:]
    assert log[0] == "thunderbolt 1-1: new device found, vendor=0xb7 device=0x1137"
    assert "pcieport 0000:00:07.1: pciehp: Slot(13): Card present" in log
    assert "pcieport 0000:00:07.1: pciehp: Slot(13): Link Up" in log
    assert "pci 0000:24:00.0: [10de:2684] type 00 class 0x030000 PCIe Legacy Endpoint" in log
    assert events[0] == ("add", "thunderbolt", "1-1")
    assert ("add", "pci", "0000:24:00.0") in events


def test_a_cable_pulled_before_its_router_was_there_brings_nothing(machine):
    box = machine.enclosures[0]
    machine.detach(box)
    machine.clock.sleep("test", 0.1)
    machine.attach(box)
    machine.clock.sleep("test", 0.5)
    machine.detach(box)
    machine.clock.sleep("test", 0.1)
    machine.attach(box)
    machine.clock.sleep("test", 0.6)

    assert not box.visible  # the first plug's time is over, the second's is not
    machine.clock.sleep("test", 1.0)
    assert box.visible
    assert machine.gpus[0].reachable


def test_a_card_pulled_out_of_its_slot_is_lost_and_no_rescan_finds_it():
    machine = slotted()
    machine.tree.write(f"{PCI}/0000:01:00.0/remove", b"1")
    machine.tree.write("/sys/bus/pci/rescan", b"1")
    assert machine.gpus[1].reachable

    machine.site.remove(1)

    assert not machine.gpus[1].reachable
    assert "pcieport 0000:00:01.0: pciehp: Slot(1): Card not present" in said(machine)
    machine.tree.write("/sys/bus/pci/rescan", b"1")
    assert "0000:01:00.0" not in machine.tree.list(PCI)


def test_a_slot_tells_whether_it_is_filled_and_can_be_switched(machine):
    slot = "/sys/bus/pci/slots/12"
    assert (text(machine, f"{slot}/address"), text(machine, f"{slot}/adapter")) == ("0000:02:00\n", "1\n")
    machine.tree.write(f"{slot}/power", b"0")
    assert text(machine, f"{slot}/power") == "0\n"
    assert not machine.gpus[0].reachable
    machine.tree.write(f"{slot}/power", b"1")
    assert text(machine, f"{slot}/power") == "1\n"
    assert refusal(machine, f"{slot}/power", b"2") == errno.EINVAL
    machine.tree.write(f"{PCI}/{ROOT}/remove", b"1")
    assert text(machine, f"{slot}/address") == "0000:00:00\n"


# Drivers --------------------------------------------------------------------------------------------------------------


def test_a_driver_lets_go_and_takes_again(machine):
    driver = "/sys/bus/pci/drivers/nvidia"
    generation = machine.gpus[0].generation
    assert machine.tree.resolve(f"{PCI}/{GPU}/driver") == driver
    assert "DRIVER=nvidia\n" in text(machine, f"{PCI}/{GPU}/uevent")

    machine.tree.write(f"{driver}/unbind", f"{GPU}\n".encode())
    assert "driver" not in machine.tree.list(f"{PCI}/{GPU}")
    assert "DRIVER" not in text(machine, f"{PCI}/{GPU}/uevent")
    assert refusal(machine, f"{driver}/unbind", GPU.encode()) == errno.ENODEV
    machine.tree.write(f"{driver}/bind", GPU.encode())

    assert machine.tree.resolve(f"{driver}/{GPU}") == machine.tree.resolve(f"{PCI}/{GPU}")
    assert machine.gpus[0].generation > generation
    assert refusal(machine, f"{driver}/bind", GPU.encode()) == errno.EBUSY


@pytest.mark.parametrize("address", [AUDIO, "0000:77:00.0", "nonsense"])
def test_a_driver_takes_only_what_it_matches(machine, address):
    assert refusal(machine, "/sys/bus/pci/drivers/nvidia/bind", address.encode()) == errno.ENODEV


def test_a_driver_that_was_unbound_is_back_after_remove_and_rescan(machine):
    machine.tree.write("/sys/bus/pci/drivers/nvidia/unbind", GPU.encode())
    machine.tree.write(f"{PCI}/{GPU}/remove", b"1")
    machine.tree.write("/sys/bus/pci/rescan", b"1")
    assert machine.functions[GPU].driver == "nvidia"


def test_without_nvidias_driver_a_card_has_none():
    known = profile.load("linux-two-enclosures")
    host = known.host.model_copy(update={"driver_version": ""})
    machine = Machine(known.model_copy(update={"host": host}))

    machine.detach(machine.enclosures[0])
    machine.clock.sleep("test", 0.1)

    assert "driver" not in machine.tree.list(f"{PCI}/0000:24:00.0")
    assert "nvidia" not in machine.tree.list("/sys/bus/pci/drivers")
    assert not any("NVRM" in line for line in said(machine))


@pytest.mark.parametrize("name", ["remove", "reset", "rescan"])
def test_what_can_only_be_written_cannot_be_read(machine, name):
    with pytest.raises(PermissionError):
        machine.tree.read(f"{PCI}/{GPU}/{name}")
    with pytest.raises(PermissionError):
        machine.tree.pread(f"{PCI}/{GPU}/{name}", 4, 0)


def test_what_can_only_be_read_cannot_be_written(machine):
    assert refusal(machine, f"{PCI}/{GPU}/vendor", b"1") == errno.EACCES
