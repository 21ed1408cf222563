"""Recording a host and replaying it: the same answers, the same errors, NVML and USB through their real clients."""

from __future__ import annotations

import ctypes
import errno
from contextlib import contextmanager

import pynvml
import pytest
import usb.core
import usb.util

from hil.discovery import discover
from hil.errors import BenchFault, HilError, NotCaptured, NotSupported
from hil.hosts import Host, LogLine
from hil.hosts.captured import CapturedHost
from hil.hosts.captures import nvml
from hil.hosts.captures import usb as captured_usb
from hil.hosts.captures.contents import Capture, from_bytes, to_archive
from hil.hosts.captures.journal import Journal, described
from hil.hosts.recording import RecordingHost
from tests import nvml_library, usb_bus
from tests.files_host import FilesHost, refused
from tests.tree_host import answered


def replay(recorder: RecordingHost, clock: float = 100.0) -> CapturedHost:
    """What a capture of all that was recorded answers, by way of its file."""
    capture = Capture(
        created="", hil="", bench="", redacted=False, clock=clock, entries=tuple(recorder.journal.entries)
    )
    return CapturedHost(from_bytes(to_archive(capture), "bench.zip"))


@pytest.fixture
def host() -> FilesHost:
    found = FilesHost(
        files={"/sys/a": b"one\n", "/sys/b": refused(errno.EACCES), "/sys/c": b"\xff\x00\x80"},
        links={"/sys/l": "a"},
        commands={"ls": answered("out", status=3, stderr=b"err"), "hang": answered("", status=None)},
    )
    found.log = [LogLine(time=5.0, text="a line")]
    found.nvml = nvml_library.Library
    found.usb_backend = usb_bus.Bus
    return found


QUESTIONS = [
    lambda host: host.facts(),
    lambda host: host.read("/sys/a"),
    lambda host: host.read("/sys/c"),
    lambda host: host.pread("/sys/c", 2, 1),
    lambda host: host.list("/sys"),
    lambda host: host.stat("/sys/a"),
    lambda host: host.readlink("/sys/l"),
    lambda host: host.run(["ls", "-l"], timeout=1.0).stdout,
    lambda host: host.run(["ls", "-l"], timeout=1.0).returncode,
    lambda host: host.run(["hang"], timeout=1.0).timed_out,
    lambda host: list(host.kernel_log(1)),
]


@pytest.mark.parametrize("ask", QUESTIONS)
def test_a_replay_answers_what_was_answered(host, ask):
    recorder = RecordingHost(host)
    answer = ask(recorder)

    assert ask(replay(recorder)) == answer


FAILING = [
    lambda host: host.read("/sys/none"),
    lambda host: host.read("/sys/b"),
    lambda host: host.list("/none"),
    lambda host: host.readlink("/sys/a"),
    lambda host: host.run(["none"], timeout=1.0),
]


@pytest.mark.parametrize("ask", FAILING)
def test_a_replay_fails_as_the_host_did(host, ask):
    recorder = RecordingHost(host)
    with pytest.raises(OSError) as was:  # noqa: PT011  (each kind is compared)
        ask(recorder)

    with pytest.raises(OSError) as now:  # noqa: PT011
        ask(replay(recorder))

    assert type(now.value) is type(was.value)
    assert (now.value.errno, str(now.value)) == (was.value.errno, str(was.value))


def test_an_error_of_ours_is_replayed_as_such():
    class Wedged(FilesHost):
        def run(self, argv, *, timeout):
            raise BenchFault("the helper is wedged", code=5)

    recorder = RecordingHost(Wedged())
    with pytest.raises(BenchFault):
        recorder.run(["ioreg"], timeout=1.0)

    with pytest.raises(BenchFault, match=r"^the helper is wedged$") as said:
        replay(recorder).run(["ioreg"], timeout=2.0)

    assert said.value.code == 5


def test_an_error_without_number_is_replayed():
    journal = Journal()
    with pytest.raises(OSError, match="odd"):
        journal.record("read", ("/a",), lambda: (_ for _ in ()).throw(OSError("odd")))

    with pytest.raises(OSError, match=r"^odd$"):
        journal.replay("read", ("/a",))


def test_a_bug_is_no_answer_of_a_host():
    journal = Journal()
    with pytest.raises(ValueError, match="wrong"):
        journal.record("read", ("/a",), lambda: (_ for _ in ()).throw(ValueError("wrong")))

    assert journal.entries == []
    assert described(KeyError("x")) is None


def test_answers_that_change_come_in_their_order_and_the_last_one_stays(host):
    recorder = RecordingHost(host)
    for content in ("1", "1", "2"):
        host.put("/sys/a", content)
        recorder.read("/sys/a")
    captured = replay(recorder)

    assert [captured.read("/sys/a") for _ in range(4)] == [b"1\n", b"2\n", b"2\n", b"2\n"]


BEYOND_READING = [
    lambda host: host.write("/sys/a", b"1"),
    lambda host: host.pwrite("/sys/a", b"1", 0),
    lambda host: host.map("/sys/a", 1),
    lambda host: host.connect("driver"),
    lambda host: host.serial("/dev/ttyACM0", 9600),
    lambda host: host.watch(["pci"]),
    lambda host: host.watch([]),
    lambda host: host.processes(),
    lambda host: host.kill(1, 9),
]


@pytest.mark.parametrize("ask", BEYOND_READING)
def test_what_is_no_reading_is_refused_in_the_same_words_then_and_later(host, ask):
    recorder = RecordingHost(host)
    with pytest.raises(NotCaptured) as was:
        ask(recorder)
    with pytest.raises(NotCaptured) as now:
        ask(replay(recorder))

    assert str(now.value) == str(was.value)
    assert host.written == []


@pytest.mark.parametrize("ask", [*QUESTIONS, *FAILING, lambda host: host.nvml(), lambda host: host.usb_backend()])
def test_what_was_never_asked_is_not_captured(host, ask):
    with pytest.raises(NotCaptured, match=r"not in bench\.zip"):
        ask(replay(RecordingHost(host)))


def test_not_captured_is_one_of_ours_and_a_lack_of_ability():
    assert issubclass(NotCaptured, NotSupported)
    assert issubclass(NotCaptured, HilError)


def test_the_clock_stands_still(host):
    captured = replay(RecordingHost(host), clock=12.5)

    with captured.clock.operation("look", 1.0):
        assert captured.clock.now() == 12.5
    captured.clock.sleep(0)
    with pytest.raises(NotCaptured):
        captured.clock.sleep(0.1)
    assert isinstance(captured, Host)
    captured.close()


def test_the_recorder_is_a_host_and_leaves_the_recorded_one_open(host):
    recorder = RecordingHost(host)
    recorder.close()

    assert isinstance(recorder, Host)
    assert recorder.read("/sys/a") == b"one\n"


def test_discovery_on_an_empty_capture_is_a_problem_and_no_more():
    found = discover(replay(RecordingHost(FilesHost())))

    assert len(found.problems) == 1
    assert found.gpus == ()


@pytest.mark.parametrize("system", ["Linux", "Darwin"])
def test_discovery_on_a_capture_of_nothing_but_facts_has_problems_and_no_more(system):
    recorder = RecordingHost(FilesHost(system))
    recorder.facts()

    found = discover(replay(recorder))

    assert found.problems
    assert found.functions == ()
    assert not [problem for problem in found.problems if "Traceback" in problem]


# NVML ---------------------------------------------------------------------------------------------------------------


@contextmanager
def nvml_of(host):
    """pynvml on the library of `host`."""
    before = pynvml.nvmlLib, pynvml._nvmlGetFunctionPointer_cache
    pynvml.nvmlLib, pynvml._nvmlGetFunctionPointer_cache = host.nvml(), {}
    try:
        yield pynvml
    finally:
        pynvml.nvmlLib, pynvml._nvmlGetFunctionPointer_cache = before


def asked(host) -> list:
    with nvml_of(host) as library:
        library.nvmlInit()
        handle = library.nvmlDeviceGetHandleByIndex(0)
        found = [
            library.nvmlDeviceGetCount(),
            library.nvmlDeviceGetUUID(handle),
            library.nvmlDeviceGetSerial(handle),
            library.nvmlDeviceGetMemoryInfo(handle).used,
            library.nvmlDeviceGetMemoryInfo(handle).used,
            [value.value.uiVal for value in library.nvmlDeviceGetFieldValues(handle, [3, 7])],
            [one.pid for one in library.nvmlDeviceGetComputeRunningProcesses_v3(handle)],
            library.nvmlDeviceGetUUID(library.nvmlDeviceGetHandleByUUID(nvml_library.UUID.decode())),
            library.nvmlErrorString(99),
        ]
        for failing in (lambda: library.nvmlDeviceGetHandleByIndex(5), lambda: library.nvmlDeviceGetPowerUsage(handle)):
            with pytest.raises(library.NVMLError) as error:
                failing()
            found.append(error.value.value)
        library.nvmlShutdown()
        return found


def test_nvml_is_recorded_and_replayed_through_the_real_pynvml(host):
    recorder = RecordingHost(host)
    was = asked(recorder)

    assert was[:4] == [1, nvml_library.UUID.decode(), nvml_library.SERIAL.decode(), 4096]
    assert was[4:6] == [8192, [30, 70]]
    assert was[-2:] == [pynvml.NVML_ERROR_NOT_FOUND, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND]
    assert asked(replay(recorder)) == was


def test_nvml_calls_that_were_not_recorded_are_not_captured(host):
    recorder = RecordingHost(host)
    asked(recorder)

    with nvml_of(replay(recorder)) as library:
        library.nvmlInit()
        with pytest.raises(NotCaptured, match="nvmlDeviceGetHandleByIndex_v2 7"):
            library.nvmlDeviceGetHandleByIndex(7)
        with pytest.raises(NotCaptured, match="nvmlDeviceGetName"):
            library.nvmlDeviceGetName(library.nvmlDeviceGetHandleByIndex(0))


def test_a_host_without_nvml_replays_as_one_wherever_that_is(host, monkeypatch):
    monkeypatch.setattr(nvml, "LIBRARY", "libhil-test-none.so")
    host.nvml = lambda: None
    recorder = RecordingHost(host)
    recorder.nvml()

    for one in (recorder, replay(recorder)):
        with nvml_of(one) as library, pytest.raises(library.NVMLError) as error:
            library.nvmlInit()
        assert type(error.value) is pynvml.NVMLError_LibraryNotFound


def test_the_systems_library_is_loaded_as_pynvml_would(host, monkeypatch):
    monkeypatch.setattr(nvml, "LIBRARY", None)  # this program itself: a library that is there everywhere
    host.nvml = lambda: None
    recorder = RecordingHost(host)

    assert recorder.nvml().getpid() > 1
    for one in (recorder, None):
        strerror = (one or replay(recorder)).nvml().strerror
        strerror.restype = ctypes.c_char_p
        assert strerror(errno.ENOENT) == b"No such file or directory"
    with pytest.raises(AttributeError):
        recorder.nvml().nvmlInitWithFlags  # noqa: B018
    assert replay(recorder).nvml().getpid() == recorder.nvml().getpid()


def test_structures_pointers_and_odd_arguments(host):
    class Pair(ctypes.Structure):
        _fields_ = [("one", ctypes.c_int), ("two", ctypes.c_int)]

    class Odd:
        def swap(self, by_value, pointer, null, text):
            pointer.contents.one, pointer.contents.two = by_value.two, by_value.one
            return 0

    host.nvml = Odd
    recorder = RecordingHost(host)
    places = [Pair(), Pair()]
    for library, place in ((recorder.nvml(), places[0]), (None, places[1])):
        swap = (library or replay(recorder).nvml()).swap
        assert swap(Pair(1, 2), ctypes.pointer(place), ctypes.POINTER(Pair)(), "x") == 0
    with pytest.raises(NotSupported, match="type object"):
        recorder.nvml().swap(object())

    assert [(place.one, place.two) for place in places] == [(2, 1), (2, 1)]


# USB ----------------------------------------------------------------------------------------------------------------


def seen(host) -> list:
    found = []
    for device in usb.core.find(find_all=True, backend=host.usb_backend()):
        found += [device.address, device.port_numbers, device.idVendor, device.bDeviceClass]
        parent = device.parent
        found.append(parent.address if parent else None)
        found += [
            (configuration.bMaxPower, bytes(configuration.extra_descriptors), interface.bInterfaceClass, ep.bInterval)
            for configuration in device
            for interface in configuration
            for ep in interface
        ]
        try:
            found += [usb.util.get_string(device, device.iProduct), device.serial_number]
            found.append(device.get_active_configuration().bConfigurationValue)
        except (usb.core.USBError, ValueError) as error:
            found += [type(error), str(error), getattr(error, "backend_error_code", None)]
        usb.util.dispose_resources(device)
    return found


def test_usb_is_recorded_and_replayed_through_the_real_pyusb(host):
    recorder = RecordingHost(host)
    was = seen(recorder)

    assert usb_bus.SERIAL in was
    assert (50, b"\x05\x0b", 2, 255) in was
    assert seen(replay(recorder)) == was


def test_whatever_is_more_than_looking_is_refused_on_usb(host):
    recorder = RecordingHost(host)
    seen(recorder)

    for backend in (recorder.usb_backend(), replay(recorder).usb_backend()):
        device = next(iter(usb.core.find(find_all=True, backend=backend)))
        with pytest.raises(NotCaptured, match="USB reset_device"):
            device.reset()
        with pytest.raises(NotCaptured, match="USB request 0x23 0x03"):
            device.ctrl_transfer(0x23, 3, 8, 1)


def test_strings_that_were_not_read_are_not_captured(host):
    recorder = RecordingHost(host)
    seen(recorder)

    device = next(iter(usb.core.find(find_all=True, backend=replay(recorder).usb_backend())))
    with pytest.raises(NotCaptured, match=r"usb\.string"):
        usb.util.get_string(device, 77, 0x0409)


def test_a_host_without_libusb_replays_as_one_wherever_that_is(host, monkeypatch):
    host.usb_backend = lambda: None
    for name in ("libusb1", "libusb0", "openusb"):
        monkeypatch.setattr(f"usb.backend.{name}.get_backend", lambda *_: None)
    recorder = RecordingHost(host)
    backends = [recorder.usb_backend(), replay(recorder).usb_backend()]

    for backend in backends:
        with pytest.raises(usb.core.NoBackendError, match="No backend available"):
            list(usb.core.find(find_all=True, backend=backend))


def test_the_systems_backend_is_chosen_as_pyusb_would(host, monkeypatch):
    host.usb_backend = lambda: None
    monkeypatch.setattr("usb.backend.libusb1.get_backend", usb_bus.Bus)
    recorder = RecordingHost(host)

    assert seen(recorder) == seen(replay(recorder))


def test_a_host_that_serves_neither_replays_its_refusal():
    class Neither(FilesHost):
        def nvml(self):
            raise NotSupported("no NVML here")

        def usb_backend(self):
            raise NotSupported("no USB here")

    recorder = RecordingHost(Neither())
    for ask, words in ((lambda h: h.nvml(), "no NVML here"), (lambda h: h.usb_backend(), "no USB here")):
        with pytest.raises(NotSupported, match=words):
            ask(recorder)
        with pytest.raises(NotSupported, match=f"^{words}$"):
            ask(replay(recorder))


def test_a_descriptor_of_a_strangers_capture_sets_no_attribute_of_pythons():
    journal = Journal()
    journal.note("usb.get_device_descriptor", (0,), {"__class__": 1, "bLength": 18})

    backend = captured_usb.ReplayedBackend(journal)

    assert backend.get_device_descriptor(captured_usb._Device(0)).bLength == 18


def test_timeouts_of_usb_are_replayed_as_such(host):
    class Slow(usb_bus.Bus):
        def open_device(self, dev):
            raise usb.core.USBTimeoutError("Operation timed out", -7, errno.ETIMEDOUT)

        def get_parent(self, dev):
            raise NotImplementedError("get_parent")

    host.usb_backend = Slow
    recorder = RecordingHost(host)
    for one in (recorder, None):
        backend = (one or replay(recorder)).usb_backend()
        device = next(backend.enumerate_devices())
        with pytest.raises(usb.core.USBTimeoutError, match="Operation timed out") as error:
            backend.open_device(device)
        assert (error.value.errno, error.value.backend_error_code) == (errno.ETIMEDOUT, -7)
        with pytest.raises(NotImplementedError, match="get_parent"):
            backend.get_parent(device)
