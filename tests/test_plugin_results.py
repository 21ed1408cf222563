"""What a run tells: header, summary, and everything that Allure is given, the same from run to run."""

from __future__ import annotations

import json

import pytest
from pytest_runs import suite

from hil.model import KIB

pytestmark = pytest.mark.slow  # whole runs of pytest in processes of their own
ALIAS = "rtx-4080-ut4g-dock"
SUITE = f'''
    import pytest

    from hil.errors import BenchFault, DeviceFault
    from hil.plugin.run import next_epoch

    pytestmark = pytest.mark.severity("critical")

    @pytest.mark.parametrize("nbytes", [64, {4 * KIB}])
    def test_moves_bytes(transfer, nbytes):
        """What it is about.

        A failure means that bytes are lost.
        """
        transfer.round_trip(nbytes)

    def test_device_fault(device):
        raise DeviceFault("the device did wrong")

    def test_bench_fault(device):
        raise BenchFault("a cable of ours")

    def test_plain_assertion(device):
        assert 1 + 1 == 3

    def test_figures(measure, device):
        measure("h2d", 3.0, unit="GB/s", at_least=2.8)
        measure("gap", 2.81, unit="GB/s", at_least=2.8)
        measure("latency", 9.0, unit="us", at_most=5.0)

    @pytest.mark.skip(reason="not today")
    def test_skipped(device):
        pass

    @pytest.mark.xfail(reason="a known one", strict=True)
    def test_expected_to_fail(device):
        raise DeviceFault("as ever")

    def test_epochs(request, device):
        print("epochs", next_epoch(request.config), next_epoch(request.config))

    def test_bug_of_ours(device):
        device.require_gpu(1)
'''
RATES = """
    from hil.model import Direction

    def test_rate(throughput):
        throughput.sample(Direction.H2D, 1000000, rounds=3)
        throughput.sample(Direction.D2H, 1000000, rounds=3)
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same suite run twice, with one seed."""
    folder = tmp_path_factory.mktemp("results")
    with suite(folder) as made:
        made.write(test_matters=SUITE)
        first = made.run("--hil-seed=41", "-rP", allure=True)
        history = {name: fact["historyId"] for name, fact in first.results().items()}
        second = made.run("--hil-seed=41", "-rP", allure=True)
        yield first, history, second
        assert made.left_over() == []


@pytest.fixture
def run(runs):
    return runs[2]


def test_the_header_tells_what_was_looked_for_and_why_the_simulated_machine_runs(tmp_path):
    with suite(tmp_path) as made:
        made.write(test_x=RATES)
        run = made.run("-p", "no:benchmark")

    assert run.code == 0  # throughput is measured without pytest-benchmark, too
    assert "bench sim:macbook-pro-usb4 (simulated), because: no NVIDIA GPU here: " in run.line("hil ")
    assert "PCI functions (looked at /sys/bus/thunderbolt/devices, /sys/bus/pci/devices" in run.line("hil ")
    assert run.line("host:").strip() == "host: MacBook Pro, Darwin 26.1, arm64"
    assert run.line("device:").strip() == (
        f"device: {ALIAS}: NVIDIA GeForce RTX 4080, 16.0 GiB, in ADT-Link UT4G Dock (usb4, 40 Gb/s (2 × 20)), "
        "engine simulated"
    )
    seed = run.line("seed:").split()[1]
    assert f"--hil-seed={seed} repeats this run" in run.line("seed:")


def test_history_ids_and_test_ids_are_the_same_from_run_to_run(runs):
    first, history, second = runs

    assert list(first.outcomes()) == list(second.outcomes())
    assert {name: fact["historyId"] for name, fact in second.results().items()} == history
    assert len(set(history.values())) == len(history) == 10


def test_parameters_are_plain_and_the_device_is_one_by_alias(run):
    facts = run.results()["test_moves_bytes[rtx-4080-ut4g-dock-64]"]

    telling = {(p["name"], p["value"]) for p in facts["parameters"] if not p.get("excluded")}
    assert telling == {("device", f"'{ALIAS}'"), ("nbytes", "64")}


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("test_moves_bytes[rtx-4080-ut4g-dock-64]", "passed"),
        ("test_device_fault[rtx-4080-ut4g-dock]", "failed"),
        ("test_bench_fault[rtx-4080-ut4g-dock]", "broken"),
        ("test_plain_assertion[rtx-4080-ut4g-dock]", "failed"),
        ("test_figures[rtx-4080-ut4g-dock]", "failed"),
        ("test_skipped[rtx-4080-ut4g-dock]", "skipped"),
        ("test_expected_to_fail[rtx-4080-ut4g-dock]", "skipped"),
    ],
)
def test_a_device_fault_is_failed_and_a_bench_fault_is_broken(run, name, status):
    assert run.results()[name]["status"] == status


@pytest.mark.parametrize("name", ["test_device_fault", "test_skipped", "test_moves_bytes"])
def test_labels_say_where_what_and_that_it_was_simulated(run, name):
    labels = run.labels(next(full for full in run.results() if full.startswith(name)))

    assert labels["suite"] == {"matters"}
    assert labels["parentSuite"] == {run.folder.name}
    assert labels["severity"] == {"critical"}
    assert labels["hil"] == {"simulated"}
    assert "simulated" in labels["tag"]
    assert labels["device"] == {ALIAS}
    assert labels["bench"] == {"sim:macbook-pro-usb4"}
    assert (labels["link"], labels["engine"]) == ({"usb4"}, {"simulated"})


def test_the_docstring_is_the_description_without_its_indentation(run):
    text = run.results()["test_moves_bytes[rtx-4080-ut4g-dock-64]"]["description"]

    assert text == "What it is about.\n\nA failure means that bytes are lost."


def test_steps_tell_what_was_done(run):
    steps = [step["name"] for step in run.results()["test_moves_bytes[rtx-4080-ut4g-dock-64]"]["steps"]]

    assert steps == ["64 B host → device → host, pinned"]


def test_figures_are_shown_with_unit_limits_and_verdict(run):
    name = "test_figures[rtx-4080-ut4g-dock]"

    assert run.attached(name, "h2d: 3 GB/s").endswith("at least: 2.8\nat most: None\nok")
    assert run.attached(name, "gap: 2.81 GB/s").endswith("marginal")
    assert run.results()[name]["statusDetails"]["message"].endswith("latency is 9 us; expected ≤ 5 us")


def test_files_beside_the_results_say_what_ran_and_sort_the_failures(run):
    folder = run.folder / "allure"
    categories = json.loads((folder / "categories.json").read_text())
    lines = (folder / "environment.properties").read_text().splitlines()

    assert [c["name"] for c in categories] == ["Regression", "Device fault", "Bench fault"]
    assert {"Bench=sim\\:macbook-pro-usb4", "Simulated=yes", "Seed=41"} <= set(lines)
    assert any(line.startswith(f"Device\\ {ALIAS}=") for line in lines)


def test_a_seed_repeats_the_epochs(runs):
    first, _, second = runs

    assert first.line("epochs ") == second.line("epochs ") == "epochs 45 46"  # two transfers came before


def test_a_failure_shows_the_tests_own_line_and_the_message_but_nothing_of_ours(run):
    shown = run.out[run.out.index("_ test_figures") : run.out.index("_ test_bug_of_ours")]

    assert '>       measure("latency", 9.0, unit="us", at_most=5.0)' in shown
    assert "E       hil.errors.DeviceFault: latency is 9 us; expected ≤ 5 us" in shown
    assert "fixtures/measure.py" not in shown


def test_a_bug_of_ours_is_shown_with_its_whole_way(run):
    assert "TypeError: Device.require_gpu() takes 1 positional argument" in run.out


def test_the_summary_lists_what_failed_what_is_broken_and_where_the_report_is(run):
    lines = run.summary()

    assert lines[0] == f"bench     sim:macbook-pro-usb4 (simulated): {ALIAS}"
    assert lines[1].startswith("verdict   NOT good: ")
    assert " broken" in lines[1]
    assert " passed" in lines[1]
    assert f"failed    test_matters.py::test_device_fault[{ALIAS}]: DeviceFault: the device did wrong" in lines
    assert any(line.startswith("at hop    ") and "device (" in line and "bench (" in line for line in lines)
    assert f"broken    test_matters.py::test_bench_fault[{ALIAS}]: BenchFault: a cable of ours" in lines
    assert "skipped   1 × not today" in lines
    assert lines[-1] == "report    Allure results in allure"


def test_samples_are_replayed_into_pytest_benchmark_in_device_time(tmp_path):
    with suite(tmp_path) as made:
        made.write(test_x=RATES)
        run = made.run("--hil-bench=sim", "--benchmark-json=figures.json", allure=True)

    figures = json.loads((tmp_path / "figures.json").read_text())["benchmarks"]
    samples = json.loads(run.attached(f"test_rate[{ALIAS}]", f"H2D: {figures[0]['extra_info']['GB/s']:.2f} GB/s"))
    assert run.code == 0
    assert [figure["name"] for figure in figures] == [f"test_rate[{ALIAS}]"]
    assert figures[0]["extra_info"]["direction"] == "H2D"  # what was measured first
    assert figures[0]["stats"]["rounds"] == 3
    assert figures[0]["stats"]["median"] == pytest.approx(sorted(samples["seconds"])[1])
