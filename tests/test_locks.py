"""Device locks: one holder, named; what a dead one left behind is there for the next."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import stat
import subprocess
import sys

import pytest

from hil.bench.locks import DeviceBusy, DeviceLock, default_folder
from hil.errors import BenchFault, from_dict, to_dict

GPU = "GPU-4a0c2a8e-0000"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "hil-locks"


def lock_file(folder):
    (path,) = folder.iterdir()
    return path


def dead_holder(folder, then=""):
    """Another process takes the lock, does `then` and dies without releasing."""
    script = (
        "import os, pathlib; from hil.bench.locks import DeviceLock\n"
        f"lock = DeviceLock.acquire({GPU!r}, pathlib.Path({str(folder)!r}))\n{then}\nos._exit(1)"
    )
    subprocess.run([sys.executable, "-c", script], check=False)


def test_a_second_run_is_refused_and_told_who_holds_the_device(folder):
    with (
        DeviceLock.acquire(GPU, folder, {"command": "pytest suites/driver"}),
        pytest.raises(DeviceBusy, match="pytest suites/driver") as caught,
    ):
        DeviceLock.acquire(GPU, folder)

    holder = caught.value.holder
    assert (holder.pid, holder.user, holder.device) == (os.getpid(), getpass.getuser(), GPU)
    assert holder.since
    assert holder.host
    assert isinstance(caught.value, BenchFault)


def test_a_busy_device_is_told_across_processes(folder):
    with DeviceLock.acquire(GPU, folder), pytest.raises(DeviceBusy) as caught:
        DeviceLock.acquire(GPU, folder)

    again = from_dict(to_dict(caught.value))

    assert (type(again), again.device, str(again)) == (DeviceBusy, GPU, str(caught.value))


def test_a_released_lock_can_be_taken_again_with_nothing_left_behind(folder):
    lock = DeviceLock.acquire(GPU, folder)
    lock.note({"detached": ["0-1"]})
    lock.release()
    lock.release()

    with DeviceLock.acquire(GPU, folder) as again:
        assert again.left_behind is None
        assert again.holder.state == {}


def test_other_devices_have_locks_of_their_own_whatever_their_ids_contain(folder):
    with DeviceLock.acquire(GPU, folder), DeviceLock.acquire("../../etc/passwd:10de:2684", folder):
        assert len(list(folder.iterdir())) == 2


def test_a_dead_holders_lock_is_taken_over_with_what_it_left_behind(folder):
    dead_holder(folder, "lock.note({'detached': ['0-1']})")

    with DeviceLock.acquire(GPU, folder) as lock:
        assert lock.left_behind.state == {"detached": ["0-1"]}
        assert lock.left_behind.pid != os.getpid()


def test_what_was_left_behind_outlives_a_second_death_until_it_is_put_right(folder):
    dead_holder(folder, "lock.note({'detached': ['0-1']})")
    dead_holder(folder)

    with DeviceLock.acquire(GPU, folder) as lock:
        assert lock.left_behind.state == {"detached": ["0-1"]}
        lock.note({})
        assert json.loads(lock_file(folder).read_text(encoding="utf-8"))["state"] == {}


@pytest.mark.parametrize(
    "record",
    [
        b"\0\0\0",
        b'{"pid": 4',
        b"[1, 2]",
        b'{"colour": 1}',
        b'{"pid": 1, "state": 3}',
        b"\xff\xfe",
        b"[" * 9999,
    ],
)
def test_a_damaged_record_is_an_unknown_holder(folder, record):
    DeviceLock.acquire(GPU, folder).release()
    lock_file(folder).write_bytes(record)

    with DeviceLock.acquire(GPU, folder) as lock:
        assert (lock.left_behind.pid, lock.left_behind.state) == (None, {})


def test_a_holder_that_has_not_written_its_record_yet_is_still_respected(folder):
    DeviceLock.acquire(GPU, folder).release()

    with lock_file(folder).open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        with pytest.raises(DeviceBusy, match="no readable record"):
            DeviceLock.acquire(GPU, folder)


def test_the_folder_and_the_files_are_everybodys_whatever_the_umask(folder):
    before = os.umask(0o077)
    try:
        DeviceLock.acquire(GPU, folder).release()
    finally:
        os.umask(before)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o1777
    assert stat.S_IMODE(lock_file(folder).stat().st_mode) == 0o666


def plant_link(path, target):
    path.symlink_to(target)


def plant_hard_link(path, target):
    path.hardlink_to(target)


def plant_pipe(path, target):
    os.mkfifo(path)


def plant_folder(path, target):
    path.mkdir()


@pytest.mark.parametrize("plant", [plant_link, plant_hard_link, plant_pipe, plant_folder])
def test_what_was_planted_in_the_shared_folder_is_not_followed(folder, tmp_path, plant):
    victim = tmp_path / "victim"
    victim.write_text("precious", encoding="utf-8")
    DeviceLock.acquire(GPU, folder).release()
    path = lock_file(folder)
    path.unlink()
    plant(path, victim)

    with pytest.raises(BenchFault, match=f"cannot use {path}"):
        DeviceLock.acquire(GPU, folder)

    assert victim.read_text(encoding="utf-8") == "precious"


def test_a_folder_that_is_a_link_is_refused(folder, tmp_path):
    folder.symlink_to(tmp_path)

    with pytest.raises(BenchFault, match="it is a link or no directory"):
        DeviceLock.acquire(GPU, folder)


def test_nothing_is_noted_in_a_lock_that_was_released(folder):
    lock = DeviceLock.acquire(GPU, folder)
    lock.release()

    with pytest.raises(BenchFault, match="released already"):
        lock.note({"detached": []})


def test_a_failed_take_over_leaves_the_device_free(folder):
    with pytest.raises(TypeError):
        DeviceLock.acquire(GPU, folder, {"colour": "red"})

    with DeviceLock.acquire(GPU, folder) as lock:
        assert lock.holder.pid == os.getpid()


def test_the_default_folder_does_not_depend_on_whose_temporary_folder_is_set(monkeypatch, tmp_path):
    before = default_folder()
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    assert default_folder() == before
    assert before.name == "hil-locks"
