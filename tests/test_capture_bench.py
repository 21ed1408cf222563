"""pytest on a captured bench: what was read can be tested, the rest is skipped and says why."""

from __future__ import annotations

import pytest

from hil.cli.capture import take
from tests.captured_bench import switched_on
from tests.pytest_runs import suite

pytestmark = pytest.mark.slow

TESTS = """
    import pytest
    from hil.errors import NotCaptured

    def test_session(hil_bench):
        assert hil_bench.nature == NATURE

    def test_enumeration(device):
        assert device.facts.gpu.enclosure.device_name

    def test_transfer(device):
        device.call("transfer:round_trip", size=4096, seed=1)

    @pytest.fixture
    def opened(device):
        return device.process()

    def test_fixture(opened):
        pass

    def test_own(hil_bench):
        raise NotCaptured("as if")
"""


def test_enumeration_runs_and_what_needs_the_device_is_skipped(tmp_path):
    with switched_on("linux-daisy-chain") as host:
        (tmp_path / "bench.zip").write_bytes(take(host, "sim").data)
    with suite(tmp_path) as mine:
        mine.write(test_it=f"    NATURE = 'captured'\n{TESTS}")

        done = mine.run("--hil-bench", "captured:bench.zip", "-rs", "test_it.py")

    ended = done.outcomes()
    assert done.code == pytest.ExitCode.OK, done.out
    assert {name.partition("[")[0]: how for name, how in ended.items()} == {
        "test_session": "PASSED",
        "test_enumeration": "PASSED",
        "test_transfer": "SKIPPED",
        "test_fixture": "SKIPPED",
        "test_own": "SKIPPED",
    }
    assert len(ended) == 8
    assert "cannot be opened: only what was read of it is there" in done.out


def test_on_any_other_bench_such_an_error_is_no_skip(tmp_path):
    with suite(tmp_path) as mine:
        mine.write(test_it=f"    NATURE = 'simulated'\n{TESTS}")

        done = mine.run("--hil-bench", "sim:empty-mac", "test_it.py")

    assert done.outcomes()["test_own"] == "FAILED"


def test_a_capture_that_cannot_be_read_is_a_usage_error(tmp_path):
    (tmp_path / "bench.zip").write_text("hello")
    with suite(tmp_path) as mine:
        mine.write(test_it=f"    NATURE = 'captured'\n{TESTS}")

        done = mine.run("--hil-bench", "captured:bench.zip", "test_it.py")

    assert done.code == pytest.ExitCode.USAGE_ERROR
    assert "bench.zip: is no capture: not a zip file" in done.out + done.err
    assert "Traceback" not in done.out + done.err
