"""hil.copy: the registry, and the OpenCL engine on a real driver (PoCL runs on any CPU)."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hil.copy import CopyEngine, Rows, engine, engines
from hil.copy import opencl_driver as driver
from hil.copy.opencl import OpenCLEngine
from hil.errors import DeviceGone, DriverError, NotSupported, OutOfMemory, UsageError
from hil.hosts.local import LocalHost
from hil.integrity import fill, verify
from hil.model import KIB, MIB, Direction, HostFacts
from hil.throughput import sample, sample_both

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hil.hosts.base import Host

SIZE = 300 * KIB + 5


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    local = LocalHost()
    yield local
    local.close()


@pytest.fixture
def opencl(host: Host) -> Iterator[OpenCLEngine]:
    pytest.importorskip("pyopencl", reason="pyopencl is not installed: pip install 'hil[opencl]'")
    found = OpenCLEngine.devices(host)
    if not found:
        pytest.skip("no OpenCL driver lists a device: install one, e.g. pip install 'pyopencl[pocl]'")
    opened = OpenCLEngine.open(host, found[0].target)
    yield opened
    opened.close()


def test_engines_are_found_by_name():
    assert "opencl" in engines()
    assert engine("opencl") is OpenCLEngine
    assert issubclass(engine("simulated"), CopyEngine)
    with pytest.raises(UsageError, match=r"known: .*opencl"):
        engine("typo")


def test_a_device_tells_what_it_is_and_lists_under_the_same_target_again(host: Host, opencl: OpenCLEngine):
    about = opencl.describe()
    platform, name = about.target.split("/")
    assert platform
    assert name
    assert about.vram_bytes > 0
    assert about.driver_version
    assert about in OpenCLEngine.devices(host)
    assert OpenCLEngine.devices(host) == OpenCLEngine.devices(host)


@pytest.mark.parametrize("pinned", [True, False])
def test_bytes_go_there_and_back_unharmed(opencl: OpenCLEngine, pinned: bool):
    source, target = opencl.host_alloc(SIZE, pinned=pinned), opencl.host_alloc(SIZE, pinned=pinned)
    one, two = opencl.alloc(SIZE), opencl.alloc(SIZE)
    fill(source.view, epoch=7, buffer_id=2)
    fill(target.view, epoch=6, buffer_id=2)
    opencl.upload(one, source, SIZE)
    opencl.move(two, one, SIZE)
    opencl.download(target, two, SIZE)
    opencl.synchronize()
    report = verify(target.view, epoch=7, buffer_id=2, unwritten_epoch=6)
    assert report.intact, report.text()
    assert (source.pinned, source.nbytes) == (pinned, SIZE)
    assert one.address != two.address


def test_offsets_are_heeded_on_both_sides(opencl: OpenCLEngine):
    source, target, memory = opencl.host_alloc(1000), opencl.host_alloc(1000), opencl.alloc(1000)
    fill(source.view, epoch=7, buffer_id=2)
    fill(target.view, epoch=6, buffer_id=2)
    opencl.upload(memory, source, 500, src_offset=101, dst_offset=3)
    opencl.move(memory, memory, 400, src_offset=3, dst_offset=600)
    opencl.download(target, memory, 400, src_offset=600, dst_offset=55)
    opencl.synchronize(0)
    assert target.view[55:455] == source.view[101:501]
    assert verify(target.view[:55], epoch=6, buffer_id=2).intact
    assert verify(target.view[455:], epoch=6, buffer_id=2, first_byte=455).intact


@pytest.mark.parametrize(
    "shape",
    [
        Rows(row_bytes=100, rows=30, src_pitch=128, dst_pitch=200, src_offset=120, dst_offset=350),
        Rows(row_bytes=64, rows=5, src_pitch=64, dst_pitch=64),
        Rows(row_bytes=300, rows=1, src_pitch=300, dst_pitch=301, src_offset=7),
    ],
)
def test_rows_go_where_their_pitch_says_and_what_is_between_them_stays(opencl: OpenCLEngine, shape: Rows):
    size = 8 * KIB
    source, target, blank = (opencl.host_alloc(size) for _ in range(3))
    one, two = opencl.alloc(size), opencl.alloc(size)
    fill(source.view, epoch=7)
    blank.view[:] = target.view[:] = b"." * size
    wanted = bytearray(target.view)
    for row in range(shape.rows):
        at, begin = shape.dst_offset + row * shape.dst_pitch, shape.src_offset + row * shape.src_pitch
        wanted[at : at + shape.row_bytes] = source.view[begin : begin + shape.row_bytes]
    found = []
    for direction in (Direction.H2D, Direction.D2D):
        opencl.upload(one, source, size)
        opencl.upload(two, blank, size)
        opencl.copy_rows(direction, two, source if direction is Direction.H2D else one, shape)
        back = opencl.host_alloc(size)
        opencl.download(back, two, size)
        opencl.synchronize()
        found.append(bytes(back.view))
    opencl.copy_rows(Direction.D2H, target, one, shape)
    opencl.synchronize()

    assert found == [bytes(wanted)] * 2
    assert bytes(target.view) == bytes(wanted)
    assert opencl.in_host_memory in (True, False)


def test_a_pitch_smaller_than_its_row_is_refused(opencl: OpenCLEngine):
    shape = Rows(row_bytes=10, rows=2, src_pitch=9, dst_pitch=10)

    with pytest.raises(ValueError, match="`src_pitch` must be at least 10, not 9"):
        opencl.copy_rows(Direction.D2D, opencl.alloc(64), opencl.alloc(64), shape)


def test_streams_are_independent_and_device_time_passes_in_each(opencl: OpenCLEngine):
    hosts = [opencl.host_alloc(MIB) for _ in range(2)]
    buffers = [opencl.alloc(MIB) for _ in range(2)]
    marks = []
    for stream in range(2):
        start = opencl.record(stream)
        opencl.upload(buffers[stream], hosts[stream], MIB, stream=stream)
        middle = opencl.record(stream)
        opencl.upload(buffers[stream], hosts[stream], MIB, stream=stream)
        marks.append((start, middle, opencl.record(stream)))
    opencl.synchronize()
    for start, middle, end in marks:
        first, second = opencl.elapsed(start, middle), opencl.elapsed(middle, end)
        assert first > 0
        assert second > 0
        assert opencl.elapsed(start, end) >= first + second
        assert opencl.elapsed(start, start) == 0


def test_marks_with_no_copy_between_tell_their_own_time(opencl: OpenCLEngine):
    start, end = opencl.record(), opencl.record()
    opencl.synchronize()
    assert 0 <= opencl.elapsed(start, end) < 1


def test_sampling_works_each_way_and_both_ways(host: Host, opencl: OpenCLEngine):
    for direction in Direction:
        samples = sample(opencl, host.clock, direction, MIB, rounds=3, warmups=1)
        assert samples.device_time
        assert samples.rate > 0
        assert all(own <= whole for own, whole in zip(samples.seconds, samples.host_seconds, strict=True))
    both = sample_both(opencl, host.clock, MIB, rounds=2, warmups=1)
    assert both.h2d.rate > 0
    assert both.d2h.rate > 0
    free, total = opencl.memory()
    assert free == total


def test_memory_is_accounted_and_what_is_not_there_is_refused(opencl: OpenCLEngine):
    free, total = opencl.memory()
    buffer = opencl.alloc(MIB)
    assert opencl.memory() == (free - MIB, total)
    opencl.free(buffer)
    assert opencl.memory() == (free, total)
    with pytest.raises(OutOfMemory, match="at most") as caught:
        opencl.alloc(total + 1)
    assert caught.value.code == -61
    assert caught.value.device == opencl.describe().target


def test_small_allocations_too_end_at_the_size_of_the_device(host: Host, opencl: OpenCLEngine):
    about, handle = next(pair for pair in driver.found_devices() if pair[0] == opencl.describe())
    half = handle.max_mem_alloc_size // 2
    for _ in range(about.vram_bytes // half):
        opencl.alloc(half)
    with pytest.raises(OutOfMemory, match="are free") as caught:
        opencl.alloc(half)
    assert caught.value.code == -4


def test_the_drivers_refusal_is_a_driver_error_with_its_code(opencl: OpenCLEngine):
    source, memory = opencl.host_alloc(2000), opencl.alloc(1000)
    for refused, code in (
        (lambda: opencl.upload(memory, source, 2000), -30),
        (lambda: opencl.download(source, memory, 500, src_offset=600), -30),
        (lambda: opencl.move(memory, memory, 500, dst_offset=100), -8),
    ):
        with pytest.raises(DriverError) as caught:
            refused()
        assert caught.value.code == code
        assert caught.value.device == opencl.describe().target
    with pytest.raises(DriverError, match="MEM_COPY_OVERLAP"):
        opencl.move(memory, memory, 500, dst_offset=100)


def test_a_copy_that_fails_later_is_told_by_synchronize_once(opencl: OpenCLEngine):
    import pyopencl as cl  # noqa: PLC0415  (may be missing: the fixture skips then)

    stream = opencl._stream(0)
    gate = cl.UserEvent(opencl._context)
    memory, source = opencl.alloc(100), np.zeros(100, np.uint8)
    stream.submit(
        "copy 100 B H2D",
        lambda queue: cl.enqueue_copy(queue, memory.handle, source, is_blocking=False, wait_for=[gate]),
        None,
    )
    with pytest.raises(DriverError, match="read device time"):
        opencl.elapsed(opencl.record(), opencl.record())
    gate.set_status(-5)
    with pytest.raises(DriverError, match="copy 100 B H2D on"):
        opencl.synchronize()
    opencl.synchronize()


def test_freed_buffers_are_refused_rather_than_touched(opencl: OpenCLEngine):
    host_buffer, memory = opencl.host_alloc(100), opencl.alloc(100)
    array = np.frombuffer(host_buffer.view, np.uint8)
    view = host_buffer.view
    opencl.host_free(host_buffer)
    opencl.free(memory)
    array.sum()  # still mapped: an array on it lives
    for refused in (
        lambda: opencl.free(memory),
        lambda: opencl.host_free(host_buffer),
        lambda: opencl.move(memory, memory, 1),
    ):
        with pytest.raises(DriverError, match="was freed") as caught:
            refused()
        assert caught.value.code == -38
    live = opencl.alloc(100)
    with pytest.raises(DriverError, match="host buffer was freed"):
        opencl.upload(live, host_buffer, 1)
    del array, view


def test_a_freed_view_cannot_be_used(opencl: OpenCLEngine):
    buffer = opencl.host_alloc(100)
    view = buffer.view
    opencl.host_free(buffer)
    with pytest.raises(ValueError, match="released"):
        view[0]


def test_bad_numbers_are_refused_by_name(opencl: OpenCLEngine):
    source, memory = opencl.host_alloc(100), opencl.alloc(100)
    for refused, names in (
        (lambda: opencl.alloc(0), "`nbytes`"),
        (lambda: opencl.host_alloc(-1), "`nbytes`"),
        (lambda: opencl.upload(memory, source, -1), "`nbytes`"),
        (lambda: opencl.upload(memory, source, 1, dst_offset=-1), "`dst_offset`"),
        (lambda: opencl.upload(memory, source, 100, src_offset=1), "outside the host buffer"),
        (lambda: opencl.move(memory, memory, 1, src_offset=-1), "`src_offset`"),
    ):
        with pytest.raises(ValueError, match=names):
            refused()


def test_a_copy_of_nothing_changes_nothing(opencl: OpenCLEngine):
    source, memory, target = opencl.host_alloc(4), opencl.alloc(4), opencl.host_alloc(4)
    source.view[:], target.view[:] = b"data", b"kept"
    opencl.upload(memory, source, 4)
    opencl.upload(memory, target, 0)
    opencl.move(memory, memory, 0)
    opencl.download(target, memory, 0)
    opencl.synchronize()
    assert bytes(target.view) == b"kept"
    opencl.download(target, memory, 4)
    opencl.synchronize()
    assert bytes(target.view) == b"data"


def test_a_closed_engine_refuses_and_may_be_closed_again(host: Host, opencl: OpenCLEngine):
    opencl.alloc(100)
    opencl.upload(opencl.alloc(100), opencl.host_alloc(100), 100)
    opencl.close()
    opencl.close()
    for refused in (opencl.synchronize, lambda: opencl.alloc(1), opencl.record):
        with pytest.raises(DriverError, match="closed"):
            refused()
    assert opencl.memory()[0] == opencl.memory()[1]
    again = OpenCLEngine.open(host, opencl.describe().target)
    assert again.describe() == opencl.describe()
    again.close()


def test_a_device_that_is_not_there_is_gone_and_the_message_says_which_are(host: Host, opencl: OpenCLEngine):
    with pytest.raises(DeviceGone, match=opencl.describe().target):
        OpenCLEngine.open(host, "no/such")


def test_only_the_machine_this_runs_on_has_opencl_devices():
    class Elsewhere(LocalHost):
        kind = "simulated"

        def facts(self) -> HostFacts:
            return HostFacts(system="Darwin", simulated=True)

    other = Elsewhere()
    assert OpenCLEngine.devices(other) == []
    with pytest.raises(NotSupported, match="not a simulated host"):
        OpenCLEngine.open(other, "any/device")


def test_without_pyopencl_there_are_no_devices_and_opening_says_what_to_install(host: Host):
    program = (
        "import sys; sys.modules['pyopencl'] = None\n"
        "from hil.copy.opencl import OpenCLEngine\n"
        "from hil.errors import NotSupported\n"
        "from hil.hosts.local import LocalHost\n"
        "assert OpenCLEngine.devices(LocalHost()) == []\n"
        "try: OpenCLEngine.open(LocalHost(), 'any/device')\n"
        "except NotSupported as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'hil[opencl]'" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="hides drivers by variables of the Linux OpenCL loader")
def test_a_machine_without_any_opencl_driver_has_no_devices():
    pytest.importorskip("pyopencl", reason="pyopencl is not installed: pip install 'hil[opencl]'")
    program = (
        "from hil.copy.opencl import OpenCLEngine\n"
        "from hil.errors import DeviceGone\n"
        "from hil.hosts.local import LocalHost\n"
        "assert OpenCLEngine.devices(LocalHost()) == []\n"
        "try: OpenCLEngine.open(LocalHost(), 'any/device')\n"
        "except DeviceGone as error: print(error)\n"
    )
    hidden = {**os.environ, "OCL_ICD_FILENAMES": "", "OCL_ICD_VENDORS": "/nonexistent"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=hidden)
    assert "lists none at all" in done.stdout


class ForeignDevice:
    """What pyopencl tells of a device that is not in this machine."""

    def __init__(self, extensions: str, told: dict[int, int]) -> None:
        self.extensions, self.told = extensions, told

    def get_info(self, what: int) -> int:
        import pyopencl as cl  # noqa: PLC0415  (may be missing: the test skips then)

        if what not in self.told:
            raise cl.LogicError("clGetDeviceInfo", -30, "")
        return self.told[what]


def test_the_pci_address_is_read_where_nvidias_driver_tells_it():
    cl = pytest.importorskip("pyopencl", reason="pyopencl is not installed: pip install 'hil[opencl]'")
    info = cl.device_info
    told = {info.PCI_DOMAIN_ID_NV: 0, info.PCI_BUS_ID_NV: 0x2B, info.PCI_SLOT_ID_NV: 0x09}
    extension = "cl_khr_fp64 cl_nv_device_attribute_query"
    assert driver.pci_address(ForeignDevice(extension, told)) == "0000:2b:01.1"
    assert driver.pci_address(ForeignDevice(extension, {})) == ""
    assert driver.pci_address(ForeignDevice("cl_khr_fp64", told)) == ""


@pytest.mark.parametrize(
    ("code", "kind", "name"),
    [
        (-2, DeviceGone, "DEVICE_NOT_AVAILABLE"),
        (-4, OutOfMemory, "MEM_OBJECT_ALLOCATION_FAILURE"),
        (-5, OutOfMemory, "OUT_OF_RESOURCES"),
        (-61, OutOfMemory, "INVALID_BUFFER_SIZE"),
        (-36, DriverError, "INVALID_COMMAND_QUEUE"),
        (-9999, DriverError, "-9999"),
    ],
)
def test_codes_become_the_errors_they_stand_for(code: int, kind: type[Exception], name: str):
    pytest.importorskip("pyopencl", reason="pyopencl is not installed: pip install 'hil[opencl]'")
    error = driver.failure(code, "copy 1 MiB H2D", "pocl/cpu")
    assert type(error) is kind
    assert error.code == code
    assert name in str(error)
    assert "copy 1 MiB H2D on pocl/cpu" in str(error)
