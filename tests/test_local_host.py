"""The local host: files, commands, sockets and serial ports of the machine that runs the tests."""

from __future__ import annotations

import errno
import os
import pty
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from hil.errors import NotSupported, UsageError
from hil.hosts.base import Host, wait_until
from hil.hosts.local import LocalHost

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's own files")


@pytest.fixture
def host():
    host = LocalHost()
    yield host
    host.close()


@pytest.fixture
def tree(tmp_path):
    """A folder, and a host to which it is ``/``."""

    def put(path: str, content: bytes) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    return LocalHost(root=str(tmp_path)), put


@pytest.fixture
def mac(monkeypatch, tmp_path):
    """Makes the host take this machine for a Mac, with the given scripts in the place of its tools."""

    def install(**tools: str) -> LocalHost:
        for name, script in tools.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        monkeypatch.setattr(sys, "platform", "darwin")
        return LocalHost()

    return install


def test_it_keeps_the_host_protocol(host):
    assert isinstance(host, Host)
    assert host.kind == "local"


def test_native_libraries_find_their_own_drivers(host):
    assert host.nvml() is None
    assert host.usb_backend() is None


# Facts


@linux
def test_facts_of_this_machine_are_real(host):
    facts = host.facts()
    assert (facts.system, facts.simulated) == ("Linux", False)
    assert facts.arch == os.uname().machine
    assert facts.os_version == os.uname().release
    assert facts.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@linux
def test_the_model_comes_from_firmware_tables(tree):
    host, put = tree
    assert host.facts().model == ""
    put("proc/device-tree/model", b"Apple Mac mini (M1, 2020)\0")
    assert host.facts().model == "Apple Mac mini (M1, 2020)"
    put("sys/class/dmi/id/product_name", b"ThinkStation P3\n")
    assert host.facts().model == "ThinkStation P3"


def test_mac_facts_come_from_its_tools(mac):
    host = mac(sysctl='case "$2" in hw.model) echo Mac15,9;; *) echo 5A1C-77;; esac', sw_vers="echo 26.1")
    facts = host.facts()
    assert (facts.system, facts.model, facts.os_version, facts.boot_id) == (
        "Darwin",
        "Mac15,9",
        "26.1",
        "5A1C-77",
    )


def test_mac_facts_stay_empty_where_a_tool_fails_or_lacks(mac, monkeypatch, tmp_path):
    host = mac(sysctl="exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (host.facts().model, host.facts().os_version) == ("", "")


# Clock


def test_an_operation_needs_a_deadline_above_zero(host):
    with host.clock.operation("copy", 0.5):
        pass
    with pytest.raises(ValueError, match="'copy' must be above 0"), host.clock.operation("copy", 0):
        pass


def test_sleeping_moves_the_clock(host):
    before = host.clock.now()
    host.clock.sleep(0.01)
    assert host.clock.now() - before >= 0.01


# Files


def test_files_are_read_and_replaced(tree):
    host, put = tree
    put("sys/power", b"auto\n")
    host.write("/sys/power", b"on")
    assert host.read("/sys/power") == b"on"


def test_a_write_never_creates_an_attribute(tree):
    host, _ = tree
    with pytest.raises(FileNotFoundError):
        host.write("/remove", b"1")


@linux
def test_the_kernels_refusal_of_a_write_is_raised(host):
    with pytest.raises(OSError, match=r"Invalid argument|Permission denied"):
        host.write("/proc/self/oom_score_adj", b"nonsense")


@linux
def test_a_write_taken_in_part_is_an_error(tmp_path):
    fifo = tmp_path / "attribute"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)

    def leave() -> None:
        select.select([reader], [], [], 10)  # until the first bytes are there
        os.close(reader)

    gone = threading.Thread(target=leave)
    gone.start()
    with pytest.raises(OSError, match="were taken") as refused:
        LocalHost(root=str(tmp_path)).write("/attribute", bytes(1 << 20))
    gone.join()
    assert refused.value.errno == errno.EIO


def test_positioned_reads_and_writes(tree):
    host, put = tree
    put("config", bytes(64))
    assert host.pwrite("/config", b"\xde\x10", 2) == 2
    assert host.pread("/config", 4, 1) == b"\0\xde\x10\0"
    assert host.pread("/config", 16, 60) == bytes(4)


def test_directories_links_and_modes(tree, tmp_path):
    host, put = tree
    put("devices/b/size", b"12345")
    put("devices/a", b"")
    (tmp_path / "driver").symlink_to("./devices//b")
    assert host.list("/devices") == ["a", "b"]
    assert host.readlink("/driver") == "./devices//b"
    assert host.stat("/driver").is_dir
    assert host.stat("/devices/b/size").size == 5
    assert stat.S_ISREG(host.stat("/devices/b/size").mode)


def test_a_relative_path_is_refused_in_words(host):
    with pytest.raises(UsageError, match="'ttyUSB0' is no absolute path"):
        host.read("ttyUSB0")


def test_a_map_is_shared_with_the_file_at_any_offset(tree):
    host, put = tree
    put("resource0", bytes(3 * 65536))
    view = host.map("/resource0", 16, 65536 + 6)
    view[:4] = b"BAR0"
    assert len(view) == 16
    assert host.pread("/resource0", 6, 65536 + 5) == b"\0BAR0\0"


@pytest.mark.parametrize(("size", "offset"), [(0, 0), (4097, 0), (1, 4096), (1, -1)])
def test_a_map_beyond_the_file_is_refused(tree, size, offset):
    host, put = tree
    put("resource0", bytes(4096))
    with pytest.raises(OSError, match="not within the file") as refused:
        host.map("/resource0", size, offset)
    assert refused.value.errno == errno.EINVAL


# Commands


def test_a_command_tells_its_output_and_its_exit_code(host):
    done = host.run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout=10)
    assert (done.stdout, done.stderr, done.returncode, done.timed_out) == (b"out\n", b"err\n", 3, False)


def test_a_command_gets_no_input_and_the_c_locale(host):
    assert host.run(["sh", "-c", "cat; echo $LC_ALL"], timeout=10).stdout == b"C\n"


def test_much_output_neither_blocks_nor_gets_lost(host):
    done = host.run([sys.executable, "-c", "print('x' * 3_000_000)"], timeout=10)
    assert len(done.stdout) == 3_000_001


def test_a_missing_command_is_not_found(host):
    with pytest.raises(FileNotFoundError):
        host.run(["no-such-command-here"], timeout=1)


@pytest.mark.parametrize(("argv", "timeout"), [([], 1), (["true"], 0)])
def test_a_command_without_name_or_time_is_refused(host, argv, timeout):
    with pytest.raises(ValueError, match=r"at least its name|above 0 seconds"):
        host.run(argv, timeout=timeout)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # a zombie waits for whoever adopted it


@linux
def test_at_its_timeout_a_command_dies_with_its_children(host):
    done = host.run(["sh", "-c", "sleep 60 & echo $!; wait"], timeout=0.8)
    grandchild = int(done.stdout)
    assert done.timed_out
    assert wait_until(host.clock, lambda: not alive(grandchild), deadline=5)


@linux
def test_a_grandchild_that_keeps_the_output_open_is_not_waited_for(host):
    done = host.run(["sh", "-c", "sleep 60 & echo $!"], timeout=30)
    grandchild = int(done.stdout)
    assert done.returncode == 0
    assert alive(grandchild)
    host.kill(grandchild, signal.SIGKILL)


def test_an_interrupt_takes_the_command_along(host, tmp_path):
    note = tmp_path / "pid"

    def interrupt() -> None:
        wait_until(host.clock, lambda: note.exists() and note.read_text().endswith("\n"), deadline=10)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        host.run(["sh", "-c", f"echo $$ > {note}; exec sleep 60"], timeout=30)
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


# Processes


@linux
def test_processes_are_listed_with_their_command_lines(host):
    own = next(process for process in host.processes() if process.pid == os.getpid())
    assert "pytest" in own.command


@linux
def test_kernel_threads_are_named_in_brackets_and_vanished_ones_left_out(tree):
    host, put = tree
    put("proc/2/comm", b"kthreadd\n")
    put("proc/2/cmdline", b"")
    put("proc/10/comm", b"pmset\n")
    put("proc/10/cmdline", b"pmset\0-g\0")
    put("proc/11/status", b"")
    put("proc/version", b"")
    assert [(p.pid, p.command) for p in host.processes()] == [(2, "[kthreadd]"), (10, "pmset -g")]


def test_mac_processes_come_from_ps(mac):
    host = mac(ps="echo '    1 /sbin/launchd'; echo '  412 /Applications/TinyGPU.app server /tmp/s '; echo 7")
    assert [(p.pid, p.command) for p in host.processes()] == [
        (1, "/sbin/launchd"),
        (412, "/Applications/TinyGPU.app server /tmp/s"),
    ]


def test_a_process_is_killed_by_its_number(host):
    child = subprocess.Popen(["sleep", "60"])
    host.kill(child.pid, signal.SIGKILL)
    assert child.wait(10) == -signal.SIGKILL


def test_killing_a_group_by_mistake_is_refused(host):
    with pytest.raises(ValueError, match="one process"):
        host.kill(0, signal.SIGTERM)


def test_processes_of_a_stand_in_tree_cannot_be_killed(tree):
    with pytest.raises(NotSupported, match="stands in for another machine"):
        tree[0].kill(os.getpid(), 0)


# Sockets and serial ports


def test_a_unix_socket_is_connected(host):
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{folder}/s")
        server.listen()
        with host.connect(f"{folder}/s") as sock:
            sock.sendall(b"PROBE")
            assert server.accept()[0].recv(5) == b"PROBE"


def test_nobody_listening_names_the_address(host, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nobody.sock"):
        host.connect(f"{tmp_path}/nobody.sock")


def test_service_names_belong_to_the_simulated_machine(host):
    with pytest.raises(NotSupported, match=r"'driver'.*simulated"):
        host.connect("driver")


@pytest.fixture
def wire(host):
    """The far end of a serial line, and the port opened at the near one."""
    far, near = pty.openpty()
    port = host.serial(os.ttyname(near), 115200)
    yield far, port
    os.close(near)
    port.close()


def test_serial_lines_are_cut_at_the_end_mark_and_the_rest_is_kept(wire):
    far, port = wire
    port.write(b"port 1\r\n")
    assert os.read(far, 64) == b"port 1\r\n"
    os.write(far, b"ok\r\nport: 1\r\nhalf")
    assert port.read_until(b"\r\n", 5) == b"ok\r\n"
    assert port.read_until(b"\r\n", 5) == b"port: 1\r\n"
    assert port.read_until(b"\r\n", 0.02) == b"half"
    os.close(far)


def test_an_unplugged_serial_port_is_an_os_error(wire):
    far, port = wire
    os.close(far)
    with pytest.raises(OSError, match="serial port"):
        port.read_until(b"\r\n", 5)


def test_a_serial_port_that_takes_nothing_times_out(wire):
    far, port = wire
    port._port.write_timeout = 0.02  # instead of 5 s
    with pytest.raises(TimeoutError, match="takes nothing"):
        port.write(bytes(1 << 20))
    os.close(far)


def test_a_missing_serial_port_is_not_found(host):
    with pytest.raises(FileNotFoundError, match="ttyNONE"):
        host.serial("/dev/ttyNONE", 9600)


def test_without_pyserial_the_extra_is_named(host, monkeypatch):
    monkeypatch.setitem(sys.modules, "serial", None)
    with pytest.raises(NotSupported, match=r"hil\[serial\]"):
        host.serial("/dev/ttyUSB0", 9600)


def test_closing_the_host_closes_its_serial_ports(host):
    far, near = pty.openpty()
    port = host.serial(os.ttyname(near), 9600)
    host.close()
    with pytest.raises(OSError, match="serial port"):
        port.write(b"x")
    os.close(near)
    os.close(far)


# Kernel log


@linux
def test_a_readable_kernel_log_is_told_on_the_local_clock(host):
    try:
        lines = host.kernel_log()
    except PermissionError as refused:
        pytest.skip(str(refused))
    assert lines
    assert all(-1 < line.time < time.monotonic() + 1 for line in lines)
    assert host.kernel_log(since=host.clock.now() + 3600) == []
