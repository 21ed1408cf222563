"""The local kernel log: records of ``/dev/kmsg``, its clock, and macOS's ``log show``."""

from __future__ import annotations

import json
import os
import sys

import pytest

from hil.errors import BenchFault
from hil.hosts.base import Completed, LogLine
from hil.hosts.local import LocalHost
from hil.hosts.local_log import kmsg_lead, mac_log, parse_kmsg, read_kmsg

XID = b"NVRM: Xid (PCI:0000:04:00): 79, GPU has fallen off the bus."


def test_a_record_gives_its_text_and_seconds():
    record = b"3,1207,98765432,-;" + XID + b"\n SUBSYSTEM=pci\n DEVICE=+pci:0000:04:00.0\n"
    assert parse_kmsg(record) == [LogLine(time=98.765432, text=XID.decode())]


def test_the_lead_moves_a_record_onto_the_local_clock():
    assert parse_kmsg(b"6,1,1000000,-;up\n", 0.5)[0].time == 1.5


def test_written_bytes_are_put_back_and_newlines_end_lines():
    lines = parse_kmsg(rb"6,1,0,-;Ger\xc3\xa4t \x5c ab\x0asecond" + b"\n")
    assert [line.text for line in lines] == ["Gerät \\ ab", "second"]


@pytest.mark.parametrize("record", [b"", b"no header", b"6,1,-;short", b"6,1,soon,-;x"])
def test_what_is_no_record_is_left_out(record):
    assert parse_kmsg(record) == []


def test_a_captured_file_is_read_from_a_time_on(tmp_path):
    log = tmp_path / "kmsg"
    log.write_bytes(b"6,1,1000000,-;first\n DEVICE=a\n6,2,2000000,-;second\n6,3,3000000,-;third\n")
    assert [line.text for line in read_kmsg(log, 0.0, 2.0)] == ["second", "third"]


def test_a_log_without_end_is_read_up_to_now(tmp_path):
    pipe = tmp_path / "kmsg"
    os.mkfifo(pipe)
    keep = os.open(pipe, os.O_RDWR)
    os.write(keep, b"6,1,1000000,-;first\n")
    assert [line.text for line in read_kmsg(pipe, 0.0, 0.0)] == ["first"]
    os.close(keep)


def test_overwritten_records_are_passed_over(tmp_path, monkeypatch):
    answers = [BrokenPipeError(), b"6,9,1000000,-;after the gap\n", BlockingIOError()]

    def read(descriptor, size):
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    (tmp_path / "kmsg").touch()
    monkeypatch.setattr(os, "read", read)
    assert [line.text for line in read_kmsg(tmp_path / "kmsg", 0.0, 0.0)] == ["after the gap"]


def test_a_log_that_is_not_there_says_what_to_do(tmp_path):
    with pytest.raises(PermissionError, match="pass /dev/kmsg in"):
        read_kmsg(tmp_path / "kmsg", 0.0, 0.0)


@pytest.fixture
def tracing(tmp_path):
    def put(clock: str, stats: str):
        (tmp_path / "per_cpu/cpu0").mkdir(parents=True)
        (tmp_path / "trace_clock").write_text(clock)
        (tmp_path / "per_cpu/cpu0/stats").write_text(stats)
        return tmp_path

    return put


def test_the_clocks_part_and_tracefs_tells_by_how_much(tracing):
    folder = tracing("[local] global mono\n", "entries: 0\nnow ts:  1000.250000\ndropped events: 0\n")
    assert kmsg_lead(folder, 1007.53) == pytest.approx(7.305)


@pytest.mark.parametrize("clock", ["local [mono] boot\n", "[local] mono\n"])
def test_without_a_usable_scheduler_clock_the_two_are_taken_as_one(tracing, tmp_path, clock):
    assert kmsg_lead(tmp_path / "none", 50.0) == 0.005
    stats = "now ts: 3.000000\n" if "[mono]" in clock else "entries: 0\n"
    assert kmsg_lead(tracing(clock, stats), 50.0) == 0.005


# macOS


def ndjson(*lines: tuple[str, str]) -> bytes:
    facts = [{"timestamp": stamp, "eventMessage": text, "machTimestamp": 1} for stamp, text in lines]
    return "\n".join(json.dumps(item) for item in [*facts, {"count": len(facts), "finished": 1}]).encode()


class Answer:
    """Answers as a command would, and keeps what it was asked."""

    def __init__(self, stdout=b"", stderr=b"", returncode: int | None = 0) -> None:
        self.asked: list[str] = []
        self.done = Completed(argv=("log",), returncode=returncode, stdout=stdout, stderr=stderr)

    def __call__(self, argv, timeout):
        self.asked = argv
        return self.done


WALL = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC


def test_mac_lines_are_moved_from_the_wall_clock_to_the_local_one():
    answer = Answer(ndjson(("2023-11-14 23:13:08.000000+0100", "old"), ("2023-11-14 22:13:15.500000+0000", "dart")))
    lines = mac_log(answer, since=90.0, monotonic=100.0, wall=WALL)
    assert lines == [LogLine(time=95.5, text="dart")]
    assert answer.asked[answer.asked.index("--last") + 1] == "11s"


def test_mac_lines_from_before_a_sleep_are_kept():
    answer = Answer(ndjson(("2023-11-14 22:12:45.000000+0000", "going to sleep")))
    lines = mac_log(answer, since=90.0, monotonic=100.0, wall=WALL, slept=30.0)
    assert lines == [LogLine(time=90.0, text="going to sleep")]


def test_a_mac_is_asked_for_an_hour_at_most():
    answer = Answer()
    assert mac_log(answer, since=0.0, monotonic=1e6, wall=WALL) == []
    assert "3600s" in answer.asked


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (Answer(returncode=None), BenchFault, "did not end in 60 s"),
        (Answer(returncode=64, stderr=b"log: bad predicate"), BenchFault, "bad predicate"),
        (Answer(returncode=1), BenchFault, "exit code 1"),
        (Answer(returncode=77, stderr=b"Operation not permitted"), PermissionError, "administrator"),
    ],
)
def test_a_mac_log_that_cannot_be_read_says_why(answer, error, said):
    with pytest.raises(error, match=said):
        mac_log(answer, since=0.0, monotonic=10.0, wall=WALL)


def test_the_host_of_a_mac_runs_its_log_command(tmp_path, monkeypatch):
    tool = tmp_path / "log"
    tool.write_text(
        '#!/bin/sh\necho "$@" >&2\ndate -u "+{\\"timestamp\\": \\"%Y-%m-%d %H:%M:%S.000000+0000\\",'
        ' \\"eventMessage\\": \\"AppleT8110DART\\"}"\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(sys, "platform", "darwin")
    host = LocalHost()
    lines = host.kernel_log(since=host.clock.now() - 60)
    assert [line.text for line in lines] == ["AppleT8110DART"]
    assert abs(lines[0].time - host.clock.now()) < 10
