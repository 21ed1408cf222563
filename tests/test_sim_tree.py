"""The simulated host's file tree answers and refuses as a kernel would."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from hil.sim.tree import File, VirtualTree


@pytest.fixture
def tree() -> VirtualTree:
    tree = VirtualTree()
    tree.add("/sys/devices/card/vendor", "0x10de\n")
    tree.add("/sys/devices/card/config", b"\xde\x10\x84\x26")
    tree.link("/sys/bus/card", "../devices/card")
    tree.link("/dev/card", "/sys/devices/card")
    tree.folder("/sys/empty")
    return tree


def refusal(action: Callable[..., object], *arguments: object) -> tuple[int | None, str]:
    with pytest.raises(OSError) as caught:  # noqa: PT011  (its errno is what is asked for)
        action(*arguments)
    return caught.value.errno, caught.value.filename


def test_files_are_read_through_links_relative_and_absolute(tree):
    for path in ("/sys/devices/card/vendor", "/sys/bus/card/vendor", "/dev/card/vendor", "//dev/./card/../card/vendor"):
        assert tree.read(path) == b"0x10de\n"


def test_folders_are_listed_sorted_and_exist_with_what_is_in_them(tree):
    assert tree.list("/") == ["dev", "sys"]
    assert tree.list("/sys") == ["bus", "devices", "empty"]
    assert tree.list("/sys/bus/card") == ["config", "vendor"]
    assert tree.list("/sys/empty") == []


def test_stat_tells_kind_and_size_links_followed(tree):
    tree.add("/sys/devices/card/resource0", File(read=None, size=1 << 24, mode=0o100600))

    assert tree.stat("/dev/card").is_dir
    assert not tree.stat("/dev/card/vendor").is_dir
    assert (tree.stat("/dev/card/resource0").size, tree.stat("/dev/card/resource0").mode) == (1 << 24, 0o100600)


def test_a_link_is_read_as_it_is_written(tree):
    assert tree.readlink("/sys/bus/card") == "../devices/card"
    assert tree.readlink("/dev/card") == "/sys/devices/card"


def test_part_of_a_file_is_read(tree):
    assert tree.pread("/dev/card/config", 2, 2) == b"\x84\x26"
    assert tree.pread("/dev/card/config", 9, 3) == b"\x26"
    assert tree.pread("/dev/card/config", 2, 100) == b""


def test_a_file_that_asks_the_machine_gives_its_content_of_this_moment():
    tree, count = VirtualTree(), iter(range(9))
    tree.add("/counter", File(read=lambda: str(next(count)).encode()))

    assert [tree.read("/counter"), tree.read("/counter")] == [b"0", b"1"]


def test_a_write_reaches_the_machine_and_tells_how_long_it_takes():
    tree, written = VirtualTree(), []

    def take(data: bytes) -> float | None:
        written.append(data)
        return 0.5 if data == b"1" else None

    tree.add("/reset", File(read=None, write=take))

    assert tree.write("/reset", b"1") == 0.5
    assert tree.write("/reset", b"0") == 0.0
    assert tree.pwrite("/reset", b"2", 0) == 1
    assert written == [b"1", b"0", b"2"]


def test_a_file_with_offsets_is_read_and_written_at_them():
    tree, content = VirtualTree(), bytearray(8)

    def pwrite(data: bytes, offset: int) -> int:
        content[offset : offset + len(data)] = data
        return len(data)

    tree.add(
        "/config", File(read=None, pread=lambda size, offset: bytes(content[offset : offset + size]), pwrite=pwrite)
    )

    assert tree.pwrite("/config", b"ab", 4) == 2
    assert tree.pread("/config", 3, 3) == b"\0ab"


@pytest.mark.parametrize(
    ("action", "path", "code"),
    [
        ("read", "/nothing", errno.ENOENT),
        ("read", "/sys/devices/card", errno.EISDIR),
        ("read", "/dev/card/vendor/below", errno.ENOTDIR),
        ("read", "/write-only", errno.EACCES),
        ("list", "/nothing", errno.ENOENT),
        ("list", "/dev/card/vendor", errno.ENOTDIR),
        ("list", "/dev/card/vendor/below", errno.ENOTDIR),
        ("stat", "/nothing", errno.ENOENT),
        ("stat", "/dev/card/vendor/below", errno.ENOTDIR),
        ("stat", "/dangling", errno.ENOENT),
        ("stat", "/loop", errno.ELOOP),
        ("readlink", "/nothing", errno.ENOENT),
        ("readlink", "/dev/card/vendor", errno.EINVAL),
        ("readlink", "/sys/empty", errno.EINVAL),
        ("readlink", "/dev/card/vendor/below", errno.ENOTDIR),
    ],
)
def test_a_refusal_is_the_kernels_and_names_the_path(tree, action, path, code):
    tree.add("/write-only", File(read=None, write=lambda _: None))
    tree.link("/dangling", "nowhere")
    tree.link("/loop", "loop")

    assert refusal(getattr(tree, action), path) == (code, path)


def test_writing_is_refused_where_nobody_takes_it(tree):
    tree.add("/attribute", File(read=None, write=lambda _: None))

    assert refusal(tree.write, "/dev/card/vendor", b"1") == (errno.EACCES, "/dev/card/vendor")
    assert refusal(tree.pwrite, "/dev/card/vendor", b"1", 0) == (errno.EACCES, "/dev/card/vendor")
    assert refusal(tree.pwrite, "/attribute", b"1", 4) == (errno.EINVAL, "/attribute")
    assert refusal(tree.pread, "/attribute", 4, 0) == (errno.EACCES, "/attribute")
    assert refusal(tree.write, "/sys/empty", b"1") == (errno.EISDIR, "/sys/empty")


def test_forty_links_are_followed_and_no_more():
    tree = VirtualTree()
    tree.add("/0", b"there")
    for n in range(1, 42):
        tree.link(f"/{n}", f"{n - 1}")

    assert tree.read("/40") == b"there"
    assert refusal(tree.read, "/41") == (errno.ELOOP, "/41")


def test_what_is_removed_is_gone_with_all_below_it(tree):
    tree.remove("/sys/devices/card")

    assert tree.list("/sys/devices") == []
    assert refusal(tree.read, "/sys/devices/card/vendor") == (errno.ENOENT, "/sys/devices/card/vendor")
    assert refusal(tree.list, "/dev/card") == (errno.ENOENT, "/dev/card")


def test_a_link_is_removed_without_what_it_points_at(tree):
    tree.remove("/sys/bus/card")
    tree.remove("/sys/bus/card")  # what is not there can be removed

    assert tree.list("/sys/bus") == []
    assert tree.read("/dev/card/vendor") == b"0x10de\n"


def test_what_was_removed_can_come_back(tree):
    tree.remove("/sys/devices")
    tree.add("/sys/devices/card/vendor", "0x8086\n")

    assert tree.read("/sys/bus/card/vendor") == b"0x8086\n"
    assert tree.list("/sys") == ["bus", "devices", "empty"]
