"""hil.integrity: both paths write and find the same, in little memory; the compiled one is loaded when it pays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import diagnosis as diagnosis_benchmark
from benchmarks import integrity as integrity_benchmark
from hil.integrity import compiled, fill, speed, use, verify
from hil.integrity.word import TILE_BYTES
from hil.model import KIB, MIB

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EPOCH, BUFFER = 5, 1
few = settings(max_examples=40, deadline=None)
sizes = st.one_of(st.integers(0, 70), st.integers(TILE_BYTES - 20, TILE_BYTES + 20), st.integers(0, 3 * TILE_BYTES))
firsts = st.one_of(st.integers(0, 40), st.integers(TILE_BYTES - 20, TILE_BYTES + 20), st.integers(0, 1 << 38))
needs_numba = pytest.mark.skipif(not compiled.available(), reason="numba is not installed: pip install 'hil[fast]'")


@pytest.fixture(autouse=True)
def own_choice() -> Iterator[None]:
    yield
    use("auto")


def filled(path: str, nbytes: int, *, shift: int = 0, **more: int | bool) -> bytes:
    use(path)
    room = np.zeros(nbytes + 16, np.uint8)
    fill(room, epoch=EPOCH, buffer_id=BUFFER, offset=shift, nbytes=nbytes, **more)
    assert not room[:shift].any()
    assert not room[shift + nbytes :].any()
    return room[shift : shift + nbytes].tobytes()


@needs_numba
@few
@given(sizes, firsts, st.integers(0, 8), st.booleans())
def test_both_paths_write_the_same_bytes(nbytes: int, first_byte: int, shift: int, inverted: bool):
    options = {"first_byte": first_byte, "shift": shift, "inverted": inverted}
    assert filled("numpy", nbytes, **options) == filled("compiled", nbytes, **options)


@needs_numba
@few
@given(sizes, firsts, st.integers(0, 8), st.lists(st.integers(0, 3 * TILE_BYTES), max_size=5))
def test_both_paths_find_the_same(nbytes: int, first_byte: int, shift: int, wrong: list[int]):
    room = np.zeros(nbytes + 8, np.uint8)
    fill(room, epoch=EPOCH, buffer_id=BUFFER, first_byte=first_byte, offset=shift, nbytes=max(nbytes - shift, 0))
    view = memoryview(room)[shift : max(nbytes, shift)]
    for place in wrong:
        if place < view.nbytes:
            view[place] ^= 0x10
    stream = speed.Stream(EPOCH, BUFFER)
    found = {}
    for path in ("numpy", "compiled"):
        use(path)
        pieces = list(speed.wrong_pieces(view, stream, first_byte))
        found[path] = (
            sum(count for _, _, count in pieces),
            verify(view, epoch=EPOCH, buffer_id=BUFFER, first_byte=first_byte),
        )
        assert all(count > 0 for _, _, count in pieces)
        assert all(a[0] + a[1] <= b[0] for a, b in pairwise(pieces))
    assert found["numpy"] == found["compiled"]


@few
@given(st.integers(1, 60), st.integers(0, 9), st.integers(0, 59))
def test_the_loops_mean_the_same_before_they_are_compiled(size: int, low: int, place: int):
    # Compiled code cannot be measured for coverage, nor does every machine have the compiler.
    table, keys = np.arange(10, dtype=np.uint64) * np.uint64(0x0101), np.arange(7, dtype=np.uint64) << np.uint64(40)
    words = np.zeros(size, np.uint64)
    compiled._fill(words, table, keys, low)
    where = np.arange(low, low + size)
    assert (words == table[where % 10] ^ keys[where // 10]).all()
    assert compiled._first_wrong(words, table, keys, low) == -1
    words[place % size] ^= np.uint64(8)
    assert compiled._first_wrong(words, table, keys, low) == (low + place % size) // 10


@needs_numba
def test_batches_of_blocks_join_without_a_seam(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(speed, "_BLOCKS_AT_ONCE", 2)
    nbytes = 5 * TILE_BYTES + 13
    written = bytearray(filled("compiled", nbytes, first_byte=3))
    assert bytes(written) == filled("numpy", nbytes, first_byte=3)
    use("compiled")
    assert verify(written, epoch=EPOCH, buffer_id=BUFFER, first_byte=3).intact
    places = [0, 2 * TILE_BYTES + 5, 4 * TILE_BYTES, nbytes - 1]
    for place in places:
        written[place] ^= 4
    report = verify(written, epoch=EPOCH, buffer_id=BUFFER, first_byte=3)
    assert [finding.offset for finding in report.findings] == places


@pytest.mark.parametrize("path", ["numpy", pytest.param("compiled", marks=needs_numba)])
@pytest.mark.parametrize("shift", [0, 3])
def test_writing_and_verifying_take_at_most_a_mebibyte_beside_the_buffer(path: str, shift: int):
    use(path)
    buffer = np.zeros(24 * MIB, np.uint8)
    fill(buffer[: TILE_BYTES + shift])  # what is kept for good is made once
    tracemalloc.start()
    fill(buffer, offset=shift)
    assert verify(buffer, offset=shift).intact
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak + TILE_BYTES < MIB


def run(program: str, **environment: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_small_buffers_never_load_the_compiler_and_the_room_alone_loads_no_other():
    told = run(
        "import json, sys\nfrom hil.integrity import fill, verify\nbuffer = bytearray(8 << 20)\nfill(buffer)\n"
        "assert verify(buffer).intact\n"
        "print(json.dumps([name for name in ('numba', 'pytest', 'hil.bench', 'pydantic') if name in sys.modules]))"
    )
    assert told == []


@needs_numba
def test_a_process_that_goes_through_much_takes_the_compiled_path(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(speed, "WORTH_LOADING", 3 * MIB)
    chooser = speed.Chooser()
    assert chooser.loops(2 * MIB) is None
    assert chooser.loops(2 * MIB) is compiled.loops()
    assert chooser.loops(KIB) is None
    chooser.path = speed.Path.NUMPY
    assert chooser.loops(100 * MIB) is None


@needs_numba
@pytest.mark.slow
def test_what_was_compiled_is_kept_in_a_folder_of_the_users(tmp_path: Path):
    program = (
        "import json, numba\nfrom hil.integrity import compiled\nloops = compiled.loops()\n"
        "print(json.dumps([loops.fill.stats.cache_hits == {}, numba.config.CACHE_DIR, "
        "sum(loops.fill.stats.cache_hits.values()), loops.fill.stats.cache_path]))"
    )
    home = {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path), "NUMBA_CACHE_DIR": ""}
    first, second = run(program, **home), run(program, **home)
    assert str(first[3]).startswith(str(tmp_path))
    assert first[1] == second[1] == ""  # other users of numba in the process keep their own folder
    assert list(tmp_path.rglob("*.nbc"))
    assert (first[2], second[2]) == (0, 1)


@needs_numba
def test_without_a_folder_to_write_to_it_is_compiled_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import numba  # noqa: PLC0415  (may be missing: the test is skipped then)

    def no_place(*signature: object, cache: bool = False, **options: object) -> object:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return genuine(*signature, **options)

    genuine = numba.njit
    monkeypatch.setattr(numba, "njit", no_place)
    compiled.loops.cache_clear()
    try:
        assert filled("compiled", 1000) == filled("numpy", 1000)
    finally:
        compiled.loops.cache_clear()


def test_without_numba_all_works_and_asking_for_it_says_what_to_install():
    program = (
        "import sys; sys.modules['numba'] = None\nimport json\nfrom hil.integrity import fill, speed, use, verify\n"
        "speed.WORTH_LOADING = 0\nbuffer = bytearray(2 << 20)\nfill(buffer)\nintact = verify(buffer).intact\n"
        "try: use('compiled')\nexcept ValueError as error: print(json.dumps([intact, str(error)]))"
    )
    assert run(program) == [True, "numba cannot be imported here: pip install 'hil[fast]', or use \"auto\""]


def test_a_path_that_is_none_is_refused():
    with pytest.raises(ValueError, match="one of auto, numpy, compiled, not 'fast'"):
        use("fast")


@pytest.mark.slow
def test_the_speed_benchmark_tells_each_figure_beside_memcpy(capsys: pytest.CaptureFixture[str]):
    assert integrity_benchmark.main(["--json", "--rounds", "1", "--mib", "1"]) == 0
    told = json.loads(capsys.readouterr().out)
    names = {figure["name"] for figure in told["figures"]}
    assert {"memcpy", "numpy compare", "fill, numpy", "verify, numpy"} <= names
    assert all(figure["extra_bytes"] is None or figure["extra_bytes"] < MIB for figure in told["figures"])
    assert integrity_benchmark.main(["--rounds", "1", "--mib", "1"]) == 0
    assert "of memcpy" in capsys.readouterr().out


@pytest.mark.slow
def test_the_diagnosis_benchmark_tells_each_kind_beside_known_ideas(capsys: pytest.CaptureFixture[str], monkeypatch):
    monkeypatch.setattr(diagnosis_benchmark, "HIGH_BITS", (14,))
    assert diagnosis_benchmark.main(["--json", "--draws", "1"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["kinds"]) == 30
    assert told["share_found"] == 1
    assert told["clean"]["findings"] == 0
    assert told["caught_by_known_ideas"]["alternating"] < told["caught_by_known_ideas"]["fresh random"] < 1
    monkeypatch.setattr(
        diagnosis_benchmark,
        "CORRUPTIONS",
        diagnosis_benchmark.CORRUPTIONS[:1]
        + [each for each in diagnosis_benchmark.CORRUPTIONS if each.kind == "alias"],
    )
    assert diagnosis_benchmark.main(["--draws", "1"]) == 0
    assert "1 clean scenes: 0 findings" in capsys.readouterr().out
