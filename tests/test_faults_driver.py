"""Faults of the driver: calls that hang or lie, memory that leaks, copies that are staged."""

from __future__ import annotations

import math

import pytest
from copies_under_fault import D2D, D2H, H2D, fault, reset
from fault_rig import LINUX, seconds
from sim_rig import MIB, rigs

from hil.errors import DeviceGone, DeviceHung, DriverError, UsageError
from hil.hosts.wires.driver import Call, Status, Way
from hil.sim.faults import choice
from hil.sim.transfers import PAGEABLE_FACTOR, PAGEABLE_LATENCY

KIB = 1 << 10
NAMES = ("allocation-leak", "call-hangs", "error-swallowed", "pageable-fallback")
LATENCY = 10e-6
RATES = {H2D: 2e9, D2H: 4e9, D2D: 50e9}
"""bytes/s of a rig's cards."""


@pytest.fixture
def switch_on():
    with rigs() as start:
        yield start


# Errors that are swallowed --------------------------------------------------------------------------------------------


def test_a_copy_that_fails_says_that_it_did_not(switch_on):
    rig = switch_on(None, "error-swallowed:nth=2")
    engine = rig.engine()
    here, there = engine.host_alloc(16), engine.alloc(16)
    rig.do(rig.machine.site.poke, 0, there.address, b"\2" * 16)
    found = []
    for _ in range(3):
        here.view[:] = b"." * 16
        engine.download(here, there, 16)
        engine.synchronize()
        found.append(bytes(here.view))

    assert found == [b"\2" * 16, b"." * 16, b"\2" * 16]
    assert fault(rig).struck == 1


def test_a_refusal_is_swallowed_too(switch_on):
    wire = switch_on(None, "error-swallowed:call=free").wire(gpu=0)
    (address, *_) = wire.ok(Call.ALLOC, 4096)
    free = wire.ok(Call.MEMORY)

    assert wire.call(Call.FREE, 12345) == (Status.OK, (0, 0, 0, 0), "")
    wire.ok(Call.FREE, address)
    wire.ok(Call.FREE, address)
    assert wire.ok(Call.MEMORY) == free


def test_memory_that_was_never_given_is_refused_when_it_is_used(switch_on):
    engine = switch_on(None, "error-swallowed:call=alloc").engine()
    nowhere = engine.alloc(4096)

    assert nowhere.address == 0
    with pytest.raises(DriverError) as refused:
        engine.upload(nowhere, engine.host_alloc(4096), 4096)
    assert refused.value.code == Status.INVALID_ADDRESS


def test_who_does_not_wait_finds_nothing_and_only_then_it_counts(switch_on):
    rig = switch_on(None, "error-swallowed:call=synchronize")
    engine = rig.engine()
    engine.synchronize()
    assert fault(rig).struck == 0
    here, there = engine.host_alloc(MIB), engine.alloc(MIB)
    rig.do(rig.machine.site.poke, 0, there.address, b"\2" * MIB)

    engine.download(here, there, MIB)
    engine.synchronize()

    assert bytes(here.view) == bytes(MIB)
    assert fault(rig).struck == 1
    rig.machine.clock.sleep("hand", 1.0)
    assert bytes(here.view) == b"\2" * MIB
    engine.synchronize()
    assert fault(rig).struck == 1


@pytest.mark.parametrize("lose", ["detach", "reset"])
def test_copies_of_a_card_that_is_lost_are_not_under_way(switch_on, lose):
    rig = switch_on(None, "error-swallowed:call=synchronize")
    engine = rig.engine()
    engine.upload(engine.alloc(MIB), engine.host_alloc(MIB), MIB)
    if lose == "detach":
        rig.do(rig.machine.detach, rig.machine.enclosures[0])
    else:
        reset(rig)

    with pytest.raises(DeviceGone):
        engine.synchronize()
    assert fault(rig).struck == 0


def test_a_copy_of_nothing_and_one_that_is_none_do_not_count(switch_on):
    rig = switch_on(None, "error-swallowed")
    wire = rig.wire(gpu=0)
    (handle, *_), (address, *_) = wire.ok(Call.HOST_ALLOC, 64, 1), wire.ok(Call.ALLOC, 64)

    wire.ok(Call.COPY, Way.H2D, 0, handle, 0, address, 0, 0, 1, 0, 0)
    assert wire.status(Call.COPY, 9, 0, handle, 0, address, 0, 16, 1, 0, 0) == Status.INVALID_VALUE
    assert fault(rig).struck == 0


# Leaks ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kib", "cycles", "lost"), [(64, 1, 64), (1, 63, 0), (1, 64, 64), (100, 3, 256), (4096, 2, 8192)]
)
def test_each_free_loses_so_many_kib_in_whole_pages(switch_on, kib, cycles, lost):
    rig = switch_on(None, f"allocation-leak:kib={kib}")
    engine = rig.engine()
    before, _ = engine.memory()
    for _ in range(cycles):
        engine.free(engine.alloc(MIB))

    assert before - engine.memory()[0] == lost * KIB
    assert (fault(rig).struck > 0) == (lost > 0)


def test_what_leaked_is_back_after_a_reset_and_not_after_its_client_ended(switch_on):
    rig = switch_on(None, "allocation-leak:kib=1024")
    engine = rig.engine()
    free, _ = engine.memory()
    engine.free(engine.alloc(MIB))
    engine.close()
    assert rig.engine().memory()[0] == free - MIB

    reset(rig)
    rig.machine.clock.sleep("hand", 1.0)

    assert rig.engine().memory()[0] == free


def test_nothing_leaks_where_nothing_is_left(switch_on):
    rig = switch_on(None, "allocation-leak:kib=1048576")
    engine = rig.engine()

    engine.free(engine.alloc(MIB))  # of a card of 1 GiB, 64 MiB of which are the firmware's

    assert engine.memory()[0] == engine.memory()[1]
    assert fault(rig).struck == 0


# Pinned memory that is not --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [H2D, D2H, D2D], ids=str)
def test_pinned_copies_are_as_slow_as_is_said_and_those_within_the_card_are_not(switch_on, way):
    rig = switch_on(None, "pageable-fallback:factor=0.25")

    staged = way is not D2D
    expected = LATENCY + PAGEABLE_LATENCY * staged + 16 * MIB / RATES[way] * (4 if staged else 1)
    assert seconds(rig, way) == pytest.approx(expected, rel=1e-6)
    assert fault(rig).struck == staged


def test_pageable_copies_are_as_slow_as_ever(switch_on):
    rig = switch_on(None, "pageable-fallback:factor=0.25")
    engine = rig.engine()
    start = rig.machine.clock.now()

    engine.upload(engine.alloc(MIB), engine.host_alloc(MIB, pinned=False), MIB)
    engine.synchronize()

    expected = LATENCY + PAGEABLE_LATENCY + MIB / (RATES[H2D] * PAGEABLE_FACTOR)
    assert rig.machine.clock.now() - start == pytest.approx(expected, rel=1e-6)


def test_a_share_by_which_nights_differ_cannot_be_seen():
    kind = choice.make("pageable-fallback", None)

    assert "nights differ" in kind.below_sight(kind.Parameters(factor=0.95))
    assert kind.below_sight(kind.parameters) == ""


# Calls that hang ------------------------------------------------------------------------------------------------------


def test_a_call_that_hangs_within_its_deadline_cannot_be_seen():
    kind = choice.make("call-hangs", None)

    assert "20 s" in kind.below_sight(kind.Parameters(seconds=20))
    assert math.isinf(kind.parameters.seconds)


@pytest.mark.parametrize("name", ["call-hangs", "error-swallowed"])
def test_a_call_that_there_is_not_is_refused(name):
    with pytest.raises(UsageError, match=r"there is no such call; known: open, close, alloc"):
        choice.make(f"{name}:call=sync", None)


# Whose the card is ----------------------------------------------------------------------------------------------------


def test_a_card_that_no_driver_has_can_not_be_opened_and_is_not_listed(switch_on):
    rig = switch_on(LINUX)
    engine, card = rig.engine(), rig.machine.gpus[0]
    engine.upload(engine.alloc(MIB), engine.host_alloc(MIB), MIB)
    name, folder = card.function.address.encode(), "/sys/bus/pci/drivers/nvidia"
    rig.host().write(f"{folder}/unbind", name)

    with pytest.raises(DeviceGone) as lost:
        engine.synchronize()
    assert lost.value.code == Status.DEVICE_LOST
    with pytest.raises(DeviceGone) as refused:
        rig.engine()
    assert refused.value.code == Status.NO_DEVICE
    assert [device.target for device in type(engine).devices(rig.host())] == ["1"]

    rig.host().write(f"{folder}/bind", name)
    with pytest.raises(DriverError) as gone:
        engine.memory()
    assert gone.value.code == Status.CONTEXT_LOST
    assert rig.engine().memory()[0] > 0


def test_a_deadline_ends_what_hangs(switch_on):
    rig = switch_on(None, "call-hangs:call=free,seconds=1000")
    host = rig.host()
    engine = rig.engine(host=host)

    with pytest.raises(DeviceHung), host.clock.operation("free", 30.0):
        engine.free(engine.alloc(16))
