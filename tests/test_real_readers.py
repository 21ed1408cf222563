"""The real programs of a Linux bench read the simulated machine: libudev, boltd, libusb, lspci, and hil itself.

umockdev shows them the machine's device tree as ``/sys`` and ``/dev/bus/usb``. Not one of hil's hosts but `local` takes
part, so what is tested here is that host and discovery against the real libraries.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hil.sim import profile
from hil.sim.machine import Machine
from tests.machine_host import MachineHost
from tests.umockdev_tree import description

PATIENCE = 60.0
"""Real seconds after which a program that reads is given up; each needs one or two."""
BOLTD = Path("/usr/libexec/boltd")
PROFILES = ("linux-daisy-chain", "linux-two-enclosures", "empty-linux")
pytestmark = pytest.mark.slow


def needs(program: str) -> None:
    """Skip where `program` is not installed; fail where the run was promised all of them."""
    if shutil.which(program) is None and not Path(program).exists():
        if os.environ.get("HIL_ALL_PROGRAMS"):
            pytest.fail(f"{program} is not installed, and HIL_ALL_PROGRAMS says that it is")
        pytest.skip(f"{program} is not installed")


@pytest.fixture
def seen_by(tmp_path: Path):
    """Run a command for which the machine of a profile is ``/sys``; what it printed."""

    def run(name: str, *command: str) -> str:
        needs("umockdev-run")
        tree = tmp_path / f"{name}.umockdev"
        tree.write_text(description(Machine(profile.load(name))))
        done = subprocess.run(
            ["umockdev-run", "--device", str(tree), "--", *command],
            capture_output=True, text=True, timeout=PATIENCE, check=False, env={**os.environ, "HOME": str(tmp_path)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def inventory_of(machine_or_text: str) -> dict[str, Any]:
    """What `hil list --json` told, without what only the card's own driver and the real host could tell."""
    found = json.loads(machine_or_text)["inventory"]
    for gpu in found["gpus"]:
        del gpu["id"], gpu["uuid"], gpu["vram_bytes"]
    for device in found["usb"]:
        del device["controller"]
    return {key: found[key] for key in ("domains", "routers", "functions", "gpus", "usb")}


@pytest.mark.parametrize("name", PROFILES)
def test_the_local_host_finds_what_the_simulated_one_finds(seen_by, name: str) -> None:
    command = (sys.executable, "-m", "hil.cli", "list", "--json", "--bench")
    simulated = subprocess.run([*command, f"sim:{name}"], capture_output=True, text=True, check=True).stdout
    assert inventory_of(seen_by(name, *command, "local")) == inventory_of(simulated)


@pytest.mark.parametrize("name", PROFILES)
def test_lspci_finds_every_function(seen_by, name: str) -> None:
    needs("lspci")
    listed = {line.split()[0] for line in seen_by(name, "lspci", "-D", "-n").splitlines()}
    assert listed == set(MachineHost(Machine(profile.load(name))).list("/sys/bus/pci/devices"))


def test_lsusb_finds_the_devices_of_both_enclosures(seen_by) -> None:
    needs("lsusb")
    listed = seen_by("linux-daisy-chain", "lsusb")
    assert listed.count("ID 2109:0817") == 2
    assert "eGPU Node Lite hub" in listed


def test_boltd_knows_the_enclosures_their_chain_and_their_links(seen_by, tmp_path: Path) -> None:
    needs(str(BOLTD))
    needs("dbus-run-session")
    script = tmp_path / "ask.sh"
    (tmp_path / "db").mkdir()
    # boltd writes down what it has seen; boltctl starts to answer when it is on the bus.
    script.write_text(
        "export DBUS_SYSTEM_BUS_ADDRESS=$DBUS_SESSION_BUS_ADDRESS\n"
        f"export BOLT_DBPATH={tmp_path}/db RUNTIME_DIRECTORY={tmp_path}\n"
        f"{BOLTD} >/dev/null 2>&1 &\n"
        "for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do\n"
        "  if boltctl list -a 2>/dev/null; then break; fi; sleep 0.25; done\n"
        "kill $!\n"
    )
    told = seen_by("linux-daisy-chain", "dbus-run-session", "--", "sh", str(script))
    host = MachineHost(Machine(profile.load("linux-daisy-chain")))
    for name in ("0-1", "0-301"):
        unique = host.read(f"/sys/bus/thunderbolt/devices/{name}/unique_id").decode().strip()
        block = told[told.index(unique) :].split("\n * ", 1)[0]
        assert "status:        authorized" in block
        assert "rx speed:   40 Gb/s = 2 lanes * 20 Gb/s" in block
