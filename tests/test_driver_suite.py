"""The driver suite on benches that no shipped profile is, and under faults that do not come with hil."""

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

FOREIGN = Path(__file__).with_name("foreign_faults.py")
LINUX, MAC = "linux-two-enclosures", "macbook-pro-usb4"
LIMITS, RESET = "test_load_keeps_the_card_within_its_limits", "test_each_reset_brings_the_device_back_as_it_was"
REPLUG = "test_the_gpus_own_link_is_what_it_was_after_a_replug"
WRITES = "test_none_of_many_small_writes_through_the_window_is_lost"


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


@pytest.mark.parametrize(
    ("faults", "profile", "test", "says"),
    [
        (
            ("ClockStuck", "MemoryClockStuck", "NoPower", "NoTemperature"),
            LINUX,
            LIMITS,
            (
                "its graphics clock stayed at 300 MHz under load",
                "its memory clock stayed at 405 MHz under load",
                "its power reads 0 W under load",
                "its temperature reads -40 °C, which no card has",
            ),
        ),
        (
            ("ClockBelowBase",),
            LINUX,
            LIMITS,
            ("its graphics clock fell to 1200 MHz under load, and its base is 2016 MHz",),
        ),
        (("SensorsFrozen",), LINUX, LIMITS, ("its sensors do not move",)),
        (("SlowerAfterReplug",), MAC, REPLUG, ("expected 16 GT/s x4 as before a re-plug, seen 8 GT/s x4",)),
        (("SlowerAfterReset",), MAC, RESET, ("expected 16 GT/s x4 as before a reset by default, seen 8 GT/s x4",)),
        (
            ("ErrorsMaskedAfterReset", "AsleepAfterReset"),
            MAC,
            RESET,
            ("uncorrectable error mask was 0x00000000, is 0x07fff030", "power state was 0x08, is 0x0b"),
        ),
        (
            ("AudioLostByReset",),
            LINUX,
            RESET,
            ("expected 10de:22ba as the host shows it, its config space reads ffff:ffff",),
        ),
        (("WritesLost",), MAC, WRITES, ("not written",)),
    ],
)
def test_a_fault_that_nobody_has_seen_before_fails_its_test_with_the_reason(faults, profile, test, says):
    lab = Suite(ROOT)
    planted = [word for fault in faults for word in ("--hil-fault", f"{FOREIGN}:{fault}")]

    chosen = ("-k", f"{test} and not x-4090")
    done = lab.run("suites/driver", "--hil-inline", "--hil-bench", f"sim:{profile}", *planted, *chosen)
    lab.tmp.rmdir()

    assert [was for name, was in done.outcomes().items() if name.startswith(test)] == ["FAILED"], done.out
    assert [text for text in says if text not in done.out] == []
