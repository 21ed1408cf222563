"""Allure: what its results are given, and what is done around the program that builds reports of them."""

from __future__ import annotations

import json
import re
import shutil
import stat
import sys
from dataclasses import replace

import pytest
from pytest_runs import ROOT, hil

from hil.errors import BenchFault, UsageError
from hil.model import LaneLink, LinkKind, Router, RouterRole
from hil.report import allure_program
from hil.report.allure_program import NODE, find, version
from hil.report.allure_report import HISTORY, PAGE, build_allure, offline
from hil.report.allure_results import stage, tidy_history
from hil.report.executor import executor, write_executor
from hil.report.metrics import Metric, write_metrics
from hil.throughput import LeastLink, against
from hil.watch import WatchedLine, marked, subject

METRIC = Metric(
    key="lab-h2d",
    title="H2D bandwidth 64 MiB",
    group="lab: gpu",
    value=3.0123456789e9,
    unit="B/s",
    higher_is_better=True,
    start=1.0,
    stop=2.5,
)
ROUTER = Router(
    name="0-1", domain="domain0", parent="0-0", uid="u", role=RouterRole.ENCLOSURE, kind=LinkKind.USB4,
    vendor_name="ADT-Link", device_name="UT4G", link=LaneLink(lane_gbps=20.0, lanes=2),
)  # fmt: skip
PAGE_OF_ALLURE = """<!DOCTYPE html><html><head lang="en"><title>x</title></head><body>
<script>window.allure = 1; if (1 < 2) {}</script>
<script async src="https://www.googletagmanager.com/gtag/js?id=G-1"></script>
<script>
  function gtag(){dataLayer.push(arguments);}
  gtag('config', 'G-1', {"a": "</b>"});
</script>
<script>window.data = "kept";</script></body></html>"""
STAND_IN = f"""#!{sys.executable}
import json, sys, pathlib
if sys.argv[1:] == ["--version"]:
    print("vMAJOR.1.0"); sys.exit()
config = json.loads(pathlib.Path(sys.argv[sys.argv.index("--config") + 1]).read_text())
if "break" in config["name"]:
    print("it broke in the middle"); sys.exit(3)
out = pathlib.Path(config["output"]); out.mkdir()
files = sorted(path.name for path in pathlib.Path(sys.argv[-1]).iterdir())
(out / "index.html").write_text({PAGE_OF_ALLURE!r} + "<!--" + " ".join(files) + "-->")
with open(config["historyPath"], "a") as history:
    print('{{"testResults": {{"h": {{"start": 5}}}}}}', file=history)
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """What stands where Node does and knows as much of Allure as these tests need; the folder of the package."""

    def put(major: int = NODE, *, installed: str | None = None):
        programs, home = tmp_path / "bin", tmp_path / "home"
        package = home / "node_modules" / "allure"
        programs.mkdir()
        package.mkdir(parents=True)
        node = programs / "node"
        node.write_text(STAND_IN.replace("MAJOR", str(major)))
        node.chmod(node.stat().st_mode | stat.S_IXUSR)
        (package / "package.json").write_text(json.dumps({"version": installed or version()}))
        monkeypatch.setenv("PATH", str(programs))
        monkeypatch.setenv("HIL_ALLURE", str(home))
        monkeypatch.setattr(allure_program, "_BESIDE", tmp_path / "nothing")
        return programs

    return put


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "a-result.json").write_text(json.dumps({"name": "test_a", "start": 5}))
    (folder / "b-container.json").write_text("{}")
    (folder / "c-attachment.json").write_text("half of an attachm")
    (folder / "environment.properties").write_text("Bench=lab\n")
    return folder


# What the results are given


def test_a_figure_is_a_metric_in_units_that_people_read(tmp_path):
    latency = replace(METRIC, key="lat", value=1.5e-5, unit="s", higher_is_better=False)
    other = replace(METRIC, key="nan", value=float("nan"))

    path = write_metrics(tmp_path / "new", [METRIC, latency, other])

    assert path.name.endswith("-perf.json")
    first, second = json.loads(path.read_text())
    assert (first["value"], first["unit"], first["better"]) == (3.01235, "GB/s", "higher")
    assert (first["start"], first["stop"]) == (1000, 2500)
    assert (second["value"], second["unit"], second["better"]) == (15.0, "µs", "lower")
    assert first["id"] != second["id"]


def test_no_figure_is_no_file(tmp_path):
    assert write_metrics(tmp_path, []) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("environment", "kind", "name", "url"),
    [
        (
            {
                "GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "lab/hil",
                "GITHUB_WORKFLOW": "nightly", "GITHUB_RUN_NUMBER": "7", "GITHUB_RUN_ID": "99",
            },
            "github", "nightly #7", "https://github.com/lab/hil/actions/runs/99",
        ),
        (
            {"GITLAB_CI": "true", "CI_JOB_NAME": "nightly", "CI_PIPELINE_IID": "7", "CI_JOB_URL": "https://git.lab/-/jobs/1"},
            "gitlab", "nightly #7", "https://git.lab/-/jobs/1",
        ),
        (
            {"JENKINS_URL": "http://ci/", "JOB_NAME": "nightly", "BUILD_NUMBER": "7", "BUILD_URL": "http://ci/job/7/"},
            "jenkins", "nightly #7", "http://ci/job/7/",
        ),
        (
            {"BUILDKITE": "true", "BUILDKITE_PIPELINE_SLUG": "nightly", "BUILDKITE_BUILD_NUMBER": "7",
             "BUILDKITE_BUILD_URL": "https://buildkite.com/lab/nightly/builds/7"},
            "buildkite", "nightly #7", "https://buildkite.com/lab/nightly/builds/7",
        ),
    ],
)  # fmt: skip
def test_a_ci_service_is_named_with_the_address_of_its_build(environment, kind, name, url):
    facts = executor(environment, host="lab", command="pytest")
    assert (facts["type"], facts["buildName"], facts["buildOrder"]) == (kind, name, 7)
    assert facts["buildUrl"] == facts["reportUrl"] == url


def test_an_address_that_no_browser_should_open_is_left_out():
    facts = executor({"GITLAB_CI": "1", "CI_JOB_URL": "javascript:alert(1)"}, host="lab", command="pytest")
    assert "buildUrl" not in facts
    assert "buildOrder" not in facts


def test_without_a_ci_service_host_and_command_stand_there(tmp_path):
    write_executor(tmp_path / "new", executor({}, host="lab", command="pytest suites/"))
    facts = json.loads((tmp_path / "new" / "executor.json").read_text())
    assert facts == {"name": "lab", "type": "host", "buildName": "pytest suites/"}


def test_the_link_is_told_against_what_its_kind_promises():
    assert against([ROUTER], LinkKind.USB4, LeastLink()) == "40 Gb/s, expected 40 Gb/s (2 × 20; usb4)"


def test_a_weak_link_is_marked_as_such():
    weak = replace(ROUTER, link=LaneLink(lane_gbps=20.0, lanes=1))
    declared = LeastLink(gbps=30.0, source="declared by bench lab")
    assert against([weak], LinkKind.USB4, declared) == (
        "TOO LOW: 20 Gb/s, expected 30 Gb/s (1 × 20; declared by bench lab)"
    )


def test_an_enclosure_that_is_gone_is_less_than_expected():
    line = against([], LinkKind.UNKNOWN, LeastLink())
    assert line == "TOO LOW: not to be seen (unknown)"


def test_lines_that_speak_of_a_fault_are_marked_and_explained():
    texts = (
        "NVRM: Xid (PCI:0000:04:00): 79, pid=1, GPU has fallen off the bus.",
        "pcieport 0000:00:07.0: AER: Correctable error message received",
        "nvidia 0000:04:00.0: PCIe Bus Error: severity=Correctable",
        "usb 1-1: new high-speed USB device",
    )
    lines = marked([WatchedLine(time=1.0, text=text, about=subject(text)) for text in texts]).splitlines()
    assert [line[:2] for line in lines] == [">>", "  ", ">>", ">>", "  "]
    assert "fell off the bus" in lines[1]


# What is found in a folder


def test_what_is_cut_off_is_left_out_and_named(results, tmp_path):
    (results / "z-result.json").write_text('{"name": "te')
    (into := tmp_path / "into").mkdir()

    staged = stage(results, into)

    assert (staged.results, staged.starts) == (1, frozenset({5}))
    assert staged.notes == ("left out, cut off or no JSON: z-result.json",)
    kept = ["a-result.json", "b-container.json", "c-attachment.json", "environment.properties"]
    assert sorted(path.name for path in into.iterdir()) == kept


def test_many_files_that_are_cut_off_are_one_note(results, tmp_path):
    for n in range(9):
        (results / f"{n}-result.json").write_bytes(b"\xff")
    (into := tmp_path / "into").mkdir()
    assert stage(results, into).notes[0].endswith("4-result.json, and 4 more")


def test_results_of_another_version_are_shown_and_noted(results, tmp_path):
    (results / "environment.properties").write_text("hil=9.9\n")
    (into := tmp_path / "into").mkdir()
    assert "was written by hil 9.9" in stage(results, into).notes[0]


def test_a_folder_that_says_nothing_of_its_bench_is_shown_and_noted(results, tmp_path):
    (results / "environment.properties").unlink()
    (into := tmp_path / "into").mkdir()
    assert "no environment.properties" in stage(results, into).notes[0]


@pytest.mark.parametrize("text", [None, "{"])
def test_a_folder_without_any_result_is_one_message(tmp_path, text):
    if text:
        (tmp_path / "a-result.json").write_text(text)
    with pytest.raises(UsageError, match="holds no Allure result that can be shown"):
        stage(tmp_path, tmp_path)


def test_a_folder_that_is_not_there_is_one_message(tmp_path):
    with pytest.raises(UsageError, match="--alluredir"):
        stage(tmp_path / "none", tmp_path)


def run(*starts: int) -> str:
    return json.dumps({"testResults": {f"test {number}": {"start": start} for number, start in enumerate(starts)}})


def test_the_history_loses_half_lines_and_the_same_run(tmp_path):
    path, tidy = tmp_path / "history.jsonl", tmp_path / "tidy.jsonl"
    before = "\n".join([run(1), run(5), '{"half', ""])
    path.write_text(before)

    notes = tidy_history(path, {5}, tidy)

    assert path.read_text() == before
    assert tidy.read_text() == run(1) + "\n"
    assert notes == (f"left out of the history {path}: 1 lines that are not whole",)
    assert tidy_history(tidy, {5}, path) == ()


def test_a_run_that_was_still_going_on_is_the_same_run(tmp_path):
    (path := tmp_path / "history.jsonl").write_text(run(5) + "\n")
    assert tidy_history(path, {5, 6}, tmp_path / "tidy.jsonl") == ()
    assert (tmp_path / "tidy.jsonl").read_text() == ""


def test_a_run_of_which_a_test_was_repeated_is_the_same_run(tmp_path):
    (path := tmp_path / "history.jsonl").write_text(run(1, 2, 3) + "\n" + run(5, 6, 7) + "\n")
    assert tidy_history(path, {5, 6, 9}, tmp_path / "tidy.jsonl") == ()
    assert (tmp_path / "tidy.jsonl").read_text() == run(1, 2, 3) + "\n"


def test_a_history_that_is_none_needs_no_tidying(tmp_path):
    assert tidy_history(tmp_path / "none", {5}, tmp_path / "tidy") == ()
    assert not (tmp_path / "tidy").exists()
    (tmp_path / "empty").write_text("\n")
    assert tidy_history(tmp_path / "empty", {5}, tmp_path / "tidy") == ()
    with pytest.raises(UsageError, match="cannot be used"):
        tidy_history(tmp_path, {5}, tmp_path / "tidy")


@pytest.mark.parametrize("text", ["[lab]\nname = 1\n", '{"record": 1}\n{"test": "a"}\n'])
def test_a_file_that_is_no_history_is_refused_and_left_as_it_was(program, results, tmp_path, text):
    program()
    (path := tmp_path / "lab.toml").write_text(text)
    with pytest.raises(UsageError, match=r"lab\.toml is no history of Allure: none of its 2 lines is a run"):
        build_allure(results, tmp_path / "out", lambda: find(install=False), history=path)
    assert path.read_text() == text


def test_nights_that_are_still_in_the_folder_keep_their_lines(results, tmp_path):
    for night in (1, 2, 3):
        for test in ("a", "b") if night < 3 else ("a",):
            told = {"historyId": test, "start": 10 * night + ord(test)}
            (results / f"{night}{test}-result.json").write_text(json.dumps(told))
    (into := tmp_path / "into").mkdir()
    starts = stage(results, into).starts
    path, tidy = tmp_path / "history.jsonl", tmp_path / "tidy.jsonl"
    path.write_text("".join(f"{run(*began)}\n" for began in [(107, 108), (117, 118), (127, 118)]))

    tidy_history(path, starts, tidy)

    assert starts == {5, 118, 127}
    assert tidy.read_text() == f"{run(107, 108)}\n{run(117, 118)}\n"


# The program


def test_analytics_are_stripped_and_all_other_scripts_kept():
    page = offline(PAGE_OF_ALLURE)
    assert "googletagmanager" not in page
    assert "gtag" not in page
    assert "if (1 < 2)" in page
    assert 'window.data = "kept"' in page
    assert page.index("Content-Security-Policy") < page.index("<title>")


def test_what_is_no_page_is_refused():
    with pytest.raises(BenchFault, match="no head"):
        offline("nothing")


def test_without_node_it_is_said_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(allure_program, "_BESIDE", tmp_path)
    with pytest.raises(UsageError, match=r"needs Node 20 or later, and there is none: install Node"):
        find(install=False)


def test_an_old_node_is_named(program):
    program(NODE - 2)
    with pytest.raises(UsageError, match=r"needs Node 20 or later, and \S+ is v18\.1\.0"):
        find(install=False)


def test_one_that_pip_put_beside_this_python_is_as_good(program, monkeypatch, tmp_path):
    old = program(NODE - 2)
    (beside := tmp_path / "venv").mkdir()
    shutil.copy(old / "node", beside / "node")
    (beside / "node").write_text(STAND_IN.replace("MAJOR", str(NODE + 2)))
    monkeypatch.setattr(allure_program, "_BESIDE", beside)
    assert find(install=False)[0] == str(beside / "node")


def test_another_version_of_the_package_is_not_used(program):
    program(installed="2.0.0")
    with pytest.raises(UsageError, match=r"not installed in .*--install"):
        find(install=False)


def test_installing_needs_npm(program):
    program(installed="2.0.0")
    with pytest.raises(UsageError, match="needs npm, and there is none"):
        find(install=True)


def test_an_installation_that_fails_says_what_npm_said(program):
    npm = program(installed="2.0.0") / "npm"
    npm.write_text("#!/bin/sh\necho no such host\nexit 1\n")
    npm.chmod(0o755)
    with pytest.raises(BenchFault, match=r"exit code 1:\n  no such host"):
        find(install=True)


def test_an_installation_without_the_package_is_noticed(program):
    npm = program(installed="2.0.0") / "npm"
    npm.write_text("#!/bin/sh\nexit 0\n")
    npm.chmod(0o755)
    with pytest.raises(BenchFault, match="is not there"):
        find(install=True)


NPM = """#!/bin/sh
mkdir -p node_modules/allure
/bin/cp package.json package-lock.json node_modules/
echo '{"version": "VERSION"}' > node_modules/allure/package.json
"""


def test_an_installation_that_is_cut_off_is_none(program):
    npm = program(installed="2.0.0") / "npm"
    npm.write_text(NPM.replace("VERSION", version()).replace("mkdir", "/bin/mkdir") + "exit 1\n")
    npm.chmod(0o755)
    with pytest.raises(BenchFault, match="exit code 1"):
        find(install=True)
    with pytest.raises(UsageError, match="is not installed"):
        find(install=False)
    npm.write_text(npm.read_text().replace("exit 1", "exit 0"))
    assert find(install=True) == find(install=False)
    home = allure_program.home()
    assert [path.name for path in home.iterdir()] == ["node_modules"]
    assert (home / "node_modules" / "package-lock.json").exists()


def test_the_pinned_package_names_no_registry():
    lock = (ROOT / "reports" / "package-lock.json").read_text()
    assert "resolved" not in lock
    assert not re.search(r"https?://[^/]*registry", lock)
    assert json.loads(lock)["packages"]["node_modules/allure"]["version"] == version()


def test_a_report_is_one_file_and_its_history_counts_a_run_once(program, results, tmp_path):
    program()
    out = tmp_path / "out"
    (results / "z-result.json").write_text("{")

    for _ in range(2):
        built = build_allure(results, out, lambda: find(install=False))

    page = (out / PAGE).read_text()
    assert "googletagmanager" not in page
    assert "a-result.json" in page
    assert "z-result.json" not in page
    assert built.results == 1
    assert len((out / HISTORY).read_text().splitlines()) == 1
    assert sorted(path.name for path in out.iterdir()) == [HISTORY, PAGE]


def test_a_folder_without_results_is_told_before_anything_has_to_be_installed(tmp_path):
    with pytest.raises(UsageError, match="holds no Allure result"):
        build_allure(tmp_path, tmp_path / "out", lambda: pytest.fail("there is nothing to show"))


def test_a_program_that_fails_is_told_with_its_last_words(program, results, tmp_path):
    program()
    (results / "environment.properties").write_text("Bench=break\n")
    with pytest.raises(BenchFault, match=r"exit code 3:\n  it broke in the middle"):
        build_allure(results, tmp_path / "out", lambda: find(install=False))
    assert not (tmp_path / "out" / PAGE).exists()


def test_a_program_that_fails_leaves_the_history_as_it_was(program, results, tmp_path):
    program()
    (results / "environment.properties").write_text("Bench=break\n")
    (path := tmp_path / "history.jsonl").write_text(run(1) + "\n" + run(5) + "\n")
    with pytest.raises(BenchFault):
        build_allure(results, tmp_path / "out", lambda: find(install=False), history=path)
    assert path.read_text() == run(1) + "\n" + run(5) + "\n"


def test_a_place_that_cannot_be_written_is_one_message(program, results, tmp_path):
    program()
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UsageError, match="cannot be written"):
        build_allure(results, tmp_path / "out", lambda: find(install=False))


# As a user


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("--install",), ("records", "--allure", "x"), ("--markdown", "--allure", "x")])
def test_options_that_do_not_go_together_are_one_message(arguments):
    told = hil("report", *arguments)
    assert (told.returncode, len(told.stderr.splitlines())) == (2, 1)
