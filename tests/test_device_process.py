"""Device processes: whatever an operation does, the controller hears a typed outcome and goes on."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import execnet
import pytest

import hil
from hil.bench import ending, messages
from hil.bench.process import DeviceProcess
from hil.bench.worker import serve
from hil.errors import BenchFault, DataCorrupt, DeviceCrashed, DeviceHung, DriverError, UsageError
from hil.hosts.opening import open_host

HERE = Path(__file__).parent
PLAIN = {"kind": "module", "class": "worker_operations:PlainHost"}
SOON = 30.0
"""Seconds: the deadline of what is expected to end by itself."""


@pytest.fixture(autouse=True)
def _operations_importable(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))


@pytest.fixture
def started(tmp_path):
    """Starts processes, and ends them whatever the test did."""
    processes = []

    def start(name="gpu", spec=PLAIN, **options):
        options = {"folder": tmp_path, "backstop": 20.0, "device": "rtx-box", **options}
        processes.append(DeviceProcess.start(name, spec, **options))
        return processes[-1]

    yield start
    for process in processes:
        process.close()


def notice(*, now, deadline, blocked_in="synchronize"):
    return {"operation": "any", "deadline": deadline, "now": now, "blocked_in": blocked_in}


def gone(pid):
    """Whether process `pid` ended; an orphan may stay a zombie until whoever adopted it looks."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat")
        return state.exists() and state.read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] == "Z"
    except (ProcessLookupError, FileNotFoundError):
        return True


def eventually(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


# --- what works ---


def test_an_operation_returns_its_value_and_its_duration_on_the_hosts_clock(started):
    call = started().submit("worker_operations:add", deadline=SOON, left=[1], right=[2])

    assert call.result() == [1, 2]
    assert call.over
    assert call.began <= call.started <= call.ended
    assert call.duration == call.ended - call.started


def test_state_lives_from_one_operation_to_the_next_in_one_process(started):
    process = started()
    process.call("worker_operations:remember", deadline=SOON, value=17)

    assert process.call("worker_operations:recall", deadline=SOON) == (17, "rtx-box")


def test_progress_is_kept_in_order_and_undecodable_text_is_escaped(started):
    call = started().submit("worker_operations:report_progress", deadline=SOON, steps=2)

    assert call.result() == 2
    assert call.progress == ["step 0 \\udcff", "step 1 \\udcff"]


def test_floods_on_both_outputs_disturb_nothing_and_are_kept(started, capfd):
    process = started()

    assert process.call("worker_operations:flood", deadline=SOON, megabytes=12) == 12

    assert process.stderr_path.stat().st_size > 24 << 20
    text = process.stderr_text(limit=100)
    assert "from a command" in text
    assert "bytes left out" in text
    assert capfd.readouterr().out == ""


def test_sixteen_mebibytes_come_back_whole(started):
    value = started().call("worker_operations:big", deadline=SOON, size=16 << 20)

    assert value == bytes(16 << 20)


def test_two_processes_work_side_by_side(started):
    first, second = started("one"), started("two")
    hanging = first.submit("worker_operations:sleep_beside_gil", deadline=SOON)
    assert hanging.begun()

    assert second.call("worker_operations:add", deadline=SOON, left=1, right=1) == 2
    assert not hanging.over
    assert first.stderr_path != second.stderr_path


def test_processes_of_one_name_keep_their_outputs_apart(started):
    assert started("gpu 0/a").stderr_path.name == "gpu-0-a.1.stderr"
    assert started("gpu 0/a").stderr_path.name == "gpu-0-a.2.stderr"


def test_close_is_orderly_and_may_be_repeated(started, tmp_path):
    told = tmp_path / "closed"
    process = started(spec={**PLAIN, "kwargs": {"closed_file": str(told)}})

    process.close()
    process.close()

    assert told.read_text(encoding="utf-8") == "closed"
    assert (process.alive, process.ending, process.left_behind) == (False, "closed", False)


# --- what operations do wrong ---


def test_an_error_of_ours_comes_back_as_the_same_type_with_the_remote_traceback(started):
    with pytest.raises(DataCorrupt, match="64 KiB at 0x10000") as caught:
        started().call("worker_operations:corrupt", deadline=SOON)

    assert (caught.value.code, caught.value.device) == (3, "rtx-box")
    assert caught.value.operation == "worker_operations:corrupt"
    assert "worker_operations.py" in caught.value.evidence[messages.TRACEBACK]
    assert not hasattr(caught.value, "__notes__")  # the message says enough


def test_a_foreign_error_is_the_benchs_and_names_its_type_with_the_remote_traceback_as_a_note(started):
    with pytest.raises(BenchFault, match="ZeroDivisionError: by a driver library") as caught:
        started().call("worker_operations:foreign", deadline=SOON)

    assert "worker_operations.py" in caught.value.__notes__[0]


def test_a_foreign_error_that_cannot_even_be_told_costs_no_answer(started):
    with pytest.raises(BenchFault, match=r"UnspeakableError: .telling it raised RuntimeError: no words."):
        started().call("worker_operations:unspeakable", deadline=SOON)


def test_a_type_that_the_controller_does_not_know_comes_back_as_its_nearest_known_one(started):
    with pytest.raises(DriverError, match="OwnError: failed in a way of its own") as caught:
        started().call("worker_operations:own_type", deadline=SOON)

    assert caught.value.code == signal.SIGTERM


@pytest.mark.parametrize("operation", ["give_object", "give_very_negative"])
def test_a_value_that_cannot_cross_is_a_clear_error_and_the_process_lives_on(started, operation):
    process = started()

    with pytest.raises(BenchFault, match=f"{operation} returned what cannot cross"):
        process.call(f"worker_operations:{operation}", deadline=SOON)

    assert process.call("worker_operations:add", deadline=SOON, left=1, right=1) == 2


def test_arguments_that_cannot_cross_are_refused_before_anything_is_sent(started):
    with pytest.raises(UsageError, match="arguments cannot cross"):
        started().submit("worker_operations:add", deadline=SOON, left=object(), right=1)


@pytest.mark.parametrize("deadline", [0, -1.0, float("inf"), float("nan")])
def test_a_deadline_must_be_a_positive_number(started, deadline):
    with pytest.raises(UsageError, match="positive number"):
        started().submit("worker_operations:add", deadline=deadline)


# --- hangs ---


@pytest.mark.parametrize("operation", ["sleep_on_gil", "sleep_beside_gil"])
def test_a_hang_is_killed_at_the_backstop_and_says_where(started, operation):
    process = started(backstop=0.4, simulated=True)

    with pytest.raises(
        DeviceHung, match=rf"{operation} on rtx-box did not come back within 0.\d s of .*30 s"
    ) as caught:
        process.call(f"worker_operations:{operation}", deadline=SOON)

    assert caught.value.device == "rtx-box"
    stack = caught.value.__notes__[-1]
    assert stack.splitlines()[-1].startswith(f"  {operation} ({HERE / 'worker_operations.py'}:")  # none of our loop's
    assert "hil-watch" not in stack
    assert "worker_operations.py" in caught.value.evidence[messages.STACKS]
    assert not process.alive
    assert gone(process.pid)


def test_on_a_real_host_the_limit_is_deadline_plus_backstop(started):
    process = started(backstop=0.2)

    with pytest.raises(DeviceHung, match=r"its deadline was 0.2 s") as caught:
        process.call("worker_operations:sleep_beside_gil", deadline=0.2)

    assert "Its last words: about to sleep" in caught.value.__notes__


def test_an_expiry_notice_kills_at_once_and_names_what_it_waited_for(started):
    process = started(simulated=True)
    call = process.submit("worker_operations:sleep_on_gil", deadline=SOON)
    assert call.begun()

    process.expire(notice(now=call.began + SOON, deadline=SOON))

    with pytest.raises(DeviceHung, match=r"by its deadline of 30 s; it hangs in synchronize. Its process .* killed"):
        call.result()
    assert gone(process.pid)


def test_a_notice_that_overtakes_the_announcement_still_counts(started):
    process = started(simulated=True)
    process.expire(notice(now=time.monotonic() + 60 + SOON, deadline=SOON))

    with pytest.raises(DeviceHung, match="hangs in synchronize"):
        process.call("worker_operations:sleep_beside_gil", deadline=SOON)


def test_a_notice_for_an_operation_that_is_over_is_ignored(started):
    process = started(simulated=True)
    first = process.submit("worker_operations:add", deadline=SOON, left=1, right=1)
    first.result()
    process.expire(notice(now=first.began + 0.1 - 60, deadline=0.1))

    assert process.call("worker_operations:add", deadline=SOON, left=1, right=1) == 2


def test_an_operation_that_comes_back_after_its_deadline_failed_but_its_process_lives(started):
    process = started()

    with pytest.raises(DeviceHung, match=r"came back after 1e.03 s; its deadline was 30 s"):
        process.call("worker_operations:late", deadline=SOON)

    assert process.alive


def test_a_process_that_does_not_begin_in_time_is_killed(started):
    process = started(backstop=0.3)
    os.kill(process.pid, signal.SIGSTOP)

    with pytest.raises(DeviceHung, match=r"did not begin within .* a place it did not tell"):
        process.call("worker_operations:add", deadline=SOON, left=bytes(1 << 20), right=b"")

    assert gone(process.pid)


def test_operations_behind_one_that_hangs_never_begin(started):
    process = started(backstop=0.3, simulated=True)
    first = process.submit("worker_operations:sleep_beside_gil", deadline=SOON)
    second = process.submit("worker_operations:add", deadline=SOON, left=1, right=1)

    with pytest.raises(DeviceHung):
        first.result()
    with pytest.raises(BenchFault, match=r"add on rtx-box never began: .*sleep_beside_gil hung"):
        second.begun()
    with pytest.raises(BenchFault, match="no duration"):
        _ = second.duration


def test_a_process_that_not_even_sigkill_ends_is_left_behind(started, monkeypatch):
    process = started(backstop=0.2, simulated=True)
    # What an uninterruptible driver call looks like from outside; no test can make a real one.
    monkeypatch.setattr(ending, "reap", lambda popen, *, limit: False)

    with pytest.raises(DeviceHung, match=f"process {process.pid} could not be killed and is left behind"):
        process.call("worker_operations:sleep_beside_gil", deadline=SOON)

    assert process.left_behind
    assert process.ending == "left behind: not even SIGKILL ends it"


# --- crashes ---


@pytest.mark.parametrize(
    ("operation", "kwargs", "words"),
    [
        ("commit_suicide", {"number": int(signal.SIGKILL)}, "killed by SIGKILL"),
        ("segfault", {}, "killed by SIGSEGV"),
        ("exit_at_once", {"status": 3}, "exited with status 3"),
        ("die_with_pipe_held", {}, "exited with status 3"),
    ],
)
def test_a_crash_names_signal_or_status_and_operation(started, operation, kwargs, words):
    process = started()

    with pytest.raises(DeviceCrashed, match=rf"{operation} on rtx-box took its process down .* began: {words}"):
        process.call(f"worker_operations:{operation}", deadline=SOON, **kwargs)

    assert not process.alive


def test_a_crash_brings_the_last_output_along(started):
    with pytest.raises(DeviceCrashed) as caught:
        started().call("worker_operations:segfault", deadline=SOON)

    assert caught.value.evidence[messages.STDERR] == "last words\n"
    assert "Segmentation fault" in caught.value.evidence[messages.STACKS]
    assert re.search(r"killed by SIGSEGV, in segfault \(.*worker_operations.py:\d+\)\.$", str(caught.value))


def test_a_dead_process_takes_no_more_operations(started):
    process = started()
    os.kill(process.pid, signal.SIGKILL)
    assert eventually(lambda: not process.alive)

    with pytest.raises(BenchFault, match=r"never began: .* is dead \(killed by SIGKILL\); start a fresh one"):
        process.submit("worker_operations:add", deadline=SOON)


def test_killing_it_on_purpose_cuts_off_what_is_under_way(started):
    process = started()
    call = process.submit("worker_operations:sleep_beside_gil", deadline=SOON)
    assert call.begun()

    process.kill()

    with pytest.raises(BenchFault, match=r"was cut off: .*killed by SIGKILL"):
        call.result()
    assert call.begun(timeout=0)


def test_ctrl_c_in_the_terminal_is_the_controllers_business(started):
    process = started()
    pid, group = process.call("worker_operations:own_pid", deadline=SOON)
    os.kill(process.pid, signal.SIGINT)

    assert process.call("worker_operations:add", deadline=SOON, left=1, right=1) == 2
    assert (pid, group) == (process.pid, process.pid)


def test_an_operation_that_exits_politely_does_not_end_the_process(started):
    process = started()

    with pytest.raises(BenchFault, match="SystemExit: 4"):
        process.call("worker_operations:exit_politely", deadline=SOON)

    assert process.alive


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_in_the_watching_itself_leaves_nobody_waiting(started):
    process = started()
    call = process.submit("worker_operations:sleep_beside_gil", deadline=SOON)
    process._watch._inbox.put({"result": 99, "value": None})

    with pytest.raises(BenchFault, match="its watching thread failed"):
        call.result()


class NoJob:
    def to_message(self):
        return {"what": "is no job"}


CONTROLLER = """
import sys, pathlib
sys.path.insert(0, {here!r})
from hil.bench.process import DeviceProcess
process = DeviceProcess.start("gpu", {spec!r}, folder=pathlib.Path({folder!r}))
call = process.submit("worker_operations:{operation}", deadline=500.0)
call.begun()
print(process.pid, flush=True)
{then}
"""


def controller(tmp_path, operation, then):
    script = CONTROLLER.format(here=str(HERE), spec=PLAIN, folder=str(tmp_path), operation=operation, then=then)
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)


@pytest.mark.parametrize(
    "operation",
    [
        "sleep_beside_gil",
        pytest.param(
            "sleep_on_gil",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="needs the Linux kernel's help"),
        ),
    ],
)
def test_a_device_process_does_not_outlive_its_controller(tmp_path, operation):
    with controller(tmp_path, operation, "call.result()") as parent:
        pid = int(parent.stdout.readline())
        parent.kill()

    assert eventually(lambda: gone(pid))


def test_a_controller_that_forgets_to_close_still_ends(tmp_path):
    with controller(tmp_path, "sleep_on_gil", "") as parent:
        pid = int(parent.stdout.readline())

        assert parent.wait(20) == 0

    assert gone(pid)


# --- the start ---


def test_another_version_of_hil_is_refused(started, monkeypatch):
    monkeypatch.setattr(hil, "__version__", "0.0.1")

    with pytest.raises(BenchFault, match=r"the controller runs hil 0\.0\.1, the device process hil "):
        started()


def test_a_host_that_does_not_open_is_told_as_the_error_it_raised(started):
    with pytest.raises(DriverError, match="the host does not open") as caught:
        started(spec={"kind": "module", "class": "worker_operations:BrokenHost"})

    assert (caught.value.code, caught.value.device) == (7, "rtx-box")


def test_a_process_that_dies_at_its_start_is_named_with_its_end(started):
    with pytest.raises(BenchFault, match=r"device process gpu did not start: EOFError.*exited with status 9"):
        started(spec={"kind": "module", "class": "os:_exit", "kwargs": {"status": 9}})


def test_a_host_spec_that_cannot_cross_starts_nothing(started):
    with pytest.raises(BenchFault, match="did not start: DumpError"):
        started(spec={"kind": object()})


def test_a_loop_that_fails_itself_is_told_with_its_error(started):
    process = started()
    process._watch._sender.put(NoJob())
    call = process.submit("worker_operations:add", deadline=SOON, left=1, right=1)

    with pytest.raises(BenchFault, match=r"(?s)ended by an error of its own loop: .*TypeError"):
        call.result()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"kind": "no-such"}, "hil.hosts: no 'no-such' is registered"),
        ({"kind": "module", "class": "nowhere"}, "expected 'package.module:Class'"),
        ({"kind": "module", "class": "no.such.module:Class"}, "cannot be found: No module named"),
        ({**PLAIN, "kwargs": {"wrong": 1}}, r"does not open with \['wrong'\]"),
    ],
)
def test_a_host_that_cannot_be_found_is_a_usage_error(spec, words):
    with pytest.raises(UsageError, match=words):
        open_host(spec)


# --- the loop on an in-process channel: killed processes give no coverage ---


class Pair:
    """One end of a channel between two threads; what crosses is what execnet would let cross."""

    def __init__(self, outgoing, incoming):
        self._outgoing, self._incoming = outgoing, incoming

    def send(self, item):
        self._outgoing.put(execnet.loads(execnet.dumps(item)))

    def receive(self):
        item = self._incoming.get(timeout=10)
        if item is None:
            raise EOFError
        return item

    def close(self):
        self._outgoing.put(None)


@contextmanager
def loop(**setup):
    there, back = queue.Queue(), queue.Queue()
    controller_end, worker_end = Pair(there, back), Pair(back, there)
    thread = threading.Thread(target=serve, args=(worker_end,))
    thread.start()
    controller_end.send({"version": hil.__version__, "host": PLAIN, "device": None, "stderr": None, **setup})
    yield controller_end
    controller_end.close()
    thread.join(10)
    assert not thread.is_alive()


def job(operation, number=1, **kwargs):
    return {"call": number, "operation": operation, "kwargs": kwargs, "deadline": SOON, "limit": SOON}


def test_the_loop_answers_the_handshake_announces_and_returns():
    with loop() as channel:
        ready = channel.receive()
        channel.send(job("worker_operations:add", left=2, right=3))
        begin, result = channel.receive(), channel.receive()

    assert (ready["ready"], ready["version"], ready["pid"]) == (True, hil.__version__, os.getpid())
    assert (begin["begin"], begin["operation"], begin["deadline"]) == (1, "worker_operations:add", SOON)
    assert (result["result"], result["value"]) == (1, 5)
    assert begin["now"] <= result["started"] <= result["ended"]


def test_the_loop_refuses_another_version():
    with loop(version="0.0.1") as channel:
        answer = channel.receive()

    assert (answer["ready"], answer["type"]) == (False, "BenchFault")


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        ("nowhere", "expected 'package.module:function'"),
        ("no.such.module:function", "cannot be found in the device process"),
        ("worker_operations:nothing", "cannot be found in the device process"),
        ("worker_operations:NOT_CALLABLE", "is no function but int"),
    ],
)
def test_the_loop_says_what_is_wrong_with_an_operations_name(operation, words):
    with loop() as channel:
        channel.receive()
        channel.send(job(operation))
        answer = channel.receive()

    assert (answer["error"], answer["type"]) == (1, "UsageError")
    assert words in answer["message"]


def test_the_loop_reports_values_that_cannot_cross_progress_and_lateness():
    answers = []
    with loop(device="rtx-box") as channel:
        channel.receive()
        for number, name in enumerate(["give_object", "late"], 1):
            channel.send(job(f"worker_operations:{name}", number))
            channel.receive()
            answers.append(channel.receive())
        channel.send(job("worker_operations:report_progress", 3, steps=1))
        channel.receive()
        answers += [channel.receive(), channel.receive()]

    assert [answer.get("type") for answer in answers] == ["BenchFault", "DeviceHung", None, None]
    assert answers[0]["device"] == "rtx-box"
    assert answers[2] == {"progress": 3, "text": "step 0 \\udcff"}


def test_the_loop_does_not_begin_what_still_waits_when_the_controller_goes():
    with loop() as channel:
        channel.receive()
        channel.send(job("worker_operations:add", 1, left=1, right=1))
        channel.receive()
        channel.receive()
        channel.close()
        channel.send(job("worker_operations:add", 2, left=1, right=1))

    with pytest.raises(queue.Empty):
        channel._incoming.get_nowait()


# --- ends in words ---


@pytest.mark.parametrize(
    ("returncode", "words"),
    [
        (0, "exited with status 0"),
        (-11, "killed by SIGSEGV"),
        (-63, "killed by signal 63"),
        (None, "left behind"),
    ],
)
def test_an_exit_is_told_in_words(returncode, words):
    assert ending.in_words(returncode).startswith(words)


def test_a_stack_is_complete_only_when_another_threads_follows():
    frames = '  File "a.py", line 3 in inner\n  File "b.py", line 4 in outer\n'
    first = f"Thread 0x00000a (most recent call first):\n{frames}"
    second = '\nCurrent thread 0x00000b (most recent call first):\n  File "c.py", line ??? in main\n'

    assert ending.read_stack(first, 10) == (["inner (a.py:3)", "outer (b.py:4)"], False)
    assert ending.read_stack(first + second, 10) == (["inner (a.py:3)", "outer (b.py:4)"], True)
    assert ending.read_stack(first + second, 11) == (["main (c.py:???)"], False)
    assert ending.read_stack("noise", 10) == ([], False)


def test_a_process_that_is_gone_tells_no_stack_and_a_missing_file_no_output(tmp_path):
    output = tmp_path / "out"
    output.touch()
    with subprocess.Popen([sys.executable, "-c", ""]) as over:
        over.wait()

    assert ending.stack(over.pid, 1, output) == []
    assert ending.tail(tmp_path / "missing", 10) == ""
