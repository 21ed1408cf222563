"""Long tests run where they are asked for; a failed copy says how to repeat it, and that repeats it."""

from __future__ import annotations

import re
import shlex

import pytest
from pytest_runs import suite

pytestmark = pytest.mark.slow
TESTS = """
    import pytest

    @pytest.mark.grid
    def test_row(transfer):
        transfer.row(7, "D2H")

    @pytest.mark.soak
    def test_hour(transfer):
        transfer.soak(7, seconds=0.001)

    def test_sample(transfer):
        transfer.sample("D2H", copies=24)
"""


@pytest.fixture
def lab(tmp_path):
    with suite(tmp_path) as made:
        yield made.write(test_long=TESTS)


def ran(run):
    assert run.code == 0, run.out
    return sorted(name.split("[")[0] for name in run.outcomes())


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ([], ["test_sample"]),
        (["-m", "grid or soak"], ["test_hour", "test_row"]),
        (["test_long.py::test_row"], ["test_row"]),
    ],
)
def test_long_tests_run_where_they_are_asked_for(lab, arguments, names):
    assert ran(lab.run("--hil-bench", "sim", *arguments)) == names


def test_quick_tests_come_first_where_that_is_asked_for(lab):
    lab.write(
        test_order="""
            import pytest

            def test_a(device): ...

            @pytest.mark.quick
            def test_b(device): ...

            def test_c(device): ...

            @pytest.mark.quick
            def test_d(device): ...
        """
    )

    plain = lab.run("test_order.py", "--hil-bench", "sim")
    asked = lab.run("test_order.py", "--hil-bench", "sim", "--hil-quick-first")

    assert [name.split("[")[0][-1] for name in plain.outcomes()] == ["a", "b", "c", "d"]
    assert [name.split("[")[0][-1] for name in asked.outcomes()] == ["b", "d", "a", "c"]


def test_a_failed_copy_says_how_to_repeat_it_and_that_repeats_it(lab):
    first = lab.run("--hil-bench", "sim", "--hil-fault", "bit-flip:direction=D2H", "--hil-seed", "5")
    again = re.search(r"again: pytest (.*)", first.out)
    assert again, first.out
    second = lab.run(*shlex.split(again[1]))

    assert re.findall(r"in the copy of .*", first.out) == re.findall(r"in the copy of .*", second.out) != []
    assert "--hil-seed=5 --hil-bench sim:" in again[1]
