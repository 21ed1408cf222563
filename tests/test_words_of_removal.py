"""The words of the hot-plug, reset and recovery suites see what they are for: each fails, and says what it saw."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from hil.bench import Wish, open_bench, parse
from hil.bench.messages import full_name
from hil.errors import BenchFault, DataCorrupt, DeviceGone, DriverError, LinkFault, StateChanged
from hil.fixtures.announcements import Announcements
from hil.fixtures.client import Client
from hil.fixtures.hotplug import HotPlug
from hil.fixtures.identity import Identity, Portrait
from hil.fixtures.leftovers import Leftovers
from hil.fixtures.neighbours import Neighbours
from hil.fixtures.removal import Removal
from hil.fixtures.reset import Reset, ResetOutcome
from hil.fixtures.topology import Topology
from hil.plugin.run import _RUN

FIRST, SECOND = "rtx-4090-th3p4g3", "rtx-6000-ada-egpu-node-titan"
CONFIG = SimpleNamespace(stash={_RUN: SimpleNamespace(epochs=0)})


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    opened = open_bench(Wish(selection=parse("sim:linux-two-enclosures"), folder=tmp_path_factory.mktemp("output")))
    yield opened
    opened.close()


@pytest.fixture
def device(bench):
    return bench.device(FIRST)


@pytest.fixture(scope="module")
def processes():
    return {}


@pytest.fixture
def client(device, processes):
    word = Client(device, CONFIG, processes)
    yield word
    word.end()


def test_a_client_that_is_not_refused_is_a_driver_error(client):
    client.open()

    with pytest.raises(DriverError, match=f"{FIRST}: memory info by a client .* expected an error, seen: success"):
        client.must_be_refused("nothing")


def test_copies_that_report_success_are_a_driver_error(client):
    client.open()
    client.begin_load()

    with pytest.raises(DriverError, match=f"{FIRST}: copies under way at nothing: expected an error, seen: success"):
        client.load_must_fail("nothing")
    with pytest.raises(BenchFault, match="no load was begun"):
        client.load_must_fail("nothing")


def test_a_load_that_nobody_waited_for_is_waited_for_at_the_end(client):
    client.open()
    client.begin_load()
    client.end()

    client.open()
    client.must_be_intact("another load")


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (
            {"type": "DeviceGone", "code": None, "seconds": 0.0},
            "expected an error with a code, seen: DeviceGone without",
        ),
        ({"type": "DeviceGone", "code": 5, "seconds": 9.0}, "expected an error within 2 s, seen: one after 9 s"),
    ],
)
def test_an_error_that_is_late_or_without_a_code_is_a_driver_error(client, monkeypatch, one, words):
    told = [{"call": "allocate", "refusal": "gone", **one}]
    monkeypatch.setattr(client, "_call", lambda *_, **__: told)

    with pytest.raises(DriverError, match=words):
        client.must_be_refused("a reset")
    monkeypatch.undo()


def test_an_error_of_the_benchs_is_not_taken_for_the_devices(client, monkeypatch):
    told = [{"call": "allocate", "refusal": "no disk", "type": "BenchFault", "code": None, "seconds": 0.0}]
    monkeypatch.setattr(client, "_call", lambda *_, **__: told)

    with pytest.raises(BenchFault, match="allocate after a reset: BenchFault: no disk"):
        client.must_be_refused("a reset")
    monkeypatch.undo()


def test_memory_that_changed_is_corrupt_for_its_client_and_for_a_neighbour(bench, device, client):
    client.open()
    process = client._process
    other = bench.device(SECOND)
    around = Neighbours(device, SimpleNamespace(config=CONFIG))
    around.mark()

    # As if somebody had written there: what they hold is another pattern than they think.
    process.call(full_name("tests.bench_operations:forget_epoch"), deadline=5.0)
    other.call("tests.bench_operations:forget_epoch")

    with pytest.raises(DataCorrupt, match=f"{FIRST}: a client's memory after x: expected its own pattern, seen: "):
        client.must_be_intact("x")
    with pytest.raises(DataCorrupt, match=f"{SECOND} after x of {FIRST}: expected its own pattern"):
        around.must_be_untouched("x")
    other.close_session()


def test_a_neighbour_that_moved_or_is_driven_as_another_is_changed(bench, device, monkeypatch):
    other, around = bench.device(SECOND), Neighbours(device, SimpleNamespace(config=CONFIG))
    around.mark()
    gpu = other.facts.gpu
    elsewhere = replace(other.facts, gpu=replace(gpu, function=replace(gpu.function, address="0000:77:00.0")))

    monkeypatch.setattr(other, "facts", elsewhere)

    with pytest.raises(StateChanged, match=f"{SECOND} after x of {FIRST}: expected at 0000:77:00.0, seen: 0000:0"):
        around.must_be_untouched("x")
    with pytest.raises(StateChanged, match=r"expected address 0000:77:00\.0, seen: 0000:0"):
        Identity(bench, device).must_be_driven()
    monkeypatch.undo()
    other.close_session()


@pytest.mark.parametrize(
    ("fact", "kind"),
    [
        (("link", "enclosure's link"), LinkFault),
        (("bus", "bytes of BAR 1"), StateChanged),
        (("device", "ecc"), StateChanged),
    ],
)
def test_another_identity_is_told_at_its_hop(bench, device, fact, kind):
    word = Identity(bench, device)
    before = word.now()
    other = Portrait({**before.facts, fact: "10 Gb/s"})

    with pytest.raises(kind, match=rf"{FIRST} is not what it was before x: {fact[1]}: expected 10 Gb/s, seen "):
        word.must_be(other, "x")
    assert word.must_be(before, "nothing").facts == before.facts


def test_what_is_left_behind_is_named(bench, device):
    word = Leftovers(bench, device)
    before = word.now()
    less = replace(
        before,
        memory=before.memory - 1,
        descriptors=before.descriptors - 9,
        resident=before.resident - (20 << 20),
        processes=["TinyGPU"],
        nodes={**before.nodes, "/dev": ["nvidia0"]},
    )

    with pytest.raises(StateChanged) as caught:
        word.must_be_none(less, cycles=8)

    for words in (
        "after 8 cycles: free memory of the device: expected",
        r"nodes in /dev: expected 1, seen 0 (missing: nvidia0)",
        "processes of its drivers: expected ['TinyGPU'], seen []",
        "descriptors of its client: expected about",
        "memory of its client: expected about",
    ):
        assert words in str(caught.value)


def test_an_event_that_does_not_come_is_named(bench, device):
    word = Announcements(bench, device)
    word.begin()

    with pytest.raises(
        LinkFault, match=rf"{FIRST}: expected the host to announce add of thunderbolt 1-1, pci .* within 1 s"
    ):
        word.must_tell("add", bench.inventory, within=1.0)
    word.end()


def test_an_event_of_what_is_not_there_is_named(bench, device):
    plug, word = HotPlug(bench, device), Announcements(bench, device)
    plug.detach(orderly=True)
    word.begin()
    plug.attach()
    gpu = device.facts.gpu.function.address
    audio = f"{gpu[:-1]}1"
    short = replace(
        bench.inventory,
        functions=tuple(f for f in bench.inventory.functions if f.address != audio),
        enclosures=tuple(
            replace(e, functions=tuple(a for a in e.functions if a != audio)) for e in bench.inventory.enclosures
        ),
    )

    with pytest.raises(StateChanged, match=f"the host announced add of {audio}, expected only what is there"):
        word.must_tell("add", short, within=1.0)
    word.end()


def test_a_topology_that_changed_is_named(bench, device):
    plug, word = HotPlug(bench, device), Topology(bench, device)
    before = word.now()

    with pytest.raises(StateChanged, match=f"{FIRST}, with it unplugged: expected the rest as before, seen: routers"):
        word.must_lack_its_enclosure(before)
    plug.detach(orderly=True)
    with pytest.raises(StateChanged, match=f"{FIRST}, after a re-plug: .* functions: missing .*, too many none"):
        word.must_be(before)
    with pytest.raises(DeviceGone, match=f"{FIRST}: expected in the inventory under GPU-.*, seen: nothing"):
        Identity(bench, device).now()
    plug.restore()


def test_a_level_that_the_kernel_takes_is_a_link_fault(bench, device):
    word = Removal(bench, device, HotPlug(bench, device))

    with pytest.raises(LinkFault, match="'0': expected a refusal with a code and 1 as before, seen: success and 0"):
        word.must_be_refused("0")
    bench.plugs.replug(device)


def test_what_a_test_left_away_is_given_back_or_said_to_be_away(bench, device, monkeypatch):
    word = Removal(bench, device, HotPlug(bench, device))
    word.take("unbind")
    monkeypatch.setattr(bench, "host_submit", lambda *_, **__: SimpleNamespace(result=_no))
    with pytest.raises(BenchFault, match="could not be given back"):
        word.restore()
    monkeypatch.undo()

    word.restore()

    assert device.call("session:memory")[0] > 0


def _no():
    raise BenchFault("no")


def test_config_space_that_the_kernel_did_not_restore_is_changed(device):
    lost = ResetOutcome(seconds=0.1, lost=("COMMAND was 0x0006, is 0x0000",))

    with pytest.raises(StateChanged, match=r"after flr, .* expected as before, seen: COMMAND was 0x0006, is 0x0000"):
        Reset(device).must_have_kept_config(lost, "flr")
