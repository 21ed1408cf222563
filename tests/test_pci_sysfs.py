"""A PCI function through sysfs: config space, BARs, resets, and what the kernel's refusals mean."""

from __future__ import annotations

import errno

import pytest

from hil.errors import DeviceGone, DriverError, HilError, NotPermitted, NotSupported
from hil.model import Gpu, PciFunction
from hil.pci import FunctionAccess, SysfsFunction, identify, open_function, refusal, snapshot
from tests.files_host import FilesHost, refused
from tests.pci_device import config_space

BDF = "0000:04:00.0"
FOLDER = f"/sys/bus/pci/devices/{BDF}"
RESOURCE = (
    b"0x0000000080000000 0x0000000080000fff 0x0000000000040200\n"
    b"0x0000001000000000 0x000000100000001f 0x000000000014220c\n"
    b"0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
    b"0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
    b"0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
    b"0x000000000000f000 0x000000000000f003 0x0000000000040101\n"
)
GPU = Gpu(id="g", name="RTX", function=PciFunction(address=BDF, vendor_id=0x10DE, device_id=0x2704))


def machine(**more: bytes | OSError) -> FilesHost:
    files: dict[str, bytes | OSError] = {
        "config": bytes(config_space()),
        "resource": RESOURCE,
        "resource0": bytes(range(256)) * 16,
        "resource1": bytes(32),
        "resource5": b"\1\2\3\4",
        "reset": b"",
        "reset_method": b"flr bus\n",
        **more,
    }
    return FilesHost(files={f"{FOLDER}/{name}": content for name, content in files.items()})


def test_on_linux_a_function_is_opened_through_sysfs() -> None:
    access = open_function(machine(), GPU)

    assert isinstance(access, SysfsFunction)
    assert isinstance(access, FunctionAccess)
    assert access.config_read(0, 2) == b"\xde\x10"


def test_a_function_that_is_not_there_is_gone() -> None:
    with pytest.raises(DeviceGone, match="no such function"):
        open_function(FilesHost(), GPU)


@pytest.mark.parametrize(
    ("system", "arch", "words"),
    [("FreeBSD", "amd64", "FreeBSD"), ("Darwin", "x86_64", "Intel Macs panic")],
)
def test_hosts_without_a_way_are_refused(system: str, arch: str, words: str) -> None:
    with pytest.raises(NotSupported, match=words):
        open_function(FilesHost(system=system, arch=arch), GPU)


def test_what_is_written_to_config_space_is_read_back() -> None:
    access = SysfsFunction(machine(), BDF)

    access.config_write(0x04, b"\x06\x04")

    assert access.config_read(0x04, 2) == b"\x06\x04"


def test_a_user_who_sees_64_bytes_of_config_space_is_told_to_be_root() -> None:
    class Unprivileged(FilesHost):
        def pread(self, path: str, size: int, offset: int) -> bytes:
            return self.read(path)[:64][offset : offset + size]

    access = SysfsFunction(Unprivileged(files=machine().files), BDF)

    with pytest.raises(NotPermitted, match="0x60: 0 of 2 bytes came; only root may read beyond 64"):
        snapshot(access)


def test_config_space_ends_where_it_ends() -> None:
    access = SysfsFunction(machine(config=bytes(config_space(size=256))), BDF)

    with pytest.raises(NotSupported, match="it has 256"):
        access.config_read(0x100, 4)


def test_bar_sizes_come_from_the_resource_file() -> None:
    access = SysfsFunction(machine(), BDF)

    assert [access.bar_size(bar) for bar in range(8)] == [0x1000, 32, 0, 0, 0, 4, 0, 0]


def test_a_resource_file_that_is_none_is_reported() -> None:
    with pytest.raises(DriverError, match="line 1 is no resource: 'nonsense'"):
        SysfsFunction(machine(resource=b"nonsense\n"), BDF).bar_size(0)


@pytest.mark.parametrize("maps", [True, False])
@pytest.mark.parametrize(("offset", "size"), [(0x10, 8), (0x11, 3)])
def test_a_bar_reads_alike_mapped_and_read(offset: int, size: int, *, maps: bool) -> None:
    host = machine()
    host.maps = maps
    access = SysfsFunction(host, BDF)

    assert access.mmio_read(0, offset, size) == (bytes(range(256)) * 16)[offset : offset + size]
    access.close()


@pytest.mark.parametrize("maps", [True, False])
@pytest.mark.parametrize(("offset", "data"), [(4, b"abcdefgh"), (5, b"xyz")])
def test_a_bar_is_written_alike_mapped_and_written(offset: int, data: bytes, *, maps: bool) -> None:
    host = machine()
    host.maps = maps
    access = SysfsFunction(host, BDF)

    access.mmio_write(1, offset, data)

    assert access.mmio_read(1, 0, 32) == bytes(offset) + data + bytes(32 - offset - len(data))


def test_a_port_bar_is_never_mapped() -> None:
    host = machine()
    host.maps = True

    assert SysfsFunction(host, BDF).mmio_read(5, 0, 4) == b"\1\2\3\4"
    assert isinstance(host.files[f"{FOLDER}/resource5"], bytes)


@pytest.mark.parametrize("maps", [True, False])
def test_an_access_that_leaves_its_bar_is_refused(*, maps: bool) -> None:
    host = machine()
    host.maps = maps
    access = SysfsFunction(host, BDF)
    access.mmio_read(1, 0, 4)

    with pytest.raises(ValueError, match="BAR 1 has 0x20 bytes; 0x8 bytes at 0x1c leave it"):
        access.mmio_write(1, 0x1C, bytes(8))
    with pytest.raises(ValueError, match="BAR 2 has 0x0 bytes"):
        access.mmio_read(2, 0, 4)


def test_a_short_read_of_a_bar_is_an_error() -> None:
    with pytest.raises(DriverError, match="8 of 16 bytes came"):
        SysfsFunction(machine(resource1=bytes(8)), BDF).mmio_read(1, 0, 16)


def test_a_short_write_is_an_error() -> None:
    class Short(FilesHost):
        def pwrite(self, path: str, data: bytes, offset: int) -> int:
            return len(data) - 1

    with pytest.raises(DriverError, match="took 1 of 2 bytes"):
        SysfsFunction(Short(files=machine().files), BDF).config_write(4, b"\0\0")


def test_a_mapping_that_the_kernel_refuses_says_why() -> None:
    class Exclusive(FilesHost):
        def map(self, path: str, size: int, offset: int = 0) -> memoryview:
            raise refused(errno.EPERM)

    with pytest.raises(NotPermitted, match=r"mapping BAR 0 of 0000:04:00.0: .*resource0"):
        SysfsFunction(Exclusive(files=machine().files), BDF).mmio_read(0, 0, 4)


def test_a_chip_is_identified_through_a_mapped_bar() -> None:
    host = machine(resource0=bytes.fromhex("a1002019") + bytes(0x9FC) + bytes.fromhex("00002019") + bytes(0x5FC))
    host.maps = True

    assert identify(SysfsFunction(host, BDF)).chip_id == 0x192


@pytest.mark.parametrize(
    ("files", "kinds"),
    [
        ({}, ("flr", "bus")),
        ({"reset_method": refused(errno.ENOENT)}, ("default",)),
        ({"reset_method": refused(errno.ENOENT), "reset": refused(errno.ENOENT)}, ()),
        ({"reset_method": b"\n"}, ()),
    ],
)
def test_reset_kinds_are_what_the_kernel_offers(files: dict[str, bytes | OSError], kinds: tuple[str, ...]) -> None:
    assert SysfsFunction(machine(**files), BDF).reset_kinds() == kinds


@pytest.mark.parametrize("kind", [None, "default"])
def test_the_default_reset_is_the_kernels_choice(kind: str | None) -> None:
    host = machine()

    SysfsFunction(host, BDF).reset(kind)

    assert host.written == [(f"{FOLDER}/reset", b"1")]


def test_a_chosen_reset_leaves_the_choice_as_it_was() -> None:
    host = machine()

    SysfsFunction(host, BDF).reset("bus")

    assert host.written == [
        (f"{FOLDER}/reset_method", b"bus"),
        (f"{FOLDER}/reset", b"1"),
        (f"{FOLDER}/reset_method", b"flr bus"),
    ]


def test_a_reset_that_is_not_offered_is_refused_untried() -> None:
    host = machine()

    with pytest.raises(NotSupported, match="offers flr, bus"):
        SysfsFunction(host, BDF).reset("pm")
    assert host.written == []


def test_a_function_without_resets_says_so() -> None:
    with pytest.raises(NotSupported, match="offers none"):
        SysfsFunction(machine(reset_method=b""), BDF).reset()


def test_a_failed_reset_carries_the_errno_and_restores_the_choice() -> None:
    host = machine()

    def fail(path: str, _data: bytes) -> None:
        if path.endswith("/reset"):
            raise refused(errno.ENOTTY)

    host.on_write = fail

    with pytest.raises(DriverError, match="ENOTTY") as caught:
        SysfsFunction(host, BDF).reset("flr")
    assert caught.value.code == errno.ENOTTY
    assert host.written[-1] == (f"{FOLDER}/reset_method", b"flr bus")


def test_a_function_that_leaves_during_its_reset_is_gone() -> None:
    host = machine()

    def leave(path: str, _data: bytes) -> None:
        if path.endswith("/reset"):
            host.files.clear()
            raise refused(errno.ENOENT)

    host.on_write = leave

    with pytest.raises(DeviceGone, match="was removed"):
        SysfsFunction(host, BDF).reset("flr")


def test_every_access_to_a_removed_function_is_gone() -> None:
    access = SysfsFunction(FilesHost(), BDF)

    for use in (
        lambda: access.config_read(0, 4),
        lambda: access.config_write(4, b"\0\0"),
        lambda: access.bar_size(0),
        access.reset,
    ):
        with pytest.raises(DeviceGone):
            use()


def test_a_missing_file_of_a_function_that_is_there_is_not_offered() -> None:
    with pytest.raises(NotSupported, match="not offered"):
        SysfsFunction(machine(resource1=refused(errno.ENOENT)), BDF).mmio_read(1, 0, 4)


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (errno.EACCES, NotPermitted, "root"),
        (errno.EPERM, NotPermitted, "root"),
        (errno.EINVAL, DriverError, "does not take this value"),
        (errno.ENOTTY, DriverError, "no way to do it"),
        (errno.ENODEV, DeviceGone, "left"),
        (errno.ENOENT, NotSupported, "not offered"),
        (errno.EXDEV, DriverError, "kernel log"),
    ],
)
def test_a_refusal_says_what_was_done_and_what_it_means(code: int, kind: type[HilError], words: str) -> None:
    error = refusal(refused(code), "resetting 0000:04:00.0", "/sys/x")

    assert type(error) is kind
    assert error.code == code
    assert str(error).startswith("resetting 0000:04:00.0: /sys/x: ")
    assert words in str(error)


def test_a_reset_file_that_vanishes_from_a_function_that_stays_is_not_offered() -> None:
    host = machine(reset=refused(errno.ENOENT))

    with pytest.raises(NotSupported, match=r"resetting 0000:04:00.0 .*not offered"):
        SysfsFunction(host, BDF).reset("flr")
    assert host.written[-1] == (f"{FOLDER}/reset_method", b"flr bus")
