"""A lab's own package: installed beside the wheel, its engine, actuator, fault and profile plug in by entry point."""

import json
import subprocess
import sys
import textwrap
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.slow

PACKAGE = {
    "pyproject.toml": """
        [build-system]
        requires = ["hatchling"]
        build-backend = "hatchling.build"
        [project]
        name = "acme-hil"
        version = "1"
        [project.entry-points."hil.copy_engines"]
        acme = "acme_hil:AcmeEngine"
        [project.entry-points."hil.actuators"]
        acme = "acme_hil:AcmePlug"
        [project.entry-points."hil.faults"]
        acme-zeros = "acme_hil:Zeros"
        [project.entry-points."hil.profiles"]
        acme-rack = "acme_hil:PROFILE"
        """,
    "acme_hil/__init__.py": '''
        """What ACME's lab adds to hil."""
        from pathlib import Path

        from hil.control.simulated import SimulatedPlug
        from hil.copy.simulated import SimulatedEngine
        from hil.sim.faults.base import Fault, Trigger

        PROFILE = Path(__file__).with_name("rack.toml")


        class AcmeEngine(SimulatedEngine):
            name = "acme"


        class AcmePlug(SimulatedPlug):
            name = "acme"


        class Zeros(Fault):
            """Every write to the card's memory arrives as zeros."""

            name = "acme-zeros"
            domain = "memory"
            story = "A rail that sags under load."
            seen_by = "transfer"
            Parameters = Trigger

            def on_vram_write(self, gpu, address, data):
                return bytes(len(data)) if self.strikes(gpu, len(data)) else data
        ''',
    "acme_hil/rack.toml": """
        summary = "ACME's rack"
        [host]
        system = "Darwin"
        model = "Mac mini"
        os_version = "26.1"
        driver_version = "1.0.4"
        [[enclosure]]
        name = "Rack Unit"
        vendor = "ACME"
        vendor_id = 0x1234
        device_id = 0x5678
        uid = "1234567890abcdef"
        kind = "usb4"
        lane_gbps = 20.0
        lanes = 2
        [[gpu]]
        name = "NVIDIA GeForce RTX 4080"
        device_id = 0x2704
        uuid = "GPU-00000000-0000-0000-0000-000000000001"
        enclosure = "Rack Unit"
        vram_mib = 1024
        h2d_gb_s = 3.0
        d2h_gb_s = 3.0
        [allow]
        unplug = true
        [[actuator]]
        kind = "acme"
        enclosure = "Rack Unit"
        """,
}
SUITE = {
    "conftest.py": """
        pytest_plugins = ["hil.fixtures.transfer", "hil.fixtures.hotplug"]
        """,
    "test_acme.py": '''
        """ACME's own suite, ten lines."""
        import pytest


        def test_bytes_pass(transfer):
            transfer.round_trip(4097)


        @pytest.mark.needs("hotplug")
        def test_comes_back(device, hotplug, transfer):
            hotplug.detach(orderly=True)
            hotplug.attach()
            transfer.round_trip(4097)
            assert device.facts.engine == "acme"
        ''',
}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text).lstrip(), encoding="utf-8")


def run(*command: object, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], cwd=folder, capture_output=True, text=True, check=False, timeout=600
    )


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A bare environment with the wheel, ACME's package, and nothing of this checkout on its path."""
    folder = tmp_path_factory.mktemp("lab")
    write(folder / "acme", PACKAGE)
    write(folder / "suite", SUITE)
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    # From a copy of what git would ship: building must not depend on what lies about in a checkout.
    for what in (f"{ROOT}[allure]", folder / "acme"):
        done = run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", what, folder=folder)
        assert done.returncode == 0, done.stderr
    return folder


def pytest_in(lab: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return run(lab / "venv/bin/pytest", "-q", "-p", "no:cacheprovider", *options, folder=lab / "suite")


def test_a_ten_line_suite_runs_from_the_wheel(lab):
    done = pytest_in(lab, "--hil-bench", "sim", "-k", "bytes", "--alluredir", "allure")

    assert done.returncode == 0, done.stdout
    (result,) = (lab / "suite" / "allure").glob("*-result.json")
    assert json.loads(result.read_text())["status"] == "passed"


def test_profile_actuator_and_engine_plug_in_by_entry_point(lab):
    bench = """
        name = "acme"
        [host]
        kind = "simulated"
        profile = "acme-rack"
        [[device]]
        alias = "unit-1"
        id = "1234567890abcdef/10de-2704-10de-0000/0"
        engine = "acme"
        [allow]
        unplug = true
        [[actuator]]
        kind = "acme"
        enclosure = "Rack Unit"
        """
    write(lab / "suite", {"bench.toml": bench})

    done = pytest_in(lab, "--hil-bench", "bench.toml", "-v")

    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
    assert "unit-1" in done.stdout


def test_a_fault_plugs_in_by_entry_point(lab):
    done = pytest_in(lab, "--hil-bench", "sim:acme-rack", "--hil-fault", "acme-zeros", "-k", "bytes")

    assert done.returncode == 1, done.stdout
    assert "DataCorrupt" in done.stdout
    assert "zero" in done.stdout


def test_what_is_plugged_in_is_named_by_the_commands(lab):
    done = run(lab / "venv/bin/hil", "profiles", folder=lab)

    assert "acme-rack" in done.stdout, done.stderr
    assert sys.prefix not in done.stdout
