"""A crash of the controller loses no finished result."""

import signal
from xml.etree import ElementTree as ET

import pytest
from pytest_runs import suite

pytestmark = pytest.mark.slow

SUITE = """
import os, signal
import pytest

def test_first(device):
    pass

@pytest.mark.needs("hotplug", "band")
def test_second(device):
    assert device.alias == "somebody else's"

def test_controller_dies(device):
    os.kill(os.getpid(), signal.SIGKILL)

def test_never(device):
    pass
"""


@pytest.fixture(scope="module")
def crashed(tmp_path_factory):
    with suite(tmp_path_factory.mktemp("crash")) as lab:
        lab.write(test_crash=SUITE)
        yield lab.run("--hil-bench", "sim", "--hil-junit", "out/junit.xml", allure=True)


def test_the_junit_file_holds_what_had_finished(crashed):
    cases = ET.parse(crashed.folder / "out" / "junit.xml").findall(".//testcase")

    assert crashed.code == -signal.SIGKILL
    assert [case.get("name").split("[")[0] for case in cases] == ["test_first", "test_second"]
    assert "somebody" in cases[1].find("failure").text


def test_allure_has_what_had_finished_and_what_it_ran_on(crashed):
    statuses = {name.split("[")[0]: facts["status"] for name, facts in crashed.results().items()}

    assert statuses["test_first"] == "passed"
    assert statuses["test_second"] == "failed"
    assert "Simulated=yes" in (crashed.folder / "allure" / "environment.properties").read_text()


def test_a_file_that_cannot_be_written_is_one_clear_message(tmp_path):
    (tmp_path / "taken").write_text("")

    with suite(tmp_path) as lab:
        lab.write(test_crash=SUITE)
        done = lab.run("--hil-bench", "sim", "--hil-junit", str(tmp_path / "taken" / "junit.xml"))

    assert done.code == 4
    assert "--hil-junit" in done.err + done.out
    assert "Traceback" not in done.err + done.out
