"""The record of a run: what stands in it, and that it can be read whatever ended the run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_runs import suite

from hil.errors import UsageError
from hil.report import record
from hil.report.record import Began, End, Finished, Part, Writer

ALIAS = "rtx-4080-ut4g-dock"
PART = Part(
    hil="1",
    bench="sim",
    nature="simulated",
    simulated=True,
    seed=7,
    boot_id="b",
    command="pytest",
    started="2026-11-23",
)


def finished(test: str, outcome: str = "passed") -> Finished:
    return Finished(test=test, device=None, outcome=outcome, seconds=0.5, at=1.0, markers=("driver",))


def write(path: Path, *, append: bool = False, tests: tuple[str, ...] = ("a", "b"), under_way: str = "") -> Writer:
    writer = Writer(path, append=append, durable=True)
    writer.part(PART)
    for test in tests:
        writer.began(Began(began=test, at=0.0, epochs=3))
        writer.test(finished(test))
    if under_way:
        writer.began(Began(began=under_way, at=2.0, epochs=9))
    return writer


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "deep" / "run.jsonl"
    write(path).end(End(ended="2026-11-24", exit=1, struck={"bit-flip:times=1": 1}))

    found = record.read(path)

    assert (found.head, found.parts) == (PART, (PART,))
    assert found.tests == (finished("a"), finished("b"))
    assert (found.end, found.finished) == (End(ended="2026-11-24", exit=1, struck={"bit-flip:times=1": 1}), True)
    assert (found.cut_off, found.epochs, found.counts()) == ({}, 3, "2 passed")


def test_a_run_without_its_end_tells_what_it_was_doing(tmp_path):
    write(tmp_path / "r", under_way="c").close()

    found = record.read(tmp_path / "r")

    assert (found.end, found.finished, found.epochs) == (None, False, 9)
    assert found.cut_off == {"c": 1}


@pytest.mark.parametrize(("code", "over"), [(0, True), (1, True), (5, True), (2, False), (3, False), (4, False)])
def test_a_run_that_somebody_ended_is_not_finished_and_blames_no_test(tmp_path, code, over):
    write(tmp_path / "r", under_way="c").end(End(ended="now", exit=code))

    found = record.read(tmp_path / "r")

    assert (found.finished, found.cut_off) == (over, {})


def test_a_run_that_went_on_is_one_run(tmp_path):
    write(tmp_path / "r", under_way="c").close()
    write(tmp_path / "r", append=True, tests=("d",), under_way="c").close()

    found = record.read(tmp_path / "r")

    assert [test.test for test in found.tests] == ["a", "b", "d"]
    assert (len(found.parts), found.cut_off) == (2, {"c": 2})


def test_going_on_takes_the_end_back(tmp_path):
    write(tmp_path / "r").end(End(ended="now", exit=2))
    write(tmp_path / "r", append=True, tests=()).close()

    assert record.read(tmp_path / "r").end is None


def test_of_several_results_of_a_test_the_last_counts(tmp_path):
    writer = write(tmp_path / "r")
    writer.test(finished("a", "failed"))
    writer.close()

    found = record.read(tmp_path / "r")

    assert [(test.test, test.outcome) for test in found.tests] == [("b", "passed"), ("a", "failed")]
    assert found.counts() == "1 failed, 1 passed"


def test_what_was_torn_off_is_gone_when_the_run_goes_on(tmp_path):
    write(tmp_path / "r").close()
    with (tmp_path / "r").open("ab") as file:
        file.write(b'{"test": "c", "outc')

    write(tmp_path / "r", append=True, tests=("d",)).close()

    assert [test.test for test in record.read(tmp_path / "r").tests] == ["a", "b", "d"]


def test_what_the_disk_takes_in_parts_is_whole(tmp_path, monkeypatch):
    whole = os.write
    monkeypatch.setattr(os, "write", lambda file, data: whole(file, data[:7]))

    write(tmp_path / "r").end(End(ended="now", exit=0))

    found = record.read(tmp_path / "r")
    assert ([test.test for test in found.tests], found.finished, found.lost) == (["a", "b"], True, ())


def spoiled(path: Path, number: int, **facts) -> None:
    """Put `facts` into one line of a record, or, where there are none, no JSON at all."""
    lines = path.read_text().splitlines()
    lines[number - 1] = json.dumps(json.loads(lines[number - 1]) | facts) if facts else lines[number - 1][:-9]
    path.write_text("".join(f"{line}\n" for line in lines))


def test_a_line_that_cannot_be_read_costs_that_test_and_no_other(tmp_path):
    write(tmp_path / "r", tests=("a", "b", "c")).end(End(ended="now", exit=2))
    spoiled(tmp_path / "r", 5)
    spoiled(tmp_path / "r", 7, seconds=float("nan"))

    found = record.read(tmp_path / "r")

    assert [test.test for test in found.tests] == ["a"]
    assert (found.end.exit, found.cut_off) == (2, {})
    first, second = found.lost
    assert first.startswith("line 5: ")
    assert second == "line 7: `seconds` is NaN; expected a finite number"


def test_a_run_goes_on_with_the_test_whose_line_was_lost(tmp_path):
    write(tmp_path / "r", under_way="c").close()
    spoiled(tmp_path / "r", 3)
    assert [test.test for test in record.read(tmp_path / "r").tests] == ["b"]

    write(tmp_path / "r", append=True, tests=("a", "c")).end(End(ended="now", exit=0))

    found = record.read(tmp_path / "r")
    assert ([test.test for test in found.tests], found.finished, found.cut_off) == (["b", "a", "c"], True, {})


@pytest.mark.parametrize(
    ("number", "facts", "complaint"),
    [
        (2, {"at": "1"}, '`at` is "1"; expected a finite number'),
        (2, {"epochs": 1.5}, "`epochs` is 1.5; expected a whole number"),
        (3, {"test": ["a"]}, '`test` is ["a"]; expected a text'),
        (3, {"device": 7}, "`device` is 7; expected a text or null"),
        (3, {"seconds": True}, "`seconds` is true; expected a finite number"),
        (3, {"seconds": 10**400}, f"`seconds` is {'1' + 58 * '0'}…; expected a finite number"),
        (3, {"evidence": ["abc"]}, '`evidence` is ["abc"]; expected a list of objects'),
        (3, {"markers": "driver"}, '`markers` is "driver"; expected a list of texts'),
        (4, {"exit": "0"}, '`exit` is "0"; expected a whole number'),
        (4, {"struck": {"bit-flip": None}}, '`struck` is {"bit-flip": null}; expected an object of whole numbers'),
    ],
)
def test_a_value_of_another_type_is_named_with_its_line(tmp_path, number, facts, complaint):
    write(tmp_path / "r", tests=("a",)).end(End(ended="now", exit=0))
    spoiled(tmp_path / "r", number, **facts)
    assert record.read(tmp_path / "r").lost == (f"line {number}: {complaint}",)


@pytest.mark.parametrize(
    ("facts", "complaint"),
    [
        ({"bench": {}}, "`bench` is {}; expected a text"),
        ({"simulated": "no"}, '`simulated` is "no"; expected true or false'),
        ({"context": ["a"]}, '`context` is ["a"]; expected an object'),
        ({"devices": ["a"]}, '`devices` is ["a"]; expected an object of objects'),
        ({"devices": {"a": "b"}}, '`devices` is {"a": "b"}; expected an object of objects'),
    ],
)
def test_a_beginning_with_a_value_of_another_type_is_no_record(tmp_path, facts, complaint):
    write(tmp_path / "r").close()
    spoiled(tmp_path / "r", 1, **facts)
    for read in (record.read, record.read_head):
        with pytest.raises(UsageError) as caught:
            read(tmp_path / "r")
        assert str(caught.value).endswith(f"line 1: {complaint}")


@pytest.mark.parametrize("outcome", [None, 7, ["passed"]])
def test_a_test_that_ended_nobody_knows_how_is_kept_as_unknown(tmp_path, outcome):
    write(tmp_path / "r", tests=("a",)).close()
    spoiled(tmp_path / "r", 3, outcome=outcome)
    found = record.read(tmp_path / "r")
    assert ([test.outcome for test in found.tests], found.lost) == (["unknown"], ())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_cut_at_any_byte_it_holds_the_tests_whose_line_is_whole(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("record") / "r"
    write(path, under_way="c").end(End(ended="now", exit=0))
    whole = path.read_bytes()
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    path.write_bytes(cut)

    if not record.begun(path):
        assert b"\n" not in cut
        with pytest.raises(UsageError, match="it has not one whole line"):
            record.read(path)
        return
    lines = [json.loads(line) for line in cut.split(b"\n")[:-1]]
    assert [test.test for test in record.read(path).tests] == [line["test"] for line in lines if "test" in line]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("hello\n", "line 1: Expecting value"),
        ("[1]\n", "line 1: "),
        ('{"test": "a"}\n', "its first line does not say so"),
        ('{"record": 2}\n', "record of version 2, and this hil reads version 1"),
        ('{"record": 1}\n', "line 1: .*missing"),
        ("no line", "it has not one whole line"),
    ],
)
def test_what_is_no_record_is_one_clear_message(tmp_path, text, complaint):
    (tmp_path / "notes").write_text(text)

    assert record.begun(tmp_path / "notes")
    with pytest.raises(UsageError, match=rf"notes is .*{complaint}"):
        record.read(tmp_path / "notes")


def test_what_cannot_be_read_says_why(tmp_path):
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        record.read(tmp_path / "none")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        record.begun(tmp_path)
    assert not record.begun(tmp_path / "none")


# --- of a whole run ---

SUITE = """
    import pytest
    from hil.errors import BenchFault, DataCorrupt

    def test_passes(transfer):
        transfer.round_trip(4096)

    @pytest.mark.quick
    def test_fails(device):
        raise DataCorrupt("wrong bytes:\\nthree of them\\n\\nand a table", device=device.alias)

    def test_breaks(device):
        raise BenchFault("no cable", operation="plug")

    def test_is_no_error_of_ours():
        assert 1 == 2

    def test_says_so():
        pytest.fail("by itself")

    def test_skips():
        pytest.skip("not today")

    @pytest.mark.xfail(reason="bug 7")
    def test_known():
        assert False

    @pytest.mark.xfail(reason="bug 8", strict=True)
    def test_mended():
        pass

    @pytest.fixture
    def leaks():
        yield
        raise ValueError

    @pytest.fixture
    def leaks_too(leaks):
        yield
        raise KeyError("x")

    def test_leaks(leaks_too):
        pass
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    with suite(tmp_path_factory.mktemp("recorded")) as lab:
        lab.write(test_it=SUITE)
        over = lab.run(
            "--hil-bench=sim", "--hil-fault=bit-flip:nth=99999", "--hil-record=out/run.jsonl", "--hil-seed=5"
        )
        yield over, record.read(over.folder / "out" / "run.jsonl")


@pytest.mark.slow
def test_the_record_says_what_ran(ran):
    over, found = ran

    head = found.head
    assert (head.bench, head.nature, head.simulated, head.seed) == ("sim:macbook-pro-usb4", "simulated", True, 5)
    assert head.boot_id
    assert "--hil-seed=5" in head.command
    assert head.faults == ("bit-flip:nth=99999",)
    assert found.end.exit == over.code == 1
    assert found.end.struck == {"bit-flip:nth=99999": 0}


@pytest.mark.slow
def test_every_test_has_its_line(ran):
    told = {t.test.partition("::")[2].partition("[")[0]: t for t in ran[1].tests}

    assert {name: (t.outcome, t.error, t.hop, t.message) for name, t in told.items()} == {
        "test_passes": ("passed", "", "", ""),
        "test_fails": ("failed", "DataCorrupt", "copy path", "wrong bytes:\nthree of them"),
        "test_breaks": ("broken", "BenchFault", "bench", "no cable"),
        "test_is_no_error_of_ours": ("failed", "AssertionError", "", "assert 1 == 2"),
        "test_says_so": ("failed", "Failed", "", "by itself"),
        "test_skips": ("skipped", "", "", "not today"),
        "test_known": ("skipped", "", "", "expected to fail: bug 7"),
        "test_mended": ("failed", "", "", "[XPASS(strict)] bug 8"),
        "test_leaks": ("broken", "ValueError", "", "ValueError"),
    }
    assert told["test_fails"].device == ALIAS
    assert told["test_fails"].markers[1:] == ("quick",)
    assert told["test_breaks"].operation == "plug"
    assert told["test_skips"].device is None
    assert 0 < told["test_passes"].seconds < 0.2  # on the machine's clock; a Mac is asked for its ports on both sides
    assert [t.at for t in ran[1].tests] == sorted(t.at for t in ran[1].tests)


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--hil-record", "--hil-resume"])
def test_a_record_that_cannot_be_written_is_one_clear_message(tmp_path, option):
    (tmp_path / "taken").write_text("")

    with suite(tmp_path) as lab:
        lab.write(test_it=SUITE)
        done = lab.run("--hil-bench", "sim", option, str(tmp_path / "taken" / "run.jsonl"))

    assert done.code == 4
    assert option in done.err + done.out
    assert "Traceback" not in done.err + done.out
