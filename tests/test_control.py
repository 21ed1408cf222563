"""Actuators and waiting: the simulated plug's wire, sysfs' remove, rescan and authorized, and deadlines."""

from __future__ import annotations

import errno
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from hil.control import Actuator, PowerActuator, actuator, capabilities, wait_functions, wait_gone, wait_present
from hil.control.news import names_on_buses
from hil.control.simulated import SimulatedPlug
from hil.control.sysfs import SysfsActuator, topmost
from hil.errors import BenchFault, DeviceFault, DriverError, NotPermitted, NotSupported, UsageError
from hil.hosts.base import Event
from hil.hosts.wires.frames import receive_frame, send_frame
from hil.model import Enclosure, Gpu, HostFacts, Inventory, PciFunction, Router, RouterRole
from tests.files_host import FilesHost, refused
from tests.tree_host import tree

if TYPE_CHECKING:
    from hil.hosts import Host

UID = "8086da2a0d19ed00"
ENCLOSURE = Router(uid=UID, name="0-1", role=RouterRole.ENCLOSURE, domain="domain0", device_name="Box", authorized=1)
ROOT, UP, DOWN, GPU = "0000:00:07.0", "0000:02:00.0", "0000:03:01.0", "0000:04:00.0"
TREE = f"""
[pci 0000:00:0d.2]
vendor = 0x8086
device = 0xa73e
class = 0x0c0340
consumer:pci:{ROOT} -> ../../virtual/devlink/x
[pci {ROOT}]
vendor = 0x8086
device = 0xa76e
class = 0x060400
[pci {ROOT}/{UP}]
vendor = 0x8086
device = 0x15da
class = 0x060400
remove = 0
[pci {ROOT}/{UP}/{DOWN}]
vendor = 0x8086
device = 0x15da
class = 0x060400
remove = 0
[pci {ROOT}/{UP}/{DOWN}/{GPU}]
vendor = 0x10de
device = 0x2704
class = 0x030000
remove = 0
[/sys/bus/pci]
rescan = 0
[thunderbolt pci0000:00/0000:00:0d.2/domain0]
security = user
deauthorization = 1
[thunderbolt pci0000:00/0000:00:0d.2/domain0/0-0]
device_name = Host
unique_id = 00000000-0000-0000-ffff-ffffffffffff
uevent = DEVTYPE=thunderbolt_device
[thunderbolt pci0000:00/0000:00:0d.2/domain0/0-0/0-1]
device_name = Box
unique_id = 00ed190d-2ada-8680-ffff-ffffffffffff
generation = 3
authorized = 1
uevent = DEVTYPE=thunderbolt_device
"""
AUTHORIZED = "/sys/bus/thunderbolt/devices/0-1/authorized"
DEAUTHORIZATION = "/sys/bus/thunderbolt/devices/domain0/deauthorization"


def machine() -> FilesHost:
    described = tree(TREE)
    return FilesHost(files=described.files, links=described.links)


def put(host: FilesHost, path: str, content: bytes) -> None:
    host.files[host._real(path)] = content


class PlugService(threading.Thread):
    """Answers one request after the other with what it was given; keeps the requests."""

    def __init__(self, sock: socket.socket, answers: list[dict[str, object]]) -> None:
        super().__init__(daemon=True)
        self.sock, self.answers = sock, answers
        self.requests: list[dict[str, object]] = []

    def run(self) -> None:
        with self.sock:
            for answer in self.answers:
                self.requests.append(receive_frame(self.sock)[0])
                send_frame(self.sock, answer)


def plugged(*answers: dict[str, object]) -> tuple[SimulatedPlug, PlugService]:
    ours, theirs = socket.socketpair()
    service = PlugService(theirs, list(answers))
    service.start()
    return SimulatedPlug.open(FilesHost(sockets={"plug": ours}), ENCLOSURE, {}), service


def test_actuators_are_found_by_their_kind() -> None:
    assert actuator("simulated") is SimulatedPlug
    assert actuator("sysfs") is SysfsActuator
    with pytest.raises(UsageError, match="no 'crane' is registered"):
        actuator("crane")


def test_the_plug_asks_the_machine_in_its_words() -> None:
    plug, service = plugged(*[{"ok": True}] * 4)

    plug.detach()
    plug.attach(port=2)
    plug.power_off()
    plug.power_on()
    service.join(5)

    assert service.requests == [
        {"do": "detach", "enclosure": UID, "port": None},
        {"do": "attach", "enclosure": UID, "port": 2},
        {"do": "power off", "enclosure": UID, "port": None},
        {"do": "power on", "enclosure": UID, "port": None},
    ]
    assert isinstance(plug, Actuator)
    assert isinstance(plug, PowerActuator)
    assert plug.capabilities == {"unplug", "power", "port"}


def test_kinds_say_what_they_can_at_the_most() -> None:
    assert capabilities("sysfs") == {"remove", "authorize"}
    assert capabilities("mcci") == {"unplug"}
    assert capabilities("pdu") == {"power"}


def test_the_machines_refusal_is_a_fault_of_the_bench() -> None:
    plug, _ = plugged({"error": "no enclosure of that name"})

    with pytest.raises(BenchFault, match=r"detach by simulated plug of Box: .* refused: no enclosure of that name"):
        plug.detach()


def test_a_machine_that_went_away_is_a_fault_of_the_bench() -> None:
    plug, service = plugged()
    service.join(5)

    with pytest.raises(BenchFault, match="does not answer"):
        plug.attach()
    plug.close()


def test_a_host_without_the_service_has_no_simulated_plug() -> None:
    with pytest.raises(NotSupported, match="a tree host has no service 'plug'"):
        SimulatedPlug.open(FilesHost(), ENCLOSURE, {})


def test_options_that_an_actuator_does_not_know_are_named() -> None:
    with pytest.raises(UsageError, match="actuator simulated: no option 'outlet'; known: none"):
        SimulatedPlug.open(FilesHost(), ENCLOSURE, {"outlet": 3})
    with pytest.raises(UsageError, match="known: by"):
        SysfsActuator.open(machine(), ENCLOSURE, {"outlet": 3})
    with pytest.raises(UsageError, match="by = 'magic'; expected one of remove, authorize"):
        SysfsActuator.open(machine(), ENCLOSURE, {"by": "magic"})


def test_orderly_removal_takes_the_enclosures_topmost_function() -> None:
    host = machine()
    box = SysfsActuator.open(host, ENCLOSURE, {})

    box.detach()
    box.attach()
    box.close()

    assert host.written == [(f"/sys/bus/pci/devices/{UP}/remove", b"1"), ("/sys/bus/pci/rescan", b"1")]
    assert isinstance(box, Actuator)


def test_a_functions_parents_outside_the_enclosure_are_left_alone() -> None:
    def function(address: str, parent: str | None) -> PciFunction:
        return PciFunction(address=address, vendor_id=1, device_id=1, parent=parent)

    inventory = Inventory(
        host=HostFacts(system="Linux"),
        enclosures=(Enclosure(router=ENCLOSURE, functions=(UP, GPU, "0000:09:00.0")),),
        functions=(
            function(ROOT, None),
            function(UP, ROOT),
            function(GPU, UP),
            function("0000:09:00.0", DOWN),
        ),
    )

    assert topmost(inventory, UID) == (UP, "0000:09:00.0")
    assert topmost(inventory, "another") == ()


def test_an_enclosure_without_functions_cannot_be_removed() -> None:
    with pytest.raises(BenchFault, match=f"no PCI function was found below router {UID}"):
        SysfsActuator.open(FilesHost(), ENCLOSURE, {}).detach()


@pytest.mark.parametrize(
    ("code", "kind"),
    [(errno.EACCES, NotPermitted), (errno.EINVAL, DriverError), (errno.ENOENT, NotSupported)],
)
def test_the_kernels_refusal_says_what_was_being_removed(code: int, kind: type[Exception]) -> None:
    host = machine()

    def refuse(_path: str, _data: bytes) -> None:
        raise refused(code)

    host.on_write = refuse

    with pytest.raises(kind, match=f"detach by sysfs remove of Box: removing {UP}"):
        SysfsActuator.open(host, ENCLOSURE, {}).detach()


def test_authorization_is_revoked_and_granted_where_the_domain_allows_it() -> None:
    host = machine()
    box = SysfsActuator.open(host, ENCLOSURE, {"by": "authorize"})

    box.detach()
    box.detach()  # revoked already: the kernel would refuse
    box.attach()

    assert host.written == [(AUTHORIZED, b"0"), (AUTHORIZED, b"1")]
    assert box.capabilities == {"remove", "authorize"}


@pytest.mark.parametrize("content", [b"0\n", None])
def test_without_deauthorization_only_removal_is_left(content: bytes | None) -> None:
    host = machine()
    if content is None:
        del host.files[host._real(DEAUTHORIZATION)]
    else:
        put(host, DEAUTHORIZATION, content)

    assert SysfsActuator.open(host, ENCLOSURE, {}).capabilities == {"remove"}
    with pytest.raises(NotSupported, match="deauthorization is not 1"):
        SysfsActuator.open(host, ENCLOSURE, {"by": "authorize"})


def test_a_router_that_is_not_there_cannot_be_authorized() -> None:
    box = SysfsActuator.open(machine(), ENCLOSURE, {"by": "authorize"})
    box._host.files = {}  # type: ignore[attr-defined]
    box._host.links = {}  # type: ignore[attr-defined]

    with pytest.raises(BenchFault, match=f"attach by sysfs authorize of Box: router {UID} is not there"):
        box.attach()


def test_software_moves_no_cable_and_works_on_linux_only() -> None:
    with pytest.raises(NotSupported, match="cannot move a cable to port 1"):
        SysfsActuator.open(machine(), ENCLOSURE, {}).attach(port=1)
    with pytest.raises(NotSupported, match="not on Darwin"):
        SysfsActuator.open(FilesHost(system="Darwin"), ENCLOSURE, {})


def inventory(*, router: bool, gpus: int, strays: tuple[str, ...] = (), problems: tuple[str, ...] = ()) -> Inventory:
    cards = [PciFunction(address=f"0000:04:{n:02x}.0", vendor_id=0x10DE, device_id=0x2704) for n in range(gpus)]
    rest = [PciFunction(address=address, vendor_id=0x8086, device_id=1) for address in strays]
    return Inventory(
        host=HostFacts(system="Linux"),
        routers=(ENCLOSURE,) if router else (),
        functions=(*cards, *rest),
        gpus=tuple(Gpu(id=f"g{i}", name="RTX", function=f, enclosure=ENCLOSURE) for i, f in enumerate(cards)),
        problems=problems,
    )


class Scene:
    """What is there at which second after the start."""

    def __init__(self, *changes: tuple[float, Inventory]) -> None:
        self.host = FilesHost()
        self.begin = self.host.clock.now()
        self.changes = changes

    def look(self, host: Host) -> Inventory:
        passed = host.clock.now() - self.begin
        return [seen for at, seen in self.changes if at <= passed + 1e-9][-1]


NOTHING = inventory(router=False, gpus=0)
ROUTER = inventory(router=True, gpus=0)
COMPLETE = inventory(router=True, gpus=1)


def test_waiting_for_presence_takes_until_the_gpu_is_there() -> None:
    scene = Scene((0, NOTHING), (1.1, ROUTER), (1.5, COMPLETE))

    took = wait_present(scene.host, ENCLOSURE, deadline=10, look=scene.look)

    assert took == pytest.approx(1.5, abs=0.11)


def test_the_router_alone_can_be_enough() -> None:
    scene = Scene((0, ROUTER))

    assert wait_present(scene.host, ENCLOSURE, deadline=1, look=scene.look, gpus=0) == 0


@pytest.mark.parametrize(
    ("seen", "gpus", "words"),
    [
        (NOTHING, 1, r"Box \(8086da2a0d19ed00\): router did not come back within 2 s"),
        (ROUTER, 1, "PCIe tunnel missing: router is there, no 10de function after 2 s"),
        (COMPLETE, 2, "PCIe tunnel missing: router is there, 1 of 2 10de functions after 2 s"),
        (inventory(router=True, gpus=0, problems=("Odd.",)), 1, "after 2 s; discovery says: Odd."),
    ],
)
def test_what_did_not_come_back_is_named(seen: Inventory, gpus: int, words: str) -> None:
    scene = Scene((0, seen))

    with pytest.raises(DeviceFault, match=words):
        wait_present(scene.host, ENCLOSURE, deadline=2, look=scene.look, gpus=gpus)


def test_waiting_for_a_detach_takes_until_all_is_gone() -> None:
    scene = Scene((0, COMPLETE), (0.2, ROUTER), (0.5, NOTHING))

    assert wait_gone(scene.host, ENCLOSURE, deadline=5, look=scene.look) == pytest.approx(0.5, abs=0.11)


def test_after_an_orderly_removal_the_router_stays() -> None:
    scene = Scene((0, COMPLETE), (0.2, ROUTER))

    took = wait_gone(scene.host, ENCLOSURE, deadline=5, look=scene.look, router_too=False)

    assert took == pytest.approx(0.2, abs=0.11)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (COMPLETE, "after the detach: router, function 0000:04:00.0; either nothing was detached"),
        (inventory(router=False, gpus=0, strays=(UP, ROOT)), f"after the detach: function {UP};"),
    ],
)
def test_what_did_not_go_is_named(seen: Inventory, words: str) -> None:
    scene = Scene((0, seen))

    with pytest.raises(DeviceFault, match=words):
        wait_gone(scene.host, ENCLOSURE, deadline=1, look=scene.look, functions=(UP, GPU))


def test_a_router_without_an_id_is_known_by_its_name() -> None:
    nameless = Router(uid="", name="0-1", role=RouterRole.ENCLOSURE, domain="domain0")
    internal = Gpu(id="i", name="A2", function=PciFunction(address=GPU, vendor_id=0x10DE, device_id=1))
    seen = Inventory(host=HostFacts(system="Linux"), routers=(nameless,), gpus=(internal,))

    with pytest.raises(DeviceFault, match=r"enclosure \(0-1\): PCIe tunnel missing"):
        wait_present(FilesHost(), nameless, deadline=1, look=lambda _: seen)


def test_waiting_for_functions_takes_until_all_came_or_went() -> None:
    coming = Scene((0, ROUTER), (0.4, COMPLETE))
    going = Scene((0, COMPLETE), (0.4, ROUTER))

    came = wait_functions(coming.host, "card", [GPU], there=True, deadline=5, look=coming.look)
    went = wait_functions(going.host, "card", [GPU], there=False, deadline=5, look=going.look)

    assert (came, went) == (pytest.approx(0.4, abs=0.11), pytest.approx(0.4, abs=0.11))


@pytest.mark.parametrize(("there", "words"), [(True, "not there"), (False, "still there")])
def test_functions_that_did_not_come_or_go_are_named(there: bool, words: str) -> None:
    scene = Scene((0, ROUTER if there else COMPLETE))

    with pytest.raises(DeviceFault, match=f"card: {words} after 2 s: function {GPU}"):
        wait_functions(scene.host, "card", [GPU], there=there, deadline=2, look=scene.look)


class News:
    """Events at given seconds after the start."""

    def __init__(self, scene: Scene, *times: float) -> None:
        self.scene, self.times, self.open = scene, list(times), True

    def next(self, timeout: float) -> Event | None:
        clock = self.scene.host.clock
        due = self.scene.begin + self.times[0] if self.times else clock.now() + timeout + 1
        clock.time = max(clock.now(), min(due, clock.now() + timeout))
        if not self.times or clock.now() < due:
            return None
        return Event(action="add", subsystem="pci", path="x", time=self.times.pop(0))

    def close(self) -> None:
        self.open = False


def test_a_host_that_announces_is_looked_at_when_it_does() -> None:
    scene = Scene((0, NOTHING), (1.1, ROUTER), (1.5, COMPLETE))
    news = scene.host.news = News(scene, 1.1, 1.1, 1.5)

    took = wait_present(scene.host, ENCLOSURE, deadline=10, look=scene.look)

    assert took == pytest.approx(1.5)
    assert not news.open


def test_what_is_not_announced_is_found_all_the_same() -> None:
    scene = Scene((0, NOTHING), (1.3, COMPLETE))
    scene.host.news = News(scene)

    assert wait_present(scene.host, ENCLOSURE, deadline=10, look=scene.look) == pytest.approx(1.5)


def test_names_alone_tell_that_it_is_too_early_to_look() -> None:
    scene = Scene((0, NOTHING), (1.5, COMPLETE))
    looks: list[float] = []

    def look(host: Host) -> Inventory:
        looks.append(host.clock.now() - scene.begin)
        return scene.look(host)

    host = scene.host = machine()
    scene.begin = host.clock.now()
    host.news = News(scene, 0.4, 1.5)
    before = names_on_buses(host) - {"0-1"}
    host.clock.on_step = lambda _: None

    took = wait_present(host, ENCLOSURE, deadline=10, look=look, before=before | {"another"})

    assert took == pytest.approx(1.5, abs=0.5)
    assert looks[0] > 0.4  # neither at once nor at the first news, which brought no function


def test_without_buses_in_files_there_are_no_names() -> None:
    assert names_on_buses(FilesHost(system="Darwin")) == frozenset()
