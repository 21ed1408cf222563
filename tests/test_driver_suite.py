"""The driver suite on benches that no shipped profile is: two cards of one name, a domain that revokes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_runs import ROOT, Suite

import hil.sim

pytestmark = pytest.mark.slow
PROFILES = Path(hil.sim.__file__).parent / "profiles"
CARD = (
    ("NVIDIA RTX 6000 Ada Generation", "NVIDIA GeForce RTX 4090"),
    ("0x26b1", "0x2684"),
    ("subsystem_vendor_id = 0x10de", "subsystem_vendor_id = 0x1043"),
    ("0x16a1", "0x889b"),
    ("vram_mib = 49140", "vram_mib = 24564"),
    ("eGPU Node Titan", "TH3P4G3 Plus"),
)
"""What makes the first card of linux-two-enclosures the second's twin."""


@pytest.fixture
def run(tmp_path):
    """Runs files of the driver suite on a shipped profile with changes to its text."""

    def one(name: str, changes: tuple[tuple[str, str], ...], *files: str):
        text = (PROFILES / f"{name}.toml").read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        (tmp_path / "own.toml").write_text(text, encoding="utf-8")
        lab = Suite(ROOT)
        done = lab.run(*(f"suites/driver/{file}" for file in files), "--hil-bench", f"sim:{tmp_path}/own.toml", "-rs")
        lab.tmp.rmdir()
        return done

    return one


def test_two_cards_of_one_name_are_never_confused(run):
    done = run("linux-two-enclosures", CARD, "test_topology.py", "test_enumeration.py")
    outcomes = done.outcomes()

    assert done.code == 0, done.out
    assert sum("rtx-4090" in test for test in outcomes) == len(outcomes)
    assert {test for test, was in outcomes.items() if was != "PASSED" and "another_port" not in test} == set()


def test_where_nothing_can_be_revoked_the_suite_sees_to_it_that_nothing_is(run):
    fixed = (('port_kind = "usb4"\n', 'port_kind = "usb4"\ndeauthorization = false\n'),)

    done = run("linux-daisy-chain", fixed, "test_authorization.py")
    passed = {test.partition("[")[0] for test, was in done.outcomes().items() if was == "PASSED"}

    assert done.code == 0, done.out
    assert passed == {
        "test_a_domain_that_cannot_revoke_says_so_and_keeps_the_tunnel",
        "test_levels_that_make_no_sense_are_refused_and_change_nothing",
    }
    assert "revocation: its domain does not let an authorization be revoked" in done.out
