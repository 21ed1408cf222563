"""The MCCI switch: its client against the simulated switch on both systems, and against answers of other wordings."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sim_rig import Rig
from tree_host import TreeHost

from hil.control import Actuator, actuator, wait_gone, wait_present
from hil.control.mcci import McciSwitch
from hil.discovery import glance
from hil.errors import BenchFault, NotSupported, UsageError
from hil.hosts.bench_sections import ActuatorEntry
from hil.model import Router, RouterRole
from hil.sim import profile

LINUX, MAC = "linux-two-enclosures", "macbook-pro-usb4"
PORTS = {LINUX: "/dev/ttyACM0", MAC: "/dev/cu.usbmodem0"}
ROUTER = Router(uid="00d4174024640001", name="0-1", role=RouterRole.ENCLOSURE, domain="domain0", device_name="Box")


@pytest.fixture
def switch_on() -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def start(name: str = LINUX, **options: Any) -> Rig:
        known = profile.load(name)
        entries = tuple(
            ActuatorEntry(kind="mcci", enclosure=box.name, options=options if n == 0 else {})
            for n, box in enumerate(known.enclosure)
        )
        rigs.append(Rig(known.model_copy(update={"actuator": entries})))
        return rigs[-1]

    yield start
    for rig in rigs:
        rig.close()


def opened(rig: Rig, **options: Any) -> tuple[Actuator, Router]:
    host = rig.host()
    name = rig.machine.enclosures[0].spec.name
    router = next(router for router in glance(host).routers if router.device_name == name)
    return actuator("mcci").open(host, router, options), router


# Against the simulated switch


@pytest.mark.parametrize("name", [LINUX, MAC])
def test_the_switch_pulls_and_pushes_its_enclosure_and_no_other(switch_on, name):
    rig = switch_on(name)
    host = rig.host()
    before = glance(host)
    switch, router = opened(rig, serial=PORTS[name])

    switch.detach()
    gone = wait_gone(host, router, deadline=5.0)
    others = glance(host)
    switch.attach()
    back = wait_present(host, router, deadline=20.0)
    switch.close()

    assert 0 <= gone < 2.0
    assert 1.0 < back < 5.0
    assert {gpu.id for gpu in before.gpus} - {gpu.id for gpu in others.gpus} == {
        gpu.id for gpu in before.gpus if gpu.enclosure == router
    }
    assert [gpu.id for gpu in glance(host).gpus] == [gpu.id for gpu in before.gpus]


def test_opening_the_switch_changes_nothing(switch_on):
    rig = switch_on()
    switch, _ = opened(rig, serial="/dev/ttyACM0")

    assert all(enclosure.attached for enclosure in rig.machine.enclosures)
    assert switch.capabilities == {"unplug"}
    assert "/dev/ttyACM0" in switch.name


def test_each_switch_has_its_own_port_and_a_profile_may_name_it(switch_on):
    rig = switch_on(serial="/dev/serial/by-id/usb-MCCI-if00")
    host = rig.host()

    assert host.list("/dev") == ["serial", "ttyACM1"]
    opened(rig, serial="/dev/serial/by-id/usb-MCCI-if00")[0].detach()

    assert [enclosure.attached for enclosure in rig.machine.enclosures] == [False, True]


def test_an_enclosure_may_hang_on_the_switchs_second_port(switch_on):
    rig = switch_on(port=2)
    first, second = (opened(rig, serial="/dev/ttyACM0", port=port)[0] for port in (1, 2))

    first.attach()
    away = rig.machine.enclosures[0].attached
    second.attach()

    assert (away, rig.machine.enclosures[0].attached) == (False, True)


def test_a_host_receptacle_cannot_be_chosen(switch_on):
    with pytest.raises(NotSupported, match="port 1 of the host"):
        opened(switch_on(), serial="/dev/ttyACM0")[0].attach(port=1)


def test_a_port_that_is_not_there_is_one_message(switch_on):
    with pytest.raises(BenchFault, match="/dev/ttyACM7 cannot be opened: No such file") as caught:
        opened(switch_on(), serial="/dev/ttyACM7")

    assert caught.value.code == errno.ENOENT


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "serial = None; expected the path"),
        ({"serial": "COM3"}, "serial = 'COM3'; expected the path"),
        ({"serial": 7}, "serial = 7; expected the path"),
        ({"serial": "/dev/ttyACM0", "port": 3}, "port = 3; expected"),
        ({"serial": "/dev/ttyACM0", "port": True}, "port = True; expected"),
        ({"serial": "/dev/ttyACM0", "baud": 0}, "baud = 0; expected bit/s"),
        ({"serial": "/dev/ttyACM0", "baud": "fast"}, "baud = 'fast'; expected bit/s"),
        ({"serial": "/dev/ttyACM0", "speed": 1}, "no option 'speed'; known: baud, port, serial"),
    ],
)
def test_a_wrong_option_is_one_message(options, said):
    with pytest.raises(UsageError, match=said):
        McciSwitch.open(TreeHost(), ROUTER, options)


def told(rig: Rig, *lines: str) -> list[bytes]:
    port = rig.host().serial("/dev/ttyACM0", 9600)
    answers = []
    for line in lines:
        port.write(line.encode())
        answers.append(port.read_until(b"\n", 0.5))
    port.close()
    return answers


def test_the_simulated_switch_tells_its_state(switch_on):
    assert told(switch_on(), "version\r\n", "port\n", "status\r", "volts\n", "amps\n", "superspeed\n", "sing\n") == [
        b"version 0106\r\n",
        b"port 1\r\n",
        b"port 1 superspeed 1\r\n",
        b"volts 5.02\r\n",
        b"amps 0.31\r\n",
        b"superspeed 1\r\n",
        b"?\r\n",
    ]


def test_without_its_fast_lanes_a_usb4_link_does_not_come_back(switch_on):
    rig = switch_on()

    told(rig, "port 0\n", "superspeed 0\n", "port 1\n")
    slow = rig.machine.enclosures[0].attached
    told(rig, "superspeed 1\n", "port 1\n")

    assert (slow, rig.machine.enclosures[0].attached) == (False, True)


def test_lines_may_come_in_pieces_and_silence_takes_its_time(switch_on):
    rig = switch_on()
    host = rig.host()
    port = host.serial("/dev/ttyACM0", 9600)

    port.write(b"po")
    silent, waited = port.read_until(b"\n", 1.5), host.clock.now()
    port.write(b"rt\r\n\r\n")

    assert (silent, waited) == (b"", pytest.approx(1.504))
    assert port.read_until(b"\n", 1.0) == b"port 1\r\n"


def test_what_nobody_read_is_gone_when_the_port_is_opened_anew(switch_on):
    rig = switch_on()
    rig.host().serial("/dev/ttyACM0", 9600).write(b"version\r\n")

    assert told(rig, "port\r\n") == [b"port 1\r\n"]


def test_an_actuator_on_no_enclosure_of_the_machine_moves_nothing():
    known = profile.load(LINUX)
    rig = Rig(known.model_copy(update={"actuator": (ActuatorEntry(kind="mcci", enclosure="Nowhere"),)}))

    answers = told(rig, "port 0\n")
    attached = [enclosure.attached for enclosure in rig.machine.enclosures]
    rig.close()

    assert (answers, attached) == ([b"port 0\r\n"], [True, True])


# Against other wordings


class Line:
    """A serial port with a script: what it says to each line it is told."""

    def __init__(self, script: dict[bytes, bytes | OSError], chatter: bytes = b"") -> None:
        self.script, self.said, self.closed = script, chatter, 0
        self.told: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.told.append(data)
        answer = self.script.get(data.strip(), b"")
        if isinstance(answer, OSError):
            raise answer
        self.said += answer

    def read_until(self, end: bytes, timeout: float) -> bytes:
        before, mark, self.said = self.said.partition(end)
        return before + mark

    def close(self) -> None:
        self.closed += 1


def on(line: Line) -> McciSwitch:
    host = TreeHost()
    host.serial = lambda path, baud: line
    return McciSwitch.open(host, ROUTER, {"serial": "/dev/ttyACM0"})


def test_echoes_and_words_around_the_answer_do_not_matter():
    line = Line(
        {
            b"version": b"version\r\nVersion: 01.06, shield 4\r\n",
            b"port 0": b"port 0\r\nOK\r\n",
            b"port": b"port\r\nConnected port: 0\r\n",
        },
        chatter=b"USB switch ready\r\nport 1\r\n",
    )

    on(line).detach()

    assert line.told == [b"version\r\n", b"port 0\r\n", b"port\r\n"]


def test_a_switch_that_stays_as_it_was_is_a_bench_fault():
    line = Line({b"version": b"0106\n", b"port 0": b"port 0\n", b"port": b"port 1\n"})

    with pytest.raises(BenchFault, match="told to connect port 0, the switch says that it has connected 1") as caught:
        on(line).detach()

    assert (caught.value.code, caught.value.operation) == (1, "detach")


@pytest.mark.parametrize("answer", [b"", b"no numbers here\n" * 50, b"half a line"])
def test_what_is_no_switch_is_told_apart_and_its_port_closed(answer):
    line = Line({b"version": answer})

    with pytest.raises(BenchFault, match="no answer to 'version'"):
        on(line)

    assert line.closed == 1


def test_a_port_that_never_falls_silent_is_not_listened_to_for_ever():
    class Chatter(Line):
        def read_until(self, end: bytes, timeout: float) -> bytes:
            return b"tick\n"

    with pytest.raises(BenchFault, match="no answer"):
        on(Chatter({}))


def test_a_cable_pulled_from_the_switch_itself_is_a_bench_fault():
    line = Line({b"version": b"0106\n", b"port 1": OSError(errno.EIO, "Input/output error")})

    with pytest.raises(BenchFault, match="its serial port failed: Input/output error") as caught:
        on(line).attach()

    assert caught.value.code == errno.EIO
