"""A card that gets too warm: what it tells, and how slow it becomes, while it works and while it cools down."""

from __future__ import annotations

import math

import pytest
from fault_rig import kind, seconds
from sim_rig import MIB, rigs, round_numbers

from hil.model import Direction
from hil.sim.nvml import Nvml

FAULT = "thermal-throttle:threshold_c=80,factor=0.5,time_constant_s=2,gpu=0"
SLOW = round_numbers(h2d_gb_s=0.25)
"""Cards that need not move much to work for long."""
THERMAL = 0x20


@pytest.fixture
def switch_on():
    with rigs() as start:
        yield start


class Told:
    """What NVML says of a card."""

    def __init__(self, rig, index: int = 0) -> None:
        self._rig = rig
        self._nvml = rig.do(Nvml, rig.machine)
        self._handle = self._ask("nvmlDeviceGetHandleByIndex_v2", index=index)["device"]

    def _ask(self, function: str, **given: object) -> dict[str, int]:
        return self._rig.do(self._nvml.request, {"function": function, "given": given}, b"")[0]["values"]

    def value(self, function: str, **given: object) -> int:
        return self._ask(function, device=self._handle, **given)["value"]

    @property
    def celsius(self) -> int:
        return self.value("nvmlDeviceGetTemperature", sensor=0)

    @property
    def megahertz(self) -> int:
        return self.value("nvmlDeviceGetClockInfo", clock=0)

    @property
    def throttled(self) -> bool:
        names = "nvmlDeviceGetCurrentClocksThrottleReasons", "nvmlDeviceGetCurrentClocksEventReasons"
        first, second = (bool(self.value(name) & THERMAL) for name in names)
        assert first is second
        return first


def work(rig, seconds_long: float, target: str = "0") -> float:
    """Copy for about so many seconds; bytes/s of the last copy."""
    engine = rig.engine(target)
    here, there = engine.host_alloc(16 * MIB), engine.alloc(16 * MIB)
    begin = now = rig.machine.clock.now()
    while now - begin < seconds_long:
        start, now = now, None
        engine.upload(there, here, 16 * MIB)
        engine.synchronize()
        now = rig.machine.clock.now()
    engine.close()
    return 16 * MIB / (now - start)


def test_a_card_warms_up_slows_down_and_says_why(switch_on):
    rig = switch_on(SLOW, FAULT)
    told, fast = Told(rig), work(rig, 0.1)
    cold, clock = told.celsius, told.megahertz
    assert not told.throttled

    slow = work(rig, 6.0)

    assert cold < 45
    assert told.celsius == 80
    assert told.throttled
    assert told.megahertz == pytest.approx(clock / 2, rel=0.01)
    assert slow == pytest.approx(fast / 2, rel=0.05)


def test_it_takes_its_time_to_get_warm(switch_on):
    rig = switch_on(SLOW, FAULT)
    told = Told(rig)

    work(rig, 1.0)
    first = told.celsius
    work(rig, 1.0)

    assert 45 < first < told.celsius < 80
    assert not told.throttled


def test_it_cools_down_and_is_fast_again(switch_on):
    rig = switch_on(SLOW, FAULT)
    told, fast = Told(rig), work(rig, 0.1)
    work(rig, 6.0)

    rig.host().clock.sleep(10.0)

    assert told.celsius < 45
    assert not told.throttled
    assert work(rig, 0.05) == pytest.approx(fast, rel=0.01)


@pytest.mark.parametrize("threshold", [60, 95])
def test_clocks_fall_by_the_factor_wherever_the_threshold_lies(switch_on, threshold):
    rig = switch_on(SLOW, f"thermal-throttle:threshold_c={threshold},factor=0.8,time_constant_s=1")
    told = Told(rig)
    work(rig, 0.05)
    clock = told.megahertz

    work(rig, 4.0)

    assert told.celsius == threshold
    assert told.megahertz == pytest.approx(0.8 * clock, rel=0.01)
    assert told.value("nvmlDeviceGetClockInfo", clock=2) == rig.machine.gpus[0].spec.memory_mhz


def test_the_other_card_stays_as_it_was(switch_on):
    rig, well = switch_on(SLOW, FAULT), switch_on(SLOW)

    work(rig, 6.0, target="1")
    work(well, 6.0, target="1")

    assert Told(rig, 1).celsius == Told(well, 1).celsius
    assert not Told(rig, 1).throttled
    assert seconds(rig, Direction.D2H, target="1") == pytest.approx(seconds(well, Direction.D2H, target="1"))


def test_a_path_that_carries_nothing_warms_nothing():
    fault = kind("thermal-throttle")

    class Site:
        def now(self) -> float:
            return 1.0

    made = fault(fault.Parameters(), Site())

    assert made.on_bandwidth(0, Direction.H2D, 0.0) == 0.0
    assert made.on_temperature(0, 40.0) == 40.0


def test_what_comes_late_or_costs_little_is_below_the_sight_of_a_soak():
    fault = kind("thermal-throttle")

    assert fault.below_sight(fault.Parameters(factor=0.9, time_constant_s=60)) == ""
    assert "96 % of the rate when cold" in fault.below_sight(fault.Parameters(factor=0.96))
    assert "after 129 s of full load" in fault.below_sight(fault.Parameters(time_constant_s=80))


def test_it_comes_when_its_sight_says_so(switch_on):
    rig = switch_on(SLOW, "thermal-throttle:time_constant_s=4,factor=0.5,gpu=0")
    told = Told(rig)

    work(rig, 0.95 * 4 * math.log(5))
    assert not told.throttled
    work(rig, 0.1 * 4 * math.log(5))
    assert told.throttled
