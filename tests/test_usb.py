"""USB through the real pyusb on simulated machines, its discovery on both systems, and the join with enclosures."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import usb.core
import usb.util
from sim_rig import Rig
from tree_host import TreeHost, answered, tree
from usb_bus import Bus

from hil.discovery import discover, usb_join
from hil.discovery import usb as source
from hil.errors import BenchFault, NotSupported
from hil.hosts.base import Completed
from hil.hosts.bench_sections import ActuatorEntry
from hil.model import Inventory, Router, RouterRole, UsbFunction, from_dict, to_dict
from hil.sim import profile
from hil.sim.profile import Profile, UsbSpec

LINUX, MAC, CHAIN = "linux-two-enclosures", "macbook-pro-usb4", "linux-daisy-chain"
UID = "00d4174024640001"
BILLBOARD = UsbSpec(vendor_id=0x0BDA, product_id=0x5411, product="Billboard", device_class=0x11, speed_mbps=12)


@pytest.fixture
def switch_on() -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def start(chosen: Any) -> Rig:
        rigs.append(Rig(chosen))
        return rigs[-1]

    yield start
    for rig in rigs:
        rig.close()


def with_switch(name: str) -> Profile:
    known = profile.load(name)
    entry = ActuatorEntry(kind="mcci", enclosure=known.enclosure[0].name)
    return known.model_copy(update={"actuator": (entry,)})


def with_usb(name: str, *specs: UsbSpec) -> Profile:
    known = profile.load(name)
    boxes = (known.enclosure[0].model_copy(update={"usb": specs}), *known.enclosure[1:])
    return known.model_copy(update={"enclosure": boxes})


def found(rig: Rig, **wanted: Any) -> list[Any]:
    return list(usb.core.find(find_all=True, backend=rig.host().usb_backend(), **wanted))


# The wire


@pytest.mark.parametrize(("name", "location"), [(LINUX, (1, (1,))), (MAC, (0, (1,)))])
def test_an_enclosures_hub_is_found_with_its_strings(switch_on, name, location):
    rig = switch_on(name)
    spec = rig.machine.enclosures[0].spec

    hub = found(rig, idVendor=0x2109)[0]

    assert (hub.bus, hub.port_numbers) == location
    assert (hub.manufacturer, hub.product, hub.serial_number) == (spec.vendor, f"{spec.name} hub", spec.uid.upper())
    assert (hub.bDeviceClass, hub.speed) == (9, usb.util.SPEED_SUPER)


def test_root_hubs_are_the_parents_on_linux_and_hidden_on_macos(switch_on):
    linux, mac = switch_on(LINUX), switch_on(MAC)

    roots = found(linux, idVendor=0x1D6B)
    hub = found(linux, idVendor=0x2109)[1]

    assert [(root.bus, root.port_numbers, root.parent) for root in roots] == [(1, None, None), (2, None, None)]
    assert (hub.parent.bus, hub.parent.idVendor) == (2, 0x1D6B)
    assert found(mac, idVendor=0x1D6B) == []


def test_a_device_can_be_configured_and_walked_through(switch_on):
    hub = found(switch_on(LINUX), idVendor=0x2109)[0]

    hub.set_configuration()
    configuration = hub.get_active_configuration()
    usb.util.claim_interface(hub, 0)
    usb.util.release_interface(hub, 0)

    endpoints = [(i.bInterfaceClass, [e.bEndpointAddress for e in i]) for i in configuration]
    assert endpoints == [(9, [0x81])]
    assert "eGPU Node Titan hub" in str(hub)
    usb.util.dispose_resources(hub)


def test_what_the_device_does_not_know_is_refused(switch_on):
    hub = found(switch_on(LINUX), idVendor=0x2109)[0]

    codes = []
    for refused in (
        lambda: hub.ctrl_transfer(0xC0, 0x33, 0, 0, 8),
        lambda: usb.util.get_string(hub, 9, 0x0409),
        lambda: hub._ctx.backend.set_configuration("1-1", 2),
        lambda: usb.util.claim_interface(hub, 1),
    ):
        with pytest.raises(usb.core.USBError) as caught:
            refused()
        codes.append(caught.value.errno)

    assert codes == [errno.EPIPE, errno.EPIPE, errno.ENOENT, errno.ENOENT]
    with pytest.raises(NotImplementedError):
        hub.write(0x81, b"x")


def test_a_device_without_strings_has_none(switch_on):
    bare = found(switch_on(with_usb(LINUX, UsbSpec(vendor_id=1, product_id=2))), idVendor=1)[0]

    assert (bare.manufacturer, bare.product, bare.serial_number) == (None, None, None)


def test_the_devices_of_an_unplugged_enclosure_are_gone(switch_on):
    rig = switch_on(LINUX)
    hub = found(rig, idVendor=0x2109)[0]

    rig.do(rig.machine.detach, rig.machine.enclosures[0])
    rig.host().clock.sleep(1.0)

    with pytest.raises(usb.core.USBError) as caught:
        usb.util.claim_interface(hub, 0)
    assert caught.value.errno == errno.ENODEV
    assert [device.product for device in found(rig, idVendor=0x2109)] == ["TH3P4G3 hub"]


def test_several_devices_hang_behind_the_first(switch_on):
    rig = switch_on(with_usb(LINUX, UsbSpec(vendor_id=1, product_id=1), BILLBOARD))

    board = found(rig, idProduct=0x5411)[0]

    assert (board.port_numbers, board.bDeviceClass, board.parent.idVendor) == ((1, 1), 0x11, 1)
    assert [list(interface) for interface in board.get_active_configuration()] == [[]]


def test_a_chained_enclosure_hangs_on_the_hub_in_front(switch_on):
    rig = switch_on(CHAIN)
    behind = next(box.spec for box in rig.machine.enclosures if box.spec.behind)

    hub = found(rig, custom_match=lambda d: d.serial_number == behind.uid.upper())[0]

    assert hub.port_numbers == (1, 4)
    assert hub.parent.serial_number != behind.uid.upper()


def test_behind_an_enclosure_without_usb_the_next_one_takes_its_place(switch_on):
    known = profile.load(CHAIN)
    boxes = (known.enclosure[0].model_copy(update={"usb": ()}), *known.enclosure[1:])
    rig = switch_on(known.model_copy(update={"enclosure": boxes}))

    assert [hub.port_numbers[:1] for hub in found(rig, idVendor=0x2109)] == [(1,)] * (len(boxes) - 1)


@pytest.mark.parametrize("name", [LINUX, MAC])
def test_a_switch_is_there_where_the_profile_has_one(switch_on, name):
    switch = found(switch_on(with_switch(name)), idVendor=0x045E, idProduct=0x0646)

    assert [(one.manufacturer, one.product, one.serial_number) for one in switch] == [
        ("MCCI", "USB4 Switch 3141", "SIM00000")
    ]
    assert found(switch_on(name), idVendor=0x045E) == []


def test_a_profile_says_what_is_on_usb_and_a_wrong_value_is_named():
    data = profile.load(LINUX).model_dump(mode="json")
    data["enclosure"][0]["usb"] = [{"vendor_id": 1, "product_id": 2, "speed_mbps": 5}]

    with pytest.raises(BenchFault, match=r"enclosure\.0\.usb\.0\.speed_mbps"):
        profile.validate(data, "mine.toml")


# Discovery on simulated machines


def test_a_linux_hub_is_discovered_and_joined_by_its_serial_number(switch_on):
    inventory = discover(switch_on(LINUX).host())

    assert inventory.usb[0] == UsbFunction(
        location="1-1",
        vendor_id=0x2109,
        product_id=0x0817,
        vendor_name="Akitio",
        product_name="eGPU Node Titan hub",
        serial="004101A0C4F20777",
        speed_mbps=5000.0,
        device_class=9,
        enclosure="004101a0c4f20777",
    )
    assert [u.enclosure for u in inventory.usb] == ["004101a0c4f20777", "00b70d03be44a810"]
    assert from_dict(Inventory, to_dict(inventory)) == inventory


def test_a_macs_hub_is_discovered_without_pyusb(switch_on, monkeypatch):
    monkeypatch.setitem(sys.modules, "usb.core", None)

    inventory = discover(switch_on(MAC).host())

    assert [(u.location, u.speed_mbps, u.serial, u.enclosure) for u in inventory.usb] == [
        ("0x00100000", 5000.0, UID.upper(), UID)
    ]
    assert inventory.problems == ()


@pytest.mark.parametrize("name", [LINUX, MAC])
def test_a_switch_is_discovered_and_belongs_to_no_enclosure(switch_on, name):
    inventory = discover(switch_on(with_switch(name)).host())

    switch = next(u for u in inventory.usb if u.vendor_id == 0x045E)
    assert (switch.product_name, switch.speed_mbps, switch.enclosure) == ("USB4 Switch 3141", 12.0, "")


def test_chained_hubs_are_joined_to_their_own_enclosures(switch_on):
    inventory = discover(switch_on(CHAIN).host())

    assert {u.serial.lower(): u.enclosure for u in inventory.usb} == {
        e.router.uid: e.router.uid for e in inventory.enclosures
    }


def test_a_macs_tree_nests_and_joins_what_is_behind_a_hub(switch_on):
    hub = UsbSpec(vendor_id=0x2109, product_id=0x0817, serial=UID)

    inventory = discover(switch_on(with_usb(MAC, hub, BILLBOARD)).host())

    assert [(u.location, u.product_name, u.serial, u.enclosure) for u in inventory.usb] == [
        ("0x00100000", "", UID, UID),
        ("0x00110000", "Billboard", "", UID),
    ]


@pytest.mark.parametrize("name", ["empty-linux", "empty-mac"])
def test_an_empty_machine_has_no_usb_and_no_problem(switch_on, name):
    inventory = discover(switch_on(name).host())

    assert (inventory.usb, inventory.problems) == ((), ())


def test_without_pyusb_a_linux_machine_has_no_usb_facts_and_no_problem(switch_on, monkeypatch):
    host = switch_on(LINUX).host()
    monkeypatch.delitem(sys.modules, "hil.hosts.simulated_usb", raising=False)
    monkeypatch.setitem(sys.modules, "usb.core", None)
    monkeypatch.setitem(sys.modules, "usb", None)

    assert source.discover(host) is None
    with pytest.raises(NotSupported, match="pyusb"):
        host.usb_backend()


# Discovery elsewhere


def bench(files: str = "", backend: Any = None) -> TreeHost:
    host = tree(files)
    host.usb_backend = lambda: backend
    return host


ENCLOSURE = "[thunderbolt pci0000:00/0000:00:0d.2/domain0/0-0/0-1]\nvendor = 0x41\n"


def test_names_come_from_the_kernel_where_it_has_them_and_from_the_device_where_it_may_be_opened():
    files = (
        "[/sys/bus/usb/devices/1-1.3]\nmanufacturer = Logi\nproduct = Keyboard\nserial = 42\n"
        "[/sys/bus/usb/devices]\nusb1 -> ../../../devices/pci0000:00/0000:00:14.0/usb1\n"
    )

    seen = source.discover(bench(files, Bus()))

    assert [(u.location, u.vendor_name, u.product_name, u.serial) for u in seen.usb] == [
        ("1-1.1", "Maker", "USB4 switch", ""),
        ("1-1.2", "Maker", "USB4 switch", "A50285BI"),
        ("1-1.3", "Logi", "Keyboard", "42"),
    ]
    assert {u.controller for u in seen.usb} == {"0000:00:14.0"}


def test_a_device_that_may_not_be_opened_keeps_its_names_to_itself():
    seen = source.discover(bench(backend=Bus()))

    assert [(u.product_id, u.product_name) for u in seen.usb if u.location == "1-1.3"] == [(0x0646, "")]
    assert seen.problems == ()


def test_a_strangers_device_is_not_opened():
    class Strangers(Bus):
        def get_device_descriptor(self, dev: int) -> Any:
            facts = super().get_device_descriptor(dev)
            facts.idVendor, facts.bDeviceClass, facts.speed = 0x046D, 0, None
            return facts

        def open_device(self, dev: int) -> int:
            raise AssertionError("opened")

    seen = source.discover(bench(backend=Strangers()))

    assert {(u.vendor_name, u.speed_mbps) for u in seen.usb} == {("", None)}


@pytest.mark.parametrize(
    "files",
    ["", "[/sys/bus/usb/devices/1-2]\nidVendor = 046d\nidProduct = c31c\n[/sys/bus/usb/devices/1-2:1.0]\na = b"],
)
def test_libusb_is_not_looked_for_where_nothing_of_interest_is_attached(files, monkeypatch):
    monkeypatch.setitem(sys.modules, "usb.core", None)

    assert source.discover(bench(files)) is None


@pytest.mark.parametrize("files", [ENCLOSURE, "[/sys/bus/usb/devices/1-2]\nidVendor = 045e\nidProduct = 0646\n"])
def test_with_an_enclosure_or_an_actuator_the_systems_libusb_is_asked(files, monkeypatch):
    monkeypatch.setattr("usb.backend.libusb1.get_backend", Bus)

    assert len(source.discover(bench(files)).usb) == 3


def test_a_machine_without_libusb_is_no_problem(monkeypatch):
    for name in ("libusb1", "libusb0", "openusb"):
        monkeypatch.setattr(f"usb.backend.{name}.get_backend", lambda: None)

    assert source.discover(bench(ENCLOSURE)) is None


def test_a_bus_that_cannot_be_listed_is_one_problem():
    class Broken(Bus):
        def enumerate_devices(self) -> Any:
            raise usb.core.USBError("Input/Output Error", -1, errno.EIO)

    seen = source.discover(bench(backend=Broken()))

    assert seen.problems == ("USB devices cannot be listed: [Errno 5] Input/Output Error.",)


def test_another_system_has_no_usb_facts():
    assert source.discover(TreeHost("Plan 9")) is None


PROFILER = {
    "SPUSBHostDataType": [
        "no bus",
        {
            "_name": "USB 3.1 Bus",
            "USBKeyLocationID": "0x01000000",
            "_items": [
                {
                    "_name": "Security key",
                    "USBDeviceKeyVendorID": "0x1050",
                    "USBDeviceKeyProductID": "0x0407",
                    "USBDeviceKeyVendorName": "Maker",
                    "USBDeviceKeySerialNumber": "Not Provided",
                    "USBDeviceKeyLinkSpeed": "12 Mb/s",
                    "USBKeyLocationID": "0x01A00000",
                },
                {"_name": "Odd", "USBDeviceKeyVendorID": "none", "_items": {"not": "a list"}},
                {"USBDeviceKeyVendorID": "0x1", "USBDeviceKeyProductID": "0x2", "USBKeyLocationID": "0x01200000"},
                {"USBDeviceKeyVendorID": "0x1", "USBDeviceKeyProductID": "0x2", "USBKeyLocationID": 7},
            ],
        },
    ]
}


def test_what_system_profiler_lists_is_read_leniently():
    host = TreeHost("Darwin", commands={"system_profiler": answered(json.dumps(PROFILER).encode())})

    assert source.discover(host).usb == (
        UsbFunction(
            location="0x01a00000",
            vendor_id=0x1050,
            product_id=0x0407,
            vendor_name="Maker",
            product_name="Security key",
            speed_mbps=12.0,
        ),
        UsbFunction(location="0x01200000", vendor_id=1, product_id=2),
    )


@pytest.mark.parametrize(
    "output", [b"", b"[]", b'{"SPUSBHostDataType": 7}', b'{"SPUSBHostDataType": [', b"[" * 100_000]
)
def test_output_that_is_no_report_is_no_usb_facts(output):
    assert source.discover(TreeHost("Darwin", commands={"system_profiler": answered(output)})) is None


@pytest.mark.parametrize(
    "answer",
    [OSError(errno.ENOENT, "no such command"), Completed(argv=(), returncode=None, stdout=b"", stderr=b"")],
)
def test_a_profiler_that_does_not_answer_is_reported_by_others(answer):
    assert source.discover(TreeHost("Darwin", commands={"system_profiler": answer})) is None


# The join


def router(name: str, uid: str, parent: str | None = "0-0") -> Router:
    return Router(uid=uid, name=name, role=RouterRole.ENCLOSURE, domain="domain0", parent=parent)


def device(location: str, **facts: Any) -> UsbFunction:
    return UsbFunction(location=location, vendor_id=1, product_id=2, **facts)


LEFT, RIGHT = router("0-1", "00d4174024640001"), router("1-1", "00d4174024640002")


def joined(*devices: UsbFunction, routers: tuple[Router, ...] = (LEFT, RIGHT), **of: str) -> list[str]:
    return [u.enclosure for u in usb_join.joined(devices, routers, of)]


def test_a_device_on_an_enclosures_own_controller_hangs_on_it():
    devices = device("3-1", controller="0000:06:00.0"), device("1-1", controller="0000:00:14.0")

    assert joined(*devices, **{"0000:06:00.0": "0-1"}) == [LEFT.uid, ""]


def test_a_router_without_a_uid_is_told_by_its_name():
    nameless = router("0-1", "")

    assert joined(device("3-1", controller="c"), routers=(nameless,), c="0-1") == ["0-1"]


@pytest.mark.parametrize("serial", ["00D4174024640001", "00:d4:17:40:24:64:00:01", "HUB-00d4174024640001"])
def test_a_serial_number_that_holds_the_routers_uid_tells_its_enclosure(serial):
    assert joined(device("1-1", serial=serial)) == [LEFT.uid]


@pytest.mark.parametrize("serial", ["", "0001", "00d417402464000", "00d417402464000100d4174024640002"])
def test_any_other_serial_number_tells_nothing(serial):
    assert joined(device("1-1", serial=serial)) == [""]


def test_what_hangs_on_an_enclosures_hub_hangs_on_the_enclosure():
    hub = device("1-1", serial=LEFT.uid)

    assert joined(hub, device("1-1.2"), device("1-1.2.1"), device("1-10"), device("2-1.2")) == [
        LEFT.uid, LEFT.uid, LEFT.uid, "", "",
    ]  # fmt: skip


def test_the_nearest_hub_that_is_known_counts():
    hubs = device("0x01100000", serial=LEFT.uid), device("0x01140000", serial=RIGHT.uid)

    assert joined(*hubs, device("0x01141000"), device("0x01120000"), device("0x02110000")) == [
        LEFT.uid, RIGHT.uid, RIGHT.uid, LEFT.uid, "",
    ]  # fmt: skip


def test_behind_a_hub_with_another_enclosure_chained_on_nothing_is_guessed():
    chained = router("0-301", "00d4174024640003", parent="0-1")

    assert joined(device("1-1", serial=LEFT.uid), device("1-1.2"), routers=(LEFT, chained)) == [LEFT.uid, ""]
