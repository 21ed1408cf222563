"""Operations of the driver suite: content on a sound machine, and outspoken on one where a call lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from operations_rig import Bench

from hil.bench.operations import bus, cells, clients, effects, ladder, memory, path, refusals, session, soak, window
from hil.errors import DriverError, NotSupported, UsageError
from hil.model import KIB, MIB, PcieLink, from_dict
from hil.pci import Payload, SysfsFunction
from hil.sim import profile
from hil.sim.faults.base import Chunk, DriverCall, Fault, Site, Trigger
from hil.watch import TelemetrySample

MAC, LINUX = "macbook-pro-usb4", "linux-two-enclosures"


@pytest.fixture
def switch_on() -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def start(chosen: Any = LINUX, *faults: Any) -> Bench:
        benches.append(Bench(chosen, *faults))
        return benches[-1]

    yield start
    for bench in benches:
        bench.close()


def fault(**hooks: Callable[..., Any]) -> Callable[[Site], Fault]:
    """A fault made of functions: ``on_chunk=lambda fault, chunk: …``."""
    kind = type("Planted", (Fault,), {"name": "planted", **hooks})
    return lambda site: kind(Trigger(), site)


def swallows(call: str, *, nth: int = 1) -> Callable[[Site], Fault]:
    """The driver answers OK to its n-th `call` and does nothing."""
    seen = [0]

    def answer(_: Fault, made: DriverCall) -> None:
        if made.name == call:
            seen[0] += 1
            if seen[0] == nth:
                made.status = 0

    return fault(on_driver_call=answer)


def loses(direction: str, *, nth: int) -> Callable[[Site], Fault]:
    """The n-th copy in `direction` moves nothing."""
    seen: list[int] = []

    def drop(_: Fault, chunk: Chunk) -> Any:
        if chunk.direction == direction and chunk.copy not in seen:
            seen.append(chunk.copy)
        return () if chunk.direction == direction and seen.index(chunk.copy) == nth - 1 else (chunk,)

    return fault(on_chunk=drop)


def wraps(site: Site) -> Fault:
    """Reads of the window above its first 256 MiB show what lies below."""

    def read(_: Fault, _address: str, bar: int, offset: int, data: bytes) -> bytes:
        above = bar == 1 and offset >= 256 * MIB
        return site.peek(0, offset % (256 * MIB), len(data)) if above else data

    return fault(on_bar_read=read)(site)


# Effects


EFFECTS = (
    effects.opening,
    effects.closing,
    effects.allocation,
    effects.host_allocation,
    effects.upload,
    effects.download,
    effects.move,
    effects.synchronization,
    effects.timing,
)


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.__name__)
def test_a_sound_driver_does_what_it_says_again_and_again(switch_on, effect):
    bench = switch_on()

    assert [effect(bench.context, epoch=epoch) for epoch in (1, 2)] == ["", ""]
    assert session.session(bench.context).engine.memory()[0] > 0


@pytest.mark.parametrize(
    ("effect", "planted", "says"),
    [
        (effects.upload, loses("H2D", nth=3), "holds what it held before"),
        (effects.download, loses("D2H", nth=1), "the host buffer to hold what the device has"),
        (effects.move, loses("D2D", nth=1), "holds what it held before"),
        (effects.synchronization, swallows("synchronize"), "NOT_READY"),
        (effects.allocation, swallows("free"), "free memory after the buffer was freed"),
        (effects.closing, fault(on_free=lambda *_: False), "free memory after close and open"),
        (effects.allocation, fault(on_allocate=lambda _, _gpu, nbytes: nbytes // 2), "memory taken by an allocation"),
        (effects.timing, fault(on_device_clock=lambda *_: 0), "expected the device to take"),
        (effects.synchronization, fault(on_device_clock=lambda *_: 0), "expected device time to pass"),
        (
            effects.upload,
            fault(on_vram_write=lambda _, _gpu, _at, data: b"x" * len(data)),
            "the bytes that were copied",
        ),
    ],
)
def test_a_call_without_its_effect_is_found_out(switch_on, effect, planted, says):
    bench = switch_on(LINUX, planted)

    try:
        found = effect(bench.context, epoch=7)
    except DriverError as error:
        found = str(error)

    assert says in found


def test_a_second_look_is_not_fooled_by_what_the_first_left(switch_on):
    bench = switch_on(LINUX, loses("H2D", nth=6))

    assert effects.upload(bench.context, epoch=1) == ""
    assert "holds what it held before" in effects.upload(bench.context, epoch=2)


# Refusals


@pytest.mark.parametrize("call", refusals.WRONG_CALLS)
def test_wrong_calls_are_refused_with_kind_and_code(switch_on, call):
    facts = refusals.refused(switch_on().context, call=call)

    assert facts["refused"]
    assert facts["code"] or facts["kind"] == "ValueError"


def test_an_accepted_wrong_call_is_told(switch_on):
    bench = switch_on(LINUX, swallows("free", nth=2))

    assert refusals.refused(bench.context, call="free twice")["refused"] is False


def test_an_unknown_wrong_call_is_a_usage_error(switch_on):
    with pytest.raises(UsageError, match="no wrong call 'x'; known: copy past the end"):
        refusals.refused(switch_on().context, call="x")


# Memory


@pytest.mark.parametrize("copied", [0, 512])
def test_a_leak_of_one_cycle_in_a_hundred_shows(switch_on, copied):
    dropped = [0]

    def keep_one(*_: object) -> bool:
        dropped[0] += 1
        return dropped[0] != 50

    sound, leaky = switch_on(), switch_on(LINUX, fault(on_free=keep_one))
    facts = [memory.cycle(b.context, nbytes=MIB, cycles=100, copied=copied) for b in (sound, leaky)]

    assert [f["free_before"] - f["free_after"] for f in facts] == [0, MIB]


def test_pinned_memory_is_given_back(switch_on):
    facts = memory.host_cycle(switch_on().context, nbytes=64 * KIB, cycles=50)

    assert facts["grown"] < 16 * MIB
    assert facts["free_before"] == facts["free_after"]


def test_gaps_are_filled_again_and_those_that_were_kept_are_not(switch_on):
    sound = memory.refill(switch_on().context, pieces=16)
    kept = memory.refill(switch_on(LINUX, fault(on_free=lambda *_: False)).context, pieces=16)

    assert sound["gaps"] == sound["filled"] > 7
    assert sound["whole"]
    assert (kept["filled"], kept["whole"]) == (0, False)


# Marks


def test_marks_of_a_full_card_are_all_their_own(switch_on):
    bench = switch_on()

    full = cells.full_card(bench.context, pieces=16, epoch=3)
    bits = cells.address_bits(bench.context, epoch=4)

    assert full["held"] >= 16
    assert full["left"] < 256 * MIB
    assert full["wrong"] == bits["wrong"] == []
    assert set(range(16, 34)) <= set(bits["bits"])


def test_an_address_cut_to_32_bits_is_named_with_both_ends(switch_on):
    def cut(_: Fault, chunk: Chunk) -> tuple[Chunk]:
        if chunk.direction == "H2D":
            chunk.destination &= 0xFFFF_FFFF
        return (chunk,)

    bench = switch_on(LINUX, fault(on_chunk=cut))
    full = cells.full_card(bench.context, pieces=16, epoch=3)
    bits = cells.address_bits(bench.context, epoch=4)

    assert full["wrong"]
    assert all("reads as zeros" in wrong or "it holds the mark that was written to" in wrong for wrong in full["wrong"])
    assert any("it holds the mark" in wrong for wrong in bits["wrong"])


def test_a_mark_that_is_no_mark_is_shown(switch_on):
    bench = switch_on(LINUX, fault(on_vram_write=lambda _, _gpu, _at, data: b"x" * len(data)))

    assert "it reads 78 78 78" in cells.full_card(bench.context, pieces=2, epoch=1)["wrong"][0]


# Ladder


@pytest.mark.parametrize("direction", ["H2D", "D2H"])
@pytest.mark.parametrize("nbytes", [4, 64, 65, 4096, MIB + 3])
def test_a_rung_holds_and_names_its_spot_when_it_does_not(switch_on, direction, nbytes):
    sound, torn = (
        switch_on(),
        switch_on(LINUX, fault(on_chunk=lambda _, chunk: () if chunk.total == nbytes else (chunk,))),
    )
    wrong = ladder.rung(torn.context, direction=direction, nbytes=nbytes, epoch=5)

    assert ladder.rung(sound.context, direction=direction, nbytes=nbytes, epoch=5) == []
    assert wrong[0].startswith("at 0x0: ")
    assert torn.said


# The window


def test_bars_and_config_space_agree(switch_on):
    bench = switch_on()

    facts = window.layout(bench.context, gpu=bench.gpu_facts)

    assert facts["wrong"] == []
    assert facts["sizes"]["1"] == 256 * MIB


@pytest.mark.parametrize("name", [LINUX, MAC])
def test_window_and_copy_engine_see_the_same(switch_on, name):
    bench = switch_on(name)
    gpu, context = bench.gpu_facts, bench.context

    reads = [window.read_through(context, gpu=gpu, nbytes=4096, skew=skew, epoch=2) for skew in (0, 3)]
    wrote = window.write_through(context, gpu=gpu, nbytes=4096, at=4099, epoch=3)
    ways = window.paths(context, gpu=gpu, nbytes=4096, epoch=4)
    beyond = window.beyond(context, gpu=gpu, nbytes=4096, epoch=5)
    edge = window.edge(context, gpu=gpu, nbytes=4)

    assert all(report["intact"] for report in [*reads, wrote["burst"], wrote["around"], *ways.values()])
    assert wrote["boot_0"][0] == wrote["boot_0"][1] == edge["before"] == edge["after"]
    assert beyond["end"] == 256 * MIB
    assert "shown" not in beyond
    assert beyond["far"]["intact"]
    assert beyond["near"]["intact"]
    assert len(ways) == 4
    assert window.past_the_end(context, gpu=gpu)
    assert window.write_pieces(context, gpu=gpu, count=20, epoch=6)["report"]["intact"]


def test_a_write_that_does_not_arrive_and_one_that_spills_are_told_apart(switch_on):
    lost = switch_on(LINUX, fault(on_bar_write=lambda *_: None))
    spilt = switch_on(LINUX, fault(on_bar_write=lambda _, _a, bar, _o, data: data + b"xxxx" if bar == 1 else data))
    found = [window.write_through(b.context, gpu=b.gpu_facts, nbytes=512, at=4096, epoch=1) for b in (lost, spilt)]

    assert [(f["burst"]["intact"], f["around"]["intact"]) for f in found] == [(False, True), (True, False)]


def test_memory_that_does_not_show_is_not_supported(switch_on):
    bench = switch_on()
    engine = session.session(bench.context).engine
    filler = [engine.alloc(256 * MIB)]

    with pytest.raises(NotSupported, match=r"do not show in BAR 1 .* which has 256 MiB"):
        window.read_through(bench.context, gpu=bench.gpu_facts, nbytes=4096, skew=0, epoch=1)
    assert filler


def test_one_lost_piece_of_many_that_are_written_through_the_window_is_found(switch_on):
    written: list[int] = []

    def lose_the_tenth(_: Fault, _address: str, bar: int, _offset: int, data: bytes) -> bytes | None:
        written.append(len(data))
        return None if bar == 1 and len(written) == 10 else data

    bench = switch_on(LINUX, fault(on_bar_write=lose_the_tenth))
    facts = window.write_pieces(bench.context, gpu=bench.gpu_facts, count=20, epoch=3)

    assert facts["nbytes"] == sum(written) == 5 * (64 + 256 + 128 + 192)
    assert not facts["report"]["intact"]
    assert "not written" in facts["report"]["text"]


@pytest.mark.parametrize(("faults", "shown"), [((), True), ((wraps,), False)])
def test_a_window_that_shows_all_memory_is_read_where_a_small_one_ends(switch_on, faults, shown):
    known = profile.load(LINUX)
    slots = switch_on(known.model_copy(update={"gpu": (known.gpu[0].model_copy(update={"enclosure": ""}),)}), *faults)

    facts = window.beyond(slots.context, gpu=slots.gpu_facts, nbytes=64, epoch=1)

    assert facts["end"] == 256 * MIB
    assert {name: facts[name]["intact"] for name in ("far", "near", "shown")} == {
        "far": True, "near": True, "shown": shown,
    }  # fmt: skip


def test_an_answer_from_behind_config_space_is_no_refusal(switch_on, monkeypatch):
    bench = switch_on()
    read = SysfsFunction.config_read
    monkeypatch.setattr(SysfsFunction, "config_read", lambda self, at, size: read(self, at % 4096, size))

    assert window.past_the_end(bench.context, gpu=bench.gpu_facts) == ""


def test_every_function_of_a_card_answers_with_its_ids(switch_on):
    sound = switch_on()
    lost = fault(on_config_read=lambda _, at, _offset, data: b"\xff" * len(data) if at.endswith("4:00.1") else data)
    names = [sound.gpu.function.address, sound.gpu.function.address[:-1] + "1"]

    told = [bus.portrait(b.context, gpu=b.gpu_facts, functions=names)["ids"] for b in (sound, switch_on(LINUX, lost))]

    assert list(told[0].values()) == ["10de:26b1", "10de:22ba"]
    assert list(told[1].values()) == ["10de:26b1", "ffff:ffff"]


def test_a_mac_reaches_no_function_but_the_gpus_own(switch_on):
    bench = switch_on(MAC)

    assert bus.portrait(bench.context, gpu=bench.gpu_facts, functions=["0000:04:00.1"])["ids"] == {}


def test_engines_that_show_no_memory_say_so(switch_on):
    bench = switch_on()

    assert window.shown(bench.context, name="simulated")
    assert not window.shown(bench.context, name="opencl")
    assert not window.shown(bench.context, name="")


# Path, contexts, soak


def test_the_link_under_load_and_the_sizes_on_its_path(switch_on):
    linux, mac = switch_on(), switch_on(MAC)

    seen = [
        from_dict(PcieLink, one)
        for one in path.under_load(linux.context, gpu=linux.gpu_facts, nbytes=MIB, least=2, most=4)
    ]
    sizes = [[from_dict(Payload, one) for one in path.payloads(b.context, gpu=b.gpu_facts)] for b in (linux, mac)]

    assert {str(link) for link in seen} == {"16 GT/s x4"}
    assert [len(one) for one in sizes] == [4, 1]
    assert sizes[0][-1].read_request == 512


def test_errors_noticed_are_told_by_their_part(switch_on):
    bench = switch_on(MAC)
    gpu, machine = bench.gpu_facts, bench.rig.machine
    quiet = path.errors_noticed(bench.context, gpu=gpu, nbytes=MIB, seconds=2.0, periods=2)
    bench.rig.do(machine.site.after, 0.5, lambda: machine.site.count_error(0, "BadTLP"))
    noisy = path.errors_noticed(bench.context, gpu=gpu, nbytes=MIB, seconds=2.0, periods=2)

    assert quiet == [[], []]
    assert "BadTLP" in noisy[0]
    assert noisy[1] == []


def test_two_contexts_keep_to_themselves(switch_on):
    facts = clients.strangers(switch_on().context, nbytes=64 * KIB, epoch=9)

    assert facts == {"reached": False, "pages": 0, "first": "", "second": "", "after": ""}


def test_one_that_spoils_the_other_is_told(switch_on):
    first: list[int] = []

    def overwrite_the_first(_: Fault, chunk: Chunk) -> tuple[Chunk]:
        if chunk.direction == "H2D":
            first.append(chunk.destination)
            chunk.destination = first[0]
        return (chunk,)

    bench = switch_on(LINUX, fault(on_chunk=overwrite_the_first))
    facts = clients.strangers(bench.context, nbytes=64 * KIB, epoch=9)

    assert facts["first"]
    assert facts["second"]


def test_a_driver_for_one_context_refuses_the_second_with_its_code(switch_on):
    opened: list[DriverCall] = []

    def refuse_the_second(_: Fault, call: DriverCall) -> None:
        if call.name == "open":
            opened.append(call)
            call.status = 1 if len(opened) > 1 else None

    bench = switch_on(LINUX, fault(on_driver_call=refuse_the_second))
    facts = clients.strangers(bench.context, nbytes=64, epoch=1)

    assert facts["code"] == 1
    assert "driver call open failed" in facts["refused"]


def test_a_load_tells_rates_and_sensors(switch_on):
    bench = switch_on()

    seen = soak.warm(bench.context, nbytes=4 * MIB, seconds=0.02, every=0.005, gpu=bench.gpu_facts)
    blind = soak.warm(bench.context, nbytes=4 * MIB, seconds=0.01, every=1.0, gpu=None)
    before = bench.context.host.clock.now()
    soak.idle(bench.context, seconds=2.5)

    samples = [from_dict(TelemetrySample, one) for one in seen["samples"]]
    assert len(seen["rates"]) > 3
    assert samples[-1].power_w > samples[0].power_w
    assert blind["samples"] == []
    assert bench.context.host.clock.now() == before + 2.5
