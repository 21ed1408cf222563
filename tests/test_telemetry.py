"""A card's own figures: the thermal model behind them, and their reading through NVML."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import pynvml
import pytest
from sim_rig import MIB, Rig

from hil.discovery import discover, glance
from hil.errors import DeviceGone, DriverError, NotSupported
from hil.hosts.nvml_session import nvml_session
from hil.model import Direction, Gpu, from_dict, to_dict
from hil.sim import profile, thermal
from hil.sim.faults.base import Fault, Site, Trigger
from hil.sim.thermal import AVERAGE_SECONDS, IDLE_CELSIUS, IDLE_WATTS, TEMPERATURE_SECONDS, Thermal
from hil.watch import TelemetrySample, sample, sampling

LINUX = "linux-two-enclosures"
RATE = 0.2
"""GB/s"""
ADA, GEFORCE = "GPU-a85e2c10-54f7-4f0d-8a0b-6a1f1c9be702", "GPU-0b6d6f8e-27c3-4d55-bb5e-90d4a3cf2e11"


@pytest.fixture
def switch_on() -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def start(chosen: Any = None, *faults: Any) -> Rig:
        rigs.append(Rig(chosen or slow_links(), *faults))
        return rigs[-1]

    yield start
    for rig in rigs:
        rig.close()


def slow_links() -> profile.Profile:
    """A second of copies is 200 MB here: real memory has to move it all."""
    known = profile.load(LINUX)
    return known.model_copy(update={"gpu": tuple(g.model_copy(update={"h2d_gb_s": RATE}) for g in known.gpu)})


def gpu_of(rig: Rig) -> Gpu:
    found = discover(rig.host()).gpu(ADA)
    assert found is not None
    return found


def answers(**changes: Any) -> Callable[[Site], Fault]:
    """A fault that changes what NVML functions answer: ``nvmlX={"code": 3}``."""

    class Liar(Fault):
        name = "liar"

        def on_nvml(self, function: str, answer: Any) -> Any:
            return {**answer, **changes.get(function, {})}

    return lambda site: Liar(Trigger(), site)


def analogue(*, celsius: float | None = None, watts: float | None = None, hertz: float | None = None) -> Any:
    """A fault of the sensors of card 0."""

    class Sensor(Fault):
        name = "sensor"

        def on_temperature(self, gpu: int, value: float) -> float:
            return value if celsius is None or gpu else celsius

        def on_power(self, gpu: int, value: float) -> float:
            return value if watts is None or gpu else watts

        def on_clock_rate(self, gpu: int, domain: str, value: float) -> float:
            return value if hertz is None or gpu or domain != "graphics" else hertz

    return lambda site: Sensor(Trigger(), site)


def copy_for(rig: Rig, seconds: float) -> None:
    """Upload for about so many seconds of the machine's clock."""
    engine = rig.engine("0")
    buffer, there = engine.host_alloc(4 * MIB), engine.alloc(4 * MIB)
    for _ in range(max(1, round(seconds * RATE * 1e9 / (4 * MIB)))):
        engine.upload(there, buffer, 4 * MIB)
    engine.synchronize()


# The model


def spec() -> profile.GpuSpec:
    return profile.load(LINUX).gpu[0]


def busy(card: Thermal, start: float, end: float, step: float = 0.01) -> None:
    """Full rate from `start` to `end`."""
    for n in range(round((end - start) / step)):
        card.moved(round(card.spec.h2d * step), Direction.H2D, start + (n + 1) * step)


def test_an_idle_card_stays_as_it_is():
    card = Thermal(spec())

    assert (card.celsius(1000.0), card.watts(1000.0), card.busy(1000.0)) == (IDLE_CELSIUS, IDLE_WATTS, 0.0)


def test_power_follows_the_copies_of_the_last_second():
    card = Thermal(spec())
    busy(card, 0.0, 5 * AVERAGE_SECONDS)
    full = IDLE_WATTS + thermal.COPY_SHARE * (card.spec.power_limit_w - IDLE_WATTS)

    assert card.watts(5 * AVERAGE_SECONDS) == pytest.approx(full, rel=0.02)
    assert card.watts(6 * AVERAGE_SECONDS) - IDLE_WATTS == pytest.approx((full - IDLE_WATTS) * 0.368, rel=0.02)
    assert card.watts(30 * AVERAGE_SECONDS) == pytest.approx(IDLE_WATTS, abs=1e-6)


def test_temperature_rises_with_its_own_time_constant_and_falls_again():
    card = Thermal(spec())
    step = thermal.KELVIN_PER_WATT * thermal.COPY_SHARE * (card.spec.power_limit_w - IDLE_WATTS)
    busy(card, 0.0, TEMPERATURE_SECONDS)
    warm = card.celsius(TEMPERATURE_SECONDS) - IDLE_CELSIUS

    assert warm == pytest.approx(step * 0.632, rel=0.05)
    assert card.celsius(2 * TEMPERATURE_SECONDS) - IDLE_CELSIUS == pytest.approx(warm * 0.368, rel=0.05)


def test_when_it_is_looked_at_does_not_matter():
    seldom, often = Thermal(spec()), Thermal(spec())
    for card in (seldom, often):
        busy(card, 0.0, 1.0)
    for n in range(1, 2000):
        often.celsius(1.0 + n * 0.01)

    assert often.celsius(21.0) == pytest.approx(seldom.celsius(21.0), rel=1e-9)
    assert often.celsius(20.0) == often.celsius(21.0)  # time does not go back


def test_no_more_than_busy_can_a_card_be():
    card = Thermal(spec())

    card.moved(1 << 40, Direction.D2D, 0.0)

    assert card.busy(0.0) == 1.0


# Through NVML


def test_an_idle_card_is_cool_slow_and_says_why(switch_on):
    rig = switch_on()

    taken = sample(rig.host(), gpu_of(rig))

    assert taken == TelemetrySample(
        time=0.0,
        temperature_c=38,
        power_w=16.0,
        graphics_mhz=210,
        memory_mhz=405,
        performance_state=8,
        throttle_reasons=("idle",),
        pcie_generation=4,
        pcie_width=4,
        pcie_replays=0,
        memory_used_bytes=64 * MIB,
    )
    assert from_dict(TelemetrySample, to_dict(taken)) == taken


def test_copies_warm_the_card_and_it_cools_down_again(switch_on):
    rig = switch_on()
    host, gpu = rig.host(), gpu_of(rig)
    with sampling(host, gpu) as take:
        before = take()
        copy_for(rig, 1.0)
        warm = take()
        host.clock.sleep(300.0)
        after = take()

    assert warm.power_w > before.power_w + 30
    assert warm.temperature_c >= before.temperature_c
    assert (warm.performance_state, warm.throttle_reasons) == (0, ())
    assert (warm.graphics_mhz, warm.memory_mhz) == (2520, 10501)
    assert warm.time == pytest.approx(1.0, rel=0.1)
    assert (after.power_w, after.temperature_c, after.performance_state) == (16.0, 38, 8)


def test_the_same_work_gives_the_same_figures_on_every_machine(switch_on):
    taken = []
    for _ in range(2):
        rig = switch_on()
        copy_for(rig, 0.3)
        taken.append(sample(rig.host(), gpu_of(rig)))

    assert taken[0] == taken[1]


def test_copies_of_one_card_leave_the_other_cold(switch_on):
    rig = switch_on()
    copy_for(rig, 0.3)

    other = next(gpu for gpu in discover(rig.host()).gpus if gpu.id != ADA)

    assert sample(rig.host(), other).performance_state == 8


def test_utilization_is_low_while_nothing_moves_and_high_while_something_does(switch_on):
    rig = switch_on()
    with nvml_session(rig.host()) as session, session.use() as nv:
        card = nv.nvmlDeviceGetHandleByUUID(ADA)
        idle = nv.nvmlDeviceGetUtilizationRates(card)
        copy_for(rig, 1.0)
        at_work = nv.nvmlDeviceGetUtilizationRates(card)

        assert (idle.gpu, idle.memory) == (0, 0)
        assert at_work.gpu > 50
        assert nv.nvmlDeviceGetEnforcedPowerLimit(card) == 320_000
        assert nv.nvmlDeviceGetMaxClockInfo(card, pynvml.NVML_CLOCK_MEM) == 10501
        assert nv.nvmlDeviceGetTemperatureV(card, 0) == nv.nvmlDeviceGetTemperature(card, 0)
        assert nv.nvmlDeviceGetCurrentClocksEventReasons(card) == nv.nvmlDeviceGetCurrentClocksThrottleReasons(card)


def test_a_workstation_card_tells_its_default_application_clock_and_both_their_thresholds(switch_on):
    with nvml_session(switch_on().host()) as session, session.use() as nv:
        cards = [nv.nvmlDeviceGetHandleByUUID(uuid) for uuid in (ADA, GEFORCE)]
        default, now = pynvml.NVML_CLOCK_ID_APP_CLOCK_DEFAULT, pynvml.NVML_CLOCK_ID_CURRENT

        assert nv.nvmlDeviceGetClock(cards[0], pynvml.NVML_CLOCK_GRAPHICS, default) == 2016
        assert nv.nvmlDeviceGetClock(cards[0], pynvml.NVML_CLOCK_MEM, default) == 10501
        assert nv.nvmlDeviceGetClock(cards[1], pynvml.NVML_CLOCK_GRAPHICS, now) == 210
        with pytest.raises(pynvml.NVMLError_NotSupported):
            nv.nvmlDeviceGetClock(cards[1], pynvml.NVML_CLOCK_GRAPHICS, default)
        for card in cards:
            assert nv.nvmlDeviceGetTemperatureThreshold(card, pynvml.NVML_TEMPERATURE_THRESHOLD_SHUTDOWN) == 98
            assert nv.nvmlDeviceGetTemperatureThreshold(card, pynvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN) == 93
            with pytest.raises(pynvml.NVMLError_NotSupported):
                nv.nvmlDeviceGetTemperatureThreshold(card, pynvml.NVML_TEMPERATURE_THRESHOLD_MEM_MAX)


def test_a_temperature_reading_of_another_version_is_refused(switch_on):
    library = switch_on().host().nvml()
    library.nvmlInitWithFlags(0)
    handle, reading = pynvml.c_nvmlDevice_t(), pynvml.c_nvmlTemperature_v1_t()
    library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(0), ctypes.byref(handle))
    reading.version = 7

    assert library.nvmlDeviceGetTemperatureV(handle, ctypes.byref(reading)) == 25


@pytest.mark.parametrize(
    ("fault", "reasons"),
    [
        (analogue(celsius=85.0), {"thermal slowdown"}),
        (analogue(celsius=95.0), {"thermal slowdown", "hardware slowdown", "hardware thermal slowdown"}),
        (analogue(watts=330.0), {"power cap"}),
    ],
)
def test_a_card_at_its_limits_says_so(switch_on, fault, reasons):
    rig = switch_on(None, fault)

    assert set(sample(rig.host(), gpu_of(rig)).throttle_reasons) == reasons | {"idle"}


def test_a_card_too_hot_slows_down(switch_on):
    rig = switch_on(None, analogue(celsius=85.0))
    copy_for(rig, 0.2)

    taken = sample(rig.host(), gpu_of(rig))

    assert (taken.temperature_c, taken.graphics_mhz, taken.memory_mhz) == (85, 1260, 10501)


def test_faults_of_clocks_and_power_are_read(switch_on):
    rig = switch_on(None, analogue(watts=123.4, hertz=600e6))

    taken = sample(rig.host(), gpu_of(rig))

    assert (taken.power_w, taken.graphics_mhz) == (123.4, 600)


def test_what_a_card_does_not_tell_is_none(switch_on):
    silent = {
        f"nvmlDeviceGet{name}": {"code": 3}
        for name in ("PowerUsage", "CurrentClocksThrottleReasons", "PcieReplayCounter")
    }
    unknown = {
        "nvmlDeviceGetPerformanceState": {"values": {"value": 32}},
        "nvmlDeviceGetMemoryInfo": {"code": 13},
    }
    rig = switch_on()
    gpu = gpu_of(rig)

    taken = sample(switch_on(None, answers(**silent, **unknown)).host(), gpu)

    assert (taken.power_w, taken.throttle_reasons, taken.pcie_replays) == (None, None, None)
    assert (taken.performance_state, taken.memory_used_bytes) == (None, None)


def test_a_reason_that_nobody_has_named_is_told_by_its_bit(switch_on):
    rig = switch_on(None, answers(nvmlDeviceGetCurrentClocksThrottleReasons={"values": {"value": 0x8004}}))

    assert sample(rig.host(), gpu_of(rig)).throttle_reasons == ("power cap", "bit 0x8000")


def test_a_card_without_a_known_uuid_is_read_at_its_address(switch_on):
    host = switch_on().host()

    assert {sample(host, gpu).temperature_c for gpu in glance(host).gpus} == {38}


def test_a_card_that_is_pulled_while_it_is_sampled_is_gone(switch_on):
    rig = switch_on()
    gpu = gpu_of(rig)
    with sampling(rig.host(), gpu) as take:
        rig.do(rig.machine.detach, rig.machine.enclosures[0])
        with pytest.raises(DeviceGone) as lost:
            take()
    with pytest.raises(DeviceGone) as unknown:
        sample(rig.host(), gpu)

    assert (lost.value.code, unknown.value.code) == (15, 6)
    assert "NVIDIA RTX 6000 Ada Generation at 0000:04:00.0" in str(lost.value)


def test_another_error_of_nvml_is_the_drivers(switch_on):
    rig = switch_on(None, answers(nvmlDeviceGetTemperature={"code": 999}))

    with pytest.raises(DriverError, match="code 999") as caught:
        sample(rig.host(), gpu_of(rig))

    assert caught.value.code == 999


def test_where_there_is_no_nvml_the_reason_is_given(switch_on):
    mac = switch_on("macbook-pro-usb4").host()
    linux = profile.load(LINUX)
    bare = switch_on(linux.model_copy(update={"host": linux.host.model_copy(update={"driver_version": ""})})).host()

    with pytest.raises(NotSupported, match="macOS"):
        sample(mac, discover(mac).gpus[0])
    with pytest.raises(NotSupported, match="driver is not installed"):
        sample(bare, discover(bare).gpus[0])
