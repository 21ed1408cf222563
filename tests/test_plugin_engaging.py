"""Whose runs hil takes part in: those whose conftest loads its words, and of their tests those that use its device."""

from __future__ import annotations

import pytest
from pytest_runs import suite

pytestmark = pytest.mark.slow

FOREIGN = """
    import sys

    import pytest

    @pytest.fixture
    def device():
        return "a device of mine"

    def test_a_fixture_of_that_name(device):
        assert device == "a device of mine"

    @pytest.mark.parametrize("device", ["cpu", "cuda"])
    def test_a_parameter_of_that_name(device):
        assert device in ("cpu", "cuda")

    def test_nothing_of_ours_was_loaded_but_the_options():
        assert not {name for name in sys.modules if name.startswith(("hil.bench", "hil.sim", "hil.plugin.run"))}
"""
UNKNOWN = "def test_a_name_that_nobody_defines(device): pass"
OURS = """
    import pytest

    @pytest.mark.parametrize("device", ["cpu", ["a", "list"]])
    def test_own_parameter(device):
        assert device == "cpu" or device == ["a", "list"]

    @pytest.mark.parametrize(argnames=["device", "x"], argvalues=[("tpu", 1)])
    def test_own_parameters(device, x):
        assert device == "tpu"

    class TestOwnFixture:
        @pytest.fixture
        def device(self):
            return "mine"

        def test_hidden(self, device):
            assert device == "mine"

    class TestExtended:
        @pytest.fixture
        def device(self, device):
            return device.alias.upper()

        def test_built_upon(self, device):
            assert device == "RTX-4080-UT4G-DOCK"

    @pytest.mark.parametrize("device_name", ["x"])
    def test_ours(device, device_name):
        assert device.alias == "rtx-4080-ut4g-dock"

    def test_without():
        pass

    @pytest.mark.needs("gpu", "enclosure", "hotplug", "reset", "band")
    def test_what_the_machine_offers(device, hil_bench):
        assert repr(device) == "<Device rtx-4080-ut4g-dock>"
        assert hil_bench.device(device.alias) is device
"""


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    with suite(tmp_path_factory.mktemp("foreign"), conftest="") as made:
        made.write(test_mine=FOREIGN, test_unknown=UNKNOWN)
        yield made.run("-o", "addopts="), made.left_over()


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    with suite(tmp_path_factory.mktemp("ours")) as made:
        made.write(test_both=OURS)
        yield made.run("--hil-bench=sim", "--strict-markers")


def test_a_run_without_words_is_left_alone(foreign):
    run, left_over = foreign

    assert run.outcomes() == {
        "test_a_fixture_of_that_name": "PASSED",
        "test_a_parameter_of_that_name[cpu]": "PASSED",
        "test_a_parameter_of_that_name[cuda]": "PASSED",
        "test_nothing_of_ours_was_loaded_but_the_options": "PASSED",
        "test_a_name_that_nobody_defines": "ERROR",
    }
    assert "fixture 'device' not found" in run.out
    assert "bench" not in run.out.replace("benchmark", "")
    assert left_over == []


def test_in_a_run_of_ours_only_tests_of_our_device_are_run_for_each_device(ours):
    assert ours.outcomes() == {
        "test_own_parameter[cpu]": "PASSED",
        "test_own_parameter[device1]": "PASSED",
        "test_own_parameters[tpu-1]": "PASSED",
        "TestOwnFixture::test_hidden": "PASSED",
        "TestExtended::test_built_upon[rtx-4080-ut4g-dock]": "PASSED",
        "test_ours[rtx-4080-ut4g-dock-x]": "PASSED",
        "test_without": "PASSED",
        "test_what_the_machine_offers[rtx-4080-ut4g-dock]": "PASSED",
    }
    assert ours.code == 0


def test_an_unknown_need_is_a_usage_error_that_lists_the_known(tmp_path):
    with suite(tmp_path) as made:
        made.write(test_x="import pytest\n@pytest.mark.needs('gpu', 'luck')\ndef test_x(device): pass\n")
        run = made.run("--hil-bench=sim:empty-linux")

    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "hil: test_x.py::test_x[none]: needs('luck') is not known; there are: " in run.err


def test_a_bench_without_devices_skips_by_name_and_ends_green(tmp_path):
    with suite(tmp_path) as made:
        made.write(test_x="def test_x(device): pass\ndef test_y(): pass\n")
        run = made.run("--hil-bench=sim:empty-linux", allure=True)

    assert run.code == 0
    assert run.outcomes() == {"test_x[none]": "SKIPPED", "test_y": "PASSED"}
    assert run.line("device:").strip() == "device: none"
    assert "skipped   1 × bench sim:empty-linux has no device" in run.summary()
    assert run.labels("test_x[none]")["hil"] == {"simulated"}
