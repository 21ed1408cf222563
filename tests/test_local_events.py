"""Uevents of the local kernel: messages, subscriptions, losses."""

from __future__ import annotations

import errno
import socket
import sys
import uuid
from pathlib import Path

import pytest

from hil.errors import BenchFault, NotSupported
from hil.hosts.local import LocalClock, LocalHost
from hil.hosts.local_events import UeventStream, open_uevents, parse_uevent


def uevent(action: str, path: str, subsystem: str, **more: str) -> bytes:
    pairs = {"ACTION": action, "DEVPATH": path, "SUBSYSTEM": subsystem, **more}
    return b"\0".join([f"{action}@{path}".encode(), *(f"{k}={v}".encode() for k, v in pairs.items())]) + b"\0"


GPU = "/devices/pci0000:00/0000:00:07.0/0000:04:00.0"
ATTACHED = uevent("add", GPU, "pci", PCI_ID="10DE:2704", SEQNUM="4711")
ROUTER = uevent("change", "/devices/pci0000:00/domain0/0-0/0-1", "thunderbolt", AUTHORIZED="1")


def test_a_message_becomes_an_event_named_by_its_node():
    event = parse_uevent(ATTACHED, 12.5)
    assert (event.action, event.subsystem, event.path, event.time) == ("add", "pci", "0000:04:00.0", 12.5)
    assert event.properties["PCI_ID"] == "10DE:2704"


def test_values_may_hold_equals_signs():
    assert parse_uevent(uevent("add", GPU, "pci", MODALIAS="a=b"), 0.0).properties["MODALIAS"] == "a=b"


@pytest.mark.parametrize(
    "message",
    [b"", b"libudev\0\xfe\xed\xca\xfe", ATTACHED.replace(b"add@", b"remove@", 1), b"@\0", b"add@/x\0"],
)
def test_what_is_no_kernel_uevent_is_left_out(message):
    assert parse_uevent(message, 0.0) is None


@pytest.fixture
def subscribed():
    """A sender, and the stream that hears it."""
    made = []

    def subscribe(*subsystems: str):
        sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        stream = UeventStream(receiver, subsystems, LocalClock())
        made.append((sender, stream))
        return sender, stream

    yield subscribe
    for sender, stream in made:
        stream.close()
        sender.close()


def test_only_the_subsystems_asked_for_are_told(subscribed):
    sender, stream = subscribed("thunderbolt", "usb")
    for message in (ATTACHED, b"noise", ROUTER):
        sender.send(message)
    assert stream.next(5).path == "0-1"
    assert stream.next(0) is None


def test_without_a_subsystem_all_are_told_in_their_order(subscribed):
    sender, stream = subscribed()
    sender.send(ATTACHED)
    sender.send(ROUTER)
    assert [stream.next(5).subsystem, stream.next(5).subsystem] == ["pci", "thunderbolt"]


def test_a_quiet_stream_answers_none_in_time(subscribed):
    assert subscribed("pci")[1].next(0.01) is None


def test_an_event_carries_the_time_it_came_not_the_time_it_was_asked_for(subscribed):
    sender, stream = subscribed()
    before = LocalClock().now()
    sender.send(ATTACHED)
    sender.send(ROUTER)
    first, second = stream.next(5), stream.next(5)
    assert before <= first.time <= second.time <= LocalClock().now()


def test_a_stream_closes_twice_without_harm(subscribed):
    _, stream = subscribed()
    stream.close()
    stream.close()
    assert stream.next(0) is None


class Failing(socket.socket):
    """A socket whose next reads fail as the kernel's would, or come from a given sender."""

    answers: list[OSError | tuple[bytes, tuple[int, int]]]

    def recvfrom(self, size, flags=0):
        if not self.answers:
            return super().recvfrom(size, flags)
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer


@pytest.fixture
def failing():
    made = []

    def subscribe(*answers):
        sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        double = Failing(fileno=receiver.detach())
        double.answers = list(answers)
        made.extend([UeventStream(double, [], LocalClock()), sender])
        sender.send(ROUTER)
        return made[-2]

    yield subscribe
    for item in made:
        item.close()


def test_lost_events_are_a_bench_fault_once_and_later_ones_follow(failing):
    stream = failing(OSError(errno.ENOBUFS, "No buffer space available"))
    with pytest.raises(BenchFault, match=r"were lost.*take the inventory again") as lost:
        stream.next(5)
    assert lost.value.code == errno.ENOBUFS
    assert stream.next(5).path == "0-1"


def test_a_socket_that_fails_is_a_bench_fault_and_the_end(failing):
    stream = failing(OSError(errno.ENOTCONN, "gone"))
    with pytest.raises(BenchFault, match="socket failed"):
        stream.next(5)
    assert stream.next(0.01) is None


def test_a_false_wakeup_loses_nothing(failing):
    assert failing(BlockingIOError()).next(5).path == "0-1"


def test_only_the_kernel_is_believed(failing):
    stream = failing((ATTACHED, (4242, 1)), (uevent("remove", GPU, "pci"), (0, 1)))
    assert stream.next(5).action == "remove"


def test_a_mac_tells_no_events(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(NotSupported, match="poll the inventory"):
        LocalHost().watch(["pci"])


def test_a_stand_in_tree_tells_no_events(tmp_path):
    with pytest.raises(NotSupported, match="poll the inventory"):
        LocalHost(root=str(tmp_path)).watch(["pci"])


@pytest.mark.skipif(sys.platform != "linux", reason="netlink is Linux's")
@pytest.mark.parametrize("failing_call", ["socket", "bind"])
def test_a_refused_socket_is_not_supported(monkeypatch, failing_call):
    class Refused(socket.socket):
        def __init__(self, *arguments) -> None:
            if failing_call == "socket":
                raise PermissionError(errno.EPERM, "Operation not permitted")
            super().__init__(*arguments)

        def bind(self, address):
            raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", Refused)
    with pytest.raises(NotSupported, match="Operation not permitted"):
        open_uevents()


@pytest.mark.skipif(sys.platform != "linux", reason="netlink is Linux's")
def test_without_privilege_the_buffer_is_as_large_as_the_system_allows(monkeypatch):
    class Unprivileged(socket.socket):
        def setsockopt(self, level, name, value):
            if name != socket.SO_RCVBUF:
                raise PermissionError(errno.EPERM, "Operation not permitted")
            super().setsockopt(level, name, value)

    monkeypatch.setattr(socket, "socket", Unprivileged)
    with open_uevents() as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) > 0


def test_an_event_of_this_kernel_arrives():
    trigger = Path("/sys/class/mem/null/uevent")
    host = LocalHost()
    mark = str(uuid.uuid4())
    try:
        stream = host.watch(["mem"])
        # A synthetic "change" of /dev/null: it changes nothing, and carries our mark.
        host.write(str(trigger), f"change {mark} HIL=1".encode())
    except (OSError, NotSupported) as refused:
        pytest.skip(f"no uevent can be asked for here: {refused}")
    events = iter(lambda: stream.next(2), None)
    event = next(event for event in events if event.properties.get("SYNTH_UUID") == mark)
    host.close()
    assert (event.action, event.subsystem, event.path) == ("change", "mem", "null")
    assert stream.next(0) is None
