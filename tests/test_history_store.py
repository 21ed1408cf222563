"""The history file: what is written is there, whoever else writes, whatever kills the writer, whatever the file was."""

from __future__ import annotations

import pickle
import sqlite3
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import kills
from hil.errors import UsageError
from hil.history import Key, Point, open_history
from hil.history.exchange import merge, read_lines, write_lines

KEY = Key(
    bench="lab-3", device="GPU-1", metric="bandwidth", direction="H2D", nbytes=64 << 20, engine="tinygrad",
    declared="usb4", negotiated="2 × 20 Gb/s", simulated=False, unit="B/s", higher_is_better=True,
)  # fmt: skip
DAY = 86400.0


def point(day: int, value: float = 3e9, **facts) -> Point:
    return Point(time=1.7e9 + day * DAY, value=value, run=f"run-{day}", **facts)


def test_what_was_added_comes_back_as_it_was(tmp_path):
    told = point(1, spread=2e6, samples=(3e9, 3.1e9), context={"os": "26.1", "driver": "1.2"})
    with open_history(tmp_path / "h.db") as history:
        assert history.add([(KEY, told)]) == 1
    with open_history(tmp_path / "h.db") as history:
        assert history.series() == [KEY]
        assert history.points(KEY) == [told]


def test_the_same_point_twice_is_one(tmp_path):
    with open_history(tmp_path / "h.db") as history:
        history.add([(KEY, point(1))])
        assert history.add([(KEY, point(1, value=1.0))]) == 0
        assert [p.value for p in history.points(KEY)] == [3e9]


def test_series_differ_by_every_part_of_their_key(tmp_path):
    others = [replace(KEY, negotiated="1 × 20 Gb/s"), replace(KEY, simulated=True), replace(KEY, direction="D2H")]
    with open_history(tmp_path / "h.db") as history:
        history.add((key, point(1)) for key in [KEY, *others])
        assert len(history.series()) == 4
        assert history.series(simulated=True) == [others[1]]


def test_points_come_oldest_first_whenever_they_were_added(tmp_path):
    with open_history(tmp_path / "h.db") as history:
        history.add((KEY, point(day)) for day in (3, 1, 2))
        assert [p.run for p in history.points(KEY)] == ["run-1", "run-2", "run-3"]
        assert [p.run for p in history.points(KEY, last=2)] == ["run-2", "run-3"]
        assert [p.run for p in history.points(KEY, since=1.7e9 + 2.5 * DAY)] == ["run-3"]


def test_a_point_goes_from_process_to_process():
    told = point(1, samples=(3e9,), context={"os": "26.1"})
    assert pickle.loads(pickle.dumps(told)) == told  # noqa: S301  (our own)
    assert pickle.loads(pickle.dumps(point(1))).context == {}  # noqa: S301


def test_points_may_be_read_without_their_samples(tmp_path):
    told = point(1, spread=2e6, samples=(3e9, 3.1e9), context={"os": "26.1"})
    with open_history(tmp_path / "h.db") as history:
        history.add([(KEY, told)])
        assert history.points(KEY, samples=False) == [told._replace(samples=())]


def test_more_runs_than_a_query_takes_keep_their_contexts(tmp_path):
    count = 1203
    with open_history(tmp_path / "h.db") as history:
        history.add((KEY, point(day, context={"day": f"{day}"})) for day in range(count))
    with open_history(tmp_path / "h.db") as history:
        found = history.points(KEY)
    assert [one.context["day"] for one in found] == [f"{day}" for day in range(count)]


def test_the_newest_time_is_known(tmp_path):
    with open_history(tmp_path / "h.db") as history:
        assert history.latest() == 0.0
        history.add((KEY, point(day)) for day in (3, 1))
        assert history.latest() == 1.7e9 + 3 * DAY


def test_a_failed_test_leaves_none_of_its_points(tmp_path):
    def some():
        yield KEY, point(1)
        raise KeyboardInterrupt

    with open_history(tmp_path / "h.db") as history:
        with pytest.raises(KeyboardInterrupt):
            history.add(some())
        assert history.points(KEY) == []
        assert history.series() == []
        history.add([(KEY, point(2)), (replace(KEY, nbytes=1), point(1))])
        assert [(len(history.points(key)), key.nbytes) for key in history.series()] == [(1, 1), (1, KEY.nbytes)]


def test_acceptances_are_kept(tmp_path):
    with open_history(tmp_path / "h.db") as history:
        assert history.accept([KEY], since=5.0, reason="new cable") == 1
        history.accept([KEY], since=5.0, reason="a shorter cable")
        assert [(a.since, a.reason) for a in history.accepted(KEY)] == [(5.0, "a shorter cable")]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p.write_bytes(b"no database at all" * 100), "damaged, or no SQLite file"),
        (lambda p: sqlite3.connect(p).execute("CREATE TABLE other (x)"), "another program's"),
        (lambda p: _stamp(p, version=99), "newer hil"),
        (lambda p: p.mkdir(), "unable to open"),
    ],
)
def test_a_file_that_is_none_of_ours_is_refused_and_left_as_it_is(tmp_path, make, words):
    path = tmp_path / "h.db"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(UsageError, match=words) as caught:
        open_history(path)
    assert str(path) in str(caught.value)
    assert (path.read_bytes() if path.is_file() else None) == before


def _stamp(path: Path, *, version: int) -> None:
    open_history(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def test_a_file_that_must_exist_is_not_made(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        open_history(tmp_path / "h.db", must_exist=True)
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "h.db"
    with open_history(path) as history:
        history.add((KEY, point(day)) for day in range(2000))
        history._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(path.read_bytes())
    content[8192 : len(content) // 2] = b"\xa5" * (len(content) // 2 - 8192)
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"h\.db: .*damaged"), open_history(path) as history:
        history.points(KEY)


WRITER = """
    import sys
    from pathlib import Path
    from dataclasses import replace
    from hil.history import open_history
    from tests.test_history_store import KEY, point
    with open_history(Path(sys.argv[1])) as history:
        print("open", flush=True)
        for day in range(int(sys.argv[2])):
            history.add((replace(KEY, nbytes=n), point(day)._replace(run=f"{sys.argv[3]}-{day}")) for n in range(5))
            print(day, flush=True)
"""


def writer(path: Path, days: int, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(path), str(days), name],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip


def told_by(process: subprocess.Popen[str]) -> int:
    """Transactions that the writer said it had finished."""
    assert process.stdout is not None
    return len(process.stdout.read().split()) - 1


def test_two_writers_at_once_lose_nothing(tmp_path):
    both = [writer(tmp_path / "h.db", 40, name) for name in "ab"]
    assert [told_by(one) for one in both] == [40, 40]
    assert [one.wait() for one in both] == [0, 0]
    with open_history(tmp_path / "h.db") as history:
        assert sum(len(history.points(key)) for key in history.series()) == 400


def test_a_kill_at_any_moment_loses_at_most_the_running_test(tmp_path):
    left = kills.measure(20, tmp_path)

    assert [one.wrong for one in left] == [""] * 20
    assert all(one.finished <= one.kept <= one.finished + 1 for one in left)


def test_a_test_that_is_gone_or_there_in_part_would_be_noticed(tmp_path):
    with open_history(tmp_path / "h.db") as history:
        history.add((kills.key(n), point(1)) for n in range(kills.FIGURES))
        history.add((kills.key(n), point(2)) for n in range(kills.FIGURES - 1))
    assert "in part" in kills.look(tmp_path / "h.db", 1).wrong
    with open_history(tmp_path / "h.db") as history:
        history.add([(kills.key(kills.FIGURES - 1), point(2))])
    assert kills.look(tmp_path / "h.db", 2).wrong == ""
    assert kills.look(tmp_path / "h.db", 3).wrong == "1 tests that were kept are gone"


def test_export_and_import_carry_everything(tmp_path):
    with open_history(tmp_path / "a.db") as here, open_history(tmp_path / "b.db") as there:
        here.add((KEY, point(day, samples=(1.0, 2.0), context={"os": "26"})) for day in range(5))
        here.accept([KEY], since=1.7e9, reason="new cable")
        with (tmp_path / "x.jsonl").open("w") as out:
            assert write_lines(here, here.series(), out) == 5
        lines = (tmp_path / "x.jsonl").read_text().splitlines()
        assert read_lines(there, lines, "x.jsonl") == (5, 5)
        assert read_lines(there, lines, "x.jsonl") == (5, 0)
        assert there.points(KEY) == here.points(KEY)
        assert [(a.since, a.reason) for a in there.accepted(KEY)] == [(1.7e9, "new cable")]


def test_one_history_goes_into_another_without_overwriting(tmp_path):
    with open_history(tmp_path / "a.db") as a, open_history(tmp_path / "b.db") as b:
        a.add([(KEY, point(1, value=1.0))])
        b.add([(KEY, point(1, value=2.0)), (KEY, point(2))])
        b.accept([KEY], since=1.0, reason="x")
        assert merge(a, b) == (2, 1)
        assert [p.value for p in a.points(KEY)] == [1.0, 3e9]
        assert len(a.accepted(KEY)) == 1


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "empty|expected the head"),
        (['{"a": 1}'], "line 1: expected the head"),
        (['{"hil_history": 1}', "{"], "line 2: no JSON"),
        (['{"hil_history": 1}', "[]"], "line 2: .*expected a JSON object"),
        (['{"hil_history": 1}', '{"point": {}}'], "line 2: expected a series before"),
        (['{"hil_history": 1}', '{"series": {"bench": "x"}}'], "line 2: series = .*expected the keys"),
        (['{"hil_history": 1}', "SERIES", '{"point": {"time": 1}}'], "line 3: point = .*expected the keys"),
        (['{"hil_history": 1}', "SERIES", "POINT"], "line 3: point: `value` must be finite"),
        (['{"hil_history": 1}', "SERIES", '{"other": 1}'], "line 3: keys other; expected"),
    ],
)
def test_lines_that_make_no_sense_are_named(tmp_path, lines, words):
    with open_history(tmp_path / "a.db") as history:
        history.add([(KEY, point(1))])
        with (tmp_path / "x.jsonl").open("w") as out:
            write_lines(history, history.series(), out)
        _, series, good = (tmp_path / "x.jsonl").read_text().splitlines()
        wrong = good.replace('"value": 3000000000.0', '"value": NaN')
        given = [line.replace("SERIES", series).replace("POINT", wrong) for line in lines]
        with pytest.raises(UsageError, match=words):
            read_lines(history, given, "x.jsonl")
        assert len(history.points(KEY)) == 1


def test_values_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="`value` must be finite"):
        Point(time=0.0, value=float("nan"))
    with pytest.raises(ValueError, match="`nbytes` must not be negative"):
        replace(KEY, nbytes=-1)
