"""Allure's own program: results of a run in it, built to a report on a real Node and opened in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from browser import browser, complaints, requested
from pytest_runs import hil, suite

from hil.errors import UsageError
from hil.report.allure_program import _node
from hil.report.allure_report import HISTORY

pytestmark = pytest.mark.slow
RUN = """
    import pytest
    from hil.errors import BenchFault, Regression
    from hil.model import Direction

    def test_measures(throughput):
        throughput.sample(Direction.H2D)

    def test_stays_under_load(load, workload):
        load.warm(0.1)
        workload.soak(Direction.H2D, 0.1, nbytes=1 << 20, every=0.02)

    def test_fails(device):
        pytest.fail("by itself")

    def test_is_slower(device):
        raise Regression("H2D 64 MiB is 4 % slower than the nights before")

    def test_finds_no_cable(device):
        raise BenchFault("there is no cable")
"""
BUILD = "https://github.com/lab/hil/actions/runs/99"
GITHUB = {
    "GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "lab/hil",
    "GITHUB_WORKFLOW": "nightly", "GITHUB_RUN_NUMBER": "7", "GITHUB_RUN_ID": "99",
}  # fmt: skip


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    with suite(tmp_path_factory.mktemp("allure"), conftest='pytest_plugins = ["hil.fixtures"]\n') as made:
        yield made.write(test_run=RUN).run("--hil-bench", "sim", allure=True, env=GITHUB)


def test_results_have_link_topology_and_executor(ran):
    facts = ran.results()
    for test in facts.values():
        shown = [one for one in test["parameters"] if one["name"] == "link"]
        assert [(one["value"], one["excluded"]) for one in shown] == [
            ("40 Gb/s, expected 40 Gb/s (2 × 20; usb4)", True)
        ]
    assert len({test["historyId"] for test in facts.values()}) == 5
    for name in facts.keys() - {"test_stays_under_load[rtx-4080-ut4g-dock]"}:
        assert "└── " in ran.attached(name, "topology")  # the first of the run, and those that failed
    assert json.loads((ran.folder / "allure" / "executor.json").read_text())["buildUrl"] == BUILD


def test_loads_are_drawn_over_their_time(ran):
    for title in ("under load", "under load, H2D"):
        picture = ran.attached("test_stays_under_load[rtx-4080-ut4g-dock]", title)
        assert re.search(r"<title>rtx-4080-ut4g-dock under load(, H2D)?: rate \d.* GB/s", picture)


# The real program: npm's package, on the Node that the `slow` environment of tox brings


@pytest.fixture(scope="module")
def allure_home(tmp_path_factory):
    try:
        _node()
    except UsageError as error:
        if os.environ.get("HIL_ALL_PROGRAMS"):
            pytest.fail(f"{error}, and HIL_ALL_PROGRAMS says that all programs are there")
        pytest.skip(str(error))
    return os.environ.get("HIL_ALLURE") or str(tmp_path_factory.mktemp("home"))


@dataclass(frozen=True)
class Report:
    facts: dict
    """What `hil report` told."""
    history: Path
    page: str
    """Address."""


@pytest.fixture(scope="module")
def report(ran, allure_home, tmp_path_factory):
    """A report of the sixth of six nights; of the last one a result is cut off."""
    folder = tmp_path_factory.mktemp("report")
    results, out = shutil.copytree(ran.folder / "allure", folder / "allure"), folder / "out"
    _build(results, out, allure_home)
    past = out / HISTORY
    first = json.loads(past.read_text())
    past.write_text("".join(json.dumps(_earlier(first, night)) + "\n" for night in range(5, 0, -1)))
    (results / "cut-result.json").write_text('{"na')
    facts = _build(results, out, allure_home)
    return Report(facts, past, f"file://{facts['page']}")


def _build(results: Path, out: Path, home: str) -> dict:
    arguments = ("--allure", str(results), "--out", str(out), "--install", "--json")
    told = hil("report", *arguments, env={"HIL_ALLURE": home})
    if "npm ci" in told.stderr:
        pytest.skip(f"the npm registry does not answer: {told.stderr}")
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


def _earlier(point: dict, nights: int) -> dict:
    """A run of the history, so many nights before."""
    past = 86_400_000 * nights
    tests = {
        name: one | {"start": one["start"] - past, "stop": one["stop"] - past}
        for name, one in point["testResults"].items()
    }
    return point | {"uuid": f"{nights}", "timestamp": point["timestamp"] - past, "testResults": tests}


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as driven:
        yield driven


def test_the_real_program_shows_what_is_whole_and_keeps_its_history(report):
    assert (report.facts["results"], report.facts["notes"]) == (5, ["left out, cut off or no JSON: cut-result.json"])
    assert len(report.history.read_text().splitlines()) == 6


@pytest.mark.parametrize(
    ("view", "shown"),
    [
        ("", ["sim:macbook-pro-usb4", "Metadata", "nightly #7", "test_measures", "Total"]),
        ("metrics", ["Performance metrics", "H2D bandwidth 64 MiB", "GB/s", "Trend"]),
        ("categories", ["Regression", "Device fault", "Bench fault"]),
        ("charts", ["Night by night", "Latest", "By severity", "How long nights take"]),
    ],
)
def test_the_real_report_shows_it_and_asks_nobody(report, driver, view, shown):
    text = _opened(driver, f"{report.page}#{view}", shown)
    assert [part for part in shown if part not in text] == []
    asked = [
        address for address in requested(driver) if not address.startswith(("data:", "blob:", "chrome:", "about:"))
    ]
    assert {address.partition("#")[0] for address in asked} == {report.page}
    assert complaints(driver) == []


def test_the_real_report_links_to_the_build_and_draws_the_nights_before(report, driver):
    _opened(driver, report.page, ["Metadata"])
    assert driver.execute_script("return [...document.links].map((one) => one.href)").count(BUILD) == 1
    text = _opened(driver, f"{report.page}#charts", ["Latest"])
    nights, _, _ = text.partition("Latest")
    assert len(set(re.findall(r"\d+/\d+/20\d\d", nights))) == 5


def _opened(driver, address: str, shown: list[str]) -> str:
    """What is to be read there, once all of `shown` is, or 20 seconds have passed."""
    driver.get("about:blank")
    requested(driver)
    complaints(driver)
    driver.get(address)
    end = time.monotonic() + 20
    while True:
        text = driver.execute_script("return document.body.innerText")
        if all(part in text for part in shown) or time.monotonic() > end:
            return text
