"""hil.throughput: sweeps, streams, pageable memory, soaks, reuse, clocks, conditions and figures."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_throughput import DOWN, RATES, SUBMIT, UP, HostTimedEngine, SteadyEngine, TickingClock

from hil.model import GB, KIB, MIB, Direction, LaneLink, PcieLink, to_dict
from hil.throughput import (
    BothWays,
    Conditions,
    Hockney,
    Residency,
    Reused,
    Samples,
    Soak,
    disagreement,
    fitted,
    measure_reuse,
    predicted_break_even,
    predicted_streamed,
    sample,
    sample_streams,
    soak,
    sweep,
)
from hil.throughput.figures import (
    figure_of_first,
    figures_of,
    figures_of_both,
    figures_of_fit,
    percentile_99,
)
from hil.throughput.soak import joined
from hil.throughput.sweep import BUDGET, SIZES, rounds_of, size_line
from hil.watch import TelemetrySample


def engine_of(kind: type[SteadyEngine] = SteadyEngine, **given) -> SteadyEngine:
    return kind(TickingClock(), **given)


def made(seconds: float, host: float, *, nbytes: int = 64 * MIB, device_time: bool = True) -> Samples:
    return Samples(
        direction=Direction.H2D,
        nbytes=nbytes,
        seconds=(seconds,) * 10,
        host_seconds=(host,) * 10,
        device_time=device_time,
    )


def test_a_sweep_finds_bandwidth_and_fixed_cost():
    engine = engine_of()

    found = sweep(engine, engine.clock, Direction.H2D, [4, 4 * KIB, MIB])
    fit = fitted(found)

    assert [one.nbytes for one in found] == [4, 4 * KIB, MIB]
    assert fit.beta == pytest.approx(UP, rel=1e-3)
    assert fit.alpha == pytest.approx(SUBMIT, rel=0.01)
    assert not engine.live
    line = size_line(found[-1], fit)
    assert line.split()[:2] == ["1", "MiB"]
    assert "10 samples" in line


def test_large_sizes_get_fewer_rounds_but_never_less_than_two():
    assert rounds_of(4) == (10, 4)
    for nbytes in SIZES:
        rounds, warmups = rounds_of(nbytes)
        assert rounds >= 2
        assert warmups >= 1
        assert (rounds + warmups) * nbytes <= max(BUDGET, 3 * nbytes)


@pytest.mark.parametrize("kind", [SteadyEngine, HostTimedEngine])
def test_streams_of_their_own_add_up(kind: type[SteadyEngine]):
    engine = engine_of(kind)

    found = sample_streams(engine, engine.clock, Direction.D2H, MIB, streams=4, rounds=3, warmups=1)

    assert found.nbytes == 4 * MIB
    assert len(found.seconds) == 3
    assert found.rate > 3 * DOWN
    assert not engine.live


def test_streams_that_share_one_line_are_no_faster():
    engine = engine_of(serial=True)
    assert sample_streams(engine, engine.clock, Direction.H2D, MIB, streams=4, rounds=2).rate <= UP


def test_streams_and_intervals_out_of_range_are_refused():
    engine = engine_of()
    with pytest.raises(ValueError, match="`streams`"):
        sample_streams(engine, engine.clock, Direction.H2D, MIB, streams=0)
    with pytest.raises(ValueError, match="`every`"):
        soak(engine, engine.clock, Direction.H2D, MIB, seconds=1.0, every=2.0)
    with pytest.raises(ValueError, match="`depth`"):
        soak(engine, engine.clock, Direction.H2D, MIB, seconds=1.0, depth=0)
    with pytest.raises(ValueError, match="`reads`"):
        measure_reuse(engine, engine.clock, MIB, reads=[4, 4])


def test_pageable_memory_is_asked_for_where_it_is_wanted():
    engine = engine_of()
    sample(engine, engine.clock, Direction.H2D, 4 * KIB, rounds=1, warmups=0, pinned=False)
    assert {source.pinned for source in engine.sources} == {False}


def test_a_soak_tells_the_rate_in_order_and_that_it_held():
    engine, looked = engine_of(), []

    found = soak(engine, engine.clock, Direction.H2D, MIB, seconds=0.1, every=0.01, meanwhile=lambda: looked.append(1))

    assert len(found.rates) == len(found.moments) == len(looked)
    assert found.moments[-1] == pytest.approx(0.1, rel=0.1)
    assert found.at_end == pytest.approx(found.at_start)
    assert found.faded() == ""


def test_a_path_that_fades_is_said_to_and_when():
    rates = (3.0 * GB,) * 20 + (2.0 * GB,) * 20
    found = Soak(direction=Direction.D2H, nbytes=MIB, moments=tuple(map(float, range(1, 41))), rates=rates)
    assert "slower under load: 3.00 GB/s at the beginning, 2.00 GB/s at the end" in found.faded()
    assert "fell 21 s after" in found.faded()


def over_time(*spans: tuple[int, float], sensors=()) -> Soak:
    """A soak of `spans`: seconds, and the GB/s in each."""
    rates = tuple(rate * GB for seconds, rate in spans for _ in range(seconds))
    moments = tuple(map(float, range(1, len(rates) + 1)))
    return Soak(direction=Direction.H2D, nbytes=MIB, moments=moments, rates=rates, sensors=tuple(sensors))


def test_a_path_that_fades_within_seconds_is_held_against_what_it_was_at_first():
    found = over_time((1, 1.0), (4, 3.0), (115, 1.5))

    assert found.at_start == 3.0 * GB
    assert "fell 6 s after" in found.faded()


def test_a_path_that_wakes_up_late_or_stumbles_once_has_not_faded():
    assert over_time((2, 1.0), (60, 3.0)).faded() == ""
    assert over_time((50, 3.0), (1, 1.0), (3, 3.0), (1, 0.5), (5, 2.9)).faded() == ""


def test_it_has_settled_once_all_of_the_last_seconds_are_slower():
    assert not over_time((20, 3.0)).settled()
    assert not over_time((20, 3.0), (5, 2.0)).settled()
    assert not over_time((20, 3.0), (3, 2.0), (1, 3.0), (3, 2.0)).settled()
    assert over_time((20, 3.0), (6, 2.0)).settled()


def test_the_card_says_how_warm_it_was_and_why_it_slowed_down():
    cold = TelemetrySample(time=0.0, temperature_c=40, graphics_mhz=2000, throttle_reasons=("idle",))
    warm = TelemetrySample(time=0.0, temperature_c=84, graphics_mhz=1000, throttle_reasons=("thermal slowdown",))
    mute = TelemetrySample(time=0.0)

    told = over_time((20, 3.0), (6, 2.0), sensors=[cold] * 20 + [warm] * 6).faded()
    unmoved = over_time((20, 3.0), (6, 2.0), sensors=[cold] * 26).faded()
    nothing = over_time((20, 3.0), (6, 2.0), sensors=[mute] * 26).faded()

    assert "the card at 84 °C (at the beginning 40), its clock down from 2000 to 1000 MHz" in told
    assert told.endswith("throttled by its thermal slowdown")
    assert unmoved.endswith(
        "which names no reason to throttle: the enclosure, its controller or the cable gets too warm"
    )
    assert "°C" not in nothing
    assert "no sensor tells" in over_time((20, 3.0), (6, 2.0)).faded()


def test_parts_of_a_soak_are_joined_in_time():
    part = Soak(direction=Direction.H2D, nbytes=MIB, moments=(0.5, 1.0), rates=(3.0, 2.0))
    whole = joined([part, part])
    assert whole.moments == (0.5, 1.0, 1.5, 2.0)
    assert whole.rates == (3.0, 2.0, 3.0, 2.0)
    assert whole.sensors == ()


def test_resident_data_is_sent_once_and_streamed_data_each_time():
    engine = engine_of()

    found = measure_reuse(engine, engine.clock, MIB, reads=(1, 4), rounds=1)

    passing = MIB / RATES[Direction.D2D] + SUBMIT
    assert found.reads == (1, 4)
    assert found.streamed[1] > 3 * found.streamed[0]
    assert found.resident[1] < found.streamed[1]
    assert found.reading == pytest.approx(passing, rel=0.6)
    assert not engine.live


def test_the_measured_break_even_is_the_predicted_one_where_the_model_holds():
    path = Hockney(alpha=1e-5, beta=3 * GB, worst=0.0)
    residency = Residency(path=path, vram=1000 * GB, unified=400 * GB)
    nbytes, reads = 64 * MIB, (1, 64)
    once = path.seconds(nbytes)
    each = 2 * nbytes / residency.vram
    seen = Reused(
        nbytes=nbytes,
        reads=reads,
        resident=tuple(once + n * each for n in reads),
        streamed=tuple(n * (once + each) for n in reads),
    )
    predicted = predicted_break_even(residency, nbytes)
    assert predicted is not None
    assert seen.break_even(residency.unified) == pytest.approx(predicted)
    assert predicted_streamed(residency, nbytes, 64) == pytest.approx(seen.streamed[-1])


def test_memory_that_is_no_faster_never_breaks_even():
    path = Hockney(alpha=1e-5, beta=3 * GB, worst=0.0)
    slow = Residency(path=path, vram=300 * GB, unified=400 * GB)
    assert predicted_break_even(slow, MIB) is None
    seen = Reused(nbytes=MIB, reads=(1, 2), resident=(1.0, 2.0), streamed=(1.0, 2.0))
    assert seen.break_even(400 * GB) is None


@pytest.mark.parametrize(
    ("device", "host", "says"),
    [
        (0.020, 0.0201, ""),
        (0.020, 0.030, ""),  # a host that was busy for a moment
        (0.020, 0.2, "long before"),
        (0.020, 0.018, "longer than the whole"),
    ],
)
def test_two_clocks_that_disagree_over_large_copies_are_told(device: float, host: float, says: str):
    told = disagreement(made(device, host))
    assert (says in told) if says else told == ""


def test_clocks_are_not_compared_where_nothing_follows():
    assert disagreement(made(0.02, 0.2, nbytes=MIB)) == ""
    assert disagreement(made(0.02, 0.2, device_time=False)) == ""


@pytest.mark.parametrize(
    ("conditions", "negotiated"),
    [
        (Conditions(link=LaneLink(lane_gbps=20.0, lanes=2)), "2 × 20 Gb/s"),
        (Conditions(link=LaneLink(lane_gbps=None, lanes=None, total_gbps=40.0)), "40 Gb/s"),
        (Conditions(pcie=PcieLink(gts=16.0, width=16)), "16 GT/s x16"),
        (Conditions(link=LaneLink(lane_gbps=None, lanes=None), pcie=PcieLink(gts=16.0, width=4)), ""),
        (Conditions(), ""),
    ],
)
def test_the_negotiated_link_is_the_bounding_hops(conditions: Conditions, negotiated: str):
    assert conditions.negotiated() == negotiated


def test_conditions_tell_what_explains_a_figure_and_survive_a_process_boundary():
    sensors = TelemetrySample(time=1.0, throttle_reasons=("idle", "power cap"))
    found = Conditions(pcie=PcieLink(gts=2.5, width=4), sensors=sensors)
    assert found.context() == {"pcie": "2.5 GT/s x4", "throttled": "power cap"}
    assert Conditions(sensors=replace(sensors, throttle_reasons=("idle",))).context() == {}
    assert Conditions.from_dict(found.to_dict()) == found


def test_large_copies_have_a_bandwidth_and_small_ones_latencies():
    (large,) = figures_of(made(0.02, 0.02), "pageable")
    assert (large.metric, large.unit, large.higher_is_better) == ("bandwidth pageable", "B/s", True)
    assert large.name() == "H2D bandwidth pageable 64 MiB"
    assert len(large.samples) == 10

    small = figures_of(made(1e-5, 1e-5, nbytes=4 * KIB))
    assert [one.metric for one in small] == ["latency p50", "latency p99", "latency max"]
    assert [one.gated for one in small] == [True, False, False]
    assert {one.higher_is_better for one in small} == {False}


def test_both_directions_at_once_are_series_of_their_own():
    both = BothWays(h2d=made(0.02, 0.02), d2h=made(0.03, 0.03), overlapped=(True,))
    assert [one.direction for one in figures_of_both(both)] == ["H2D while D2H", "D2H while H2D"]


def test_a_fit_has_two_figures_and_a_first_copy_one():
    alpha, beta = figures_of_fit(Hockney(alpha=1e-5, beta=3e9, worst=0.0), "H2D")
    assert (alpha.value, alpha.unit, beta.value, beta.unit) == (1e-5, "s", 3e9, "B/s")
    assert alpha.name() == "H2D fixed cost"
    first = figure_of_first(made(0.02, 0.02), "after idle")
    assert (first.metric, first.value, first.gated) == ("first copy after idle", 0.02, False)


def test_a_percentile_of_few_values_is_the_largest():
    assert percentile_99([1.0, 5.0, 2.0]) == 5.0
    assert percentile_99([float(n) for n in range(101)]) == pytest.approx(99.0)


def test_samples_of_a_sweep_survive_a_process_boundary():
    engine = engine_of()
    (one,) = sweep(engine, engine.clock, Direction.H2D, [MIB])
    assert Samples.from_dict(to_dict(one)) == one
