"""The suites on every shipped profile: at least sixty cases run on each device, and no skip that is not expected."""

import re

import pytest
from pytest_runs import HEAVY, ROOT, Suite

from hil.hosts.selection import DEFAULT_PROFILE
from hil.sim import profile

pytestmark = pytest.mark.slow

CASES = 60
"""At the least, on each device of each profile that has one."""
ALLOWED = {
    # A card in a slot has no cable to pull and no link of an enclosure; TinyGPU opens one GPU of a Mac, and here that
    # is the one in the enclosure, so that the registers of the other cannot be reached.
    "mac-pro-slot": {
        "rtx-a6000": r"(hotplug|enclosure|second port): it sits in no enclosure|"
        r"(registers|reset|window|bar_write): .*TinyGPU",
    },
    "linux-daisy-chain": {"rtx-4060-ti": "second port: its enclosure hangs behind eGPU Node Pro, not on a port"},
}
"""Reasons, as a pattern, for which a device's cases may be skipped, by profile and beginning of the alias."""
ANYWHERE = {
    # A Mac's cards tell neither watts nor degrees, and nothing there takes a GPU from its driver, bus or tunnel.
    "Darwin": r"sensors: NVML: there is none on macOS|"
    r"(unbind|remove|authorization|revocation|fixed authorization): no software of Darwin takes a GPU from its driver",
    "Linux": r"fixed authorization: its domain lets an authorization be revoked",
}
"""The same for any device of any profile, by the host's system."""
SKIPPED = re.compile(r"SKIPPED \[\d+\] (?P<place>[^:]+:\d+): (?P<reason>.*)")


@pytest.fixture(params=profile.shipped())
def run(request):
    lab = Suite(ROOT)
    chosen = () if request.param == DEFAULT_PROFILE else ("-k", f"not ({HEAVY})")
    done = lab.run("suites", "--hil-bench", f"sim:{request.param}", "-rs", *chosen)
    lab.tmp.rmdir()
    return request.param, done


def test_sixty_cases_run_on_each_device_and_only_expected_ones_are_skipped(run):
    name, done = run
    outcomes = done.outcomes()
    ran = [test for test, outcome in outcomes.items() if outcome == "PASSED"]
    cases = {alias: sum(f"[{alias}" in test for test in ran) for alias in aliases(done)}
    reasons = {match["reason"] for match in map(SKIPPED.match, done.out.splitlines()) if match}
    allowed = ALLOWED.get(name, {})

    assert done.code == 0, done.out
    assert all(count >= CASES for count in cases.values()), cases
    assert len({sum(f"[{alias}" in test for test in outcomes) for alias in cases}) <= 1, "not the same for each device"
    assert [reason for reason in sorted(reasons) if not expected(reason, allowed, name)] == []
    assert set(outcomes.values()) <= {"PASSED", "SKIPPED"}


def aliases(done) -> list[str]:
    lines = [line for line in done.out.splitlines() if line.startswith("  device: ")]
    return [line.removeprefix("  device: ").partition(":")[0] for line in lines if not line.endswith("none")]


def expected(reason: str, allowed: dict[str, str], name: str) -> bool:
    if "has no device" in reason:
        return name.startswith("empty-")
    chosen = profile.load(name)
    alias, _, missing = reason.partition(": ")
    patterns = [ANYWHERE[chosen.host.system], *(text for start, text in allowed.items() if alias.startswith(start))]
    if len(chosen.gpu) == 1:
        patterns.append("second device: no other device of the bench can be opened")
    if len(chosen.enclosure) == chosen.host.ports:
        patterns.append("second port: all ports of the host are taken")
    parts = re.split(r"; (?=[\w ]+: )", missing)
    return all(re.match("|".join(patterns), part) for part in parts)


def test_every_profile_says_what_it_is():
    assert all(profile.load(name).summary for name in profile.shipped())
