"""The bench file: what is wrong with it is told at once, and what it says holds for the bench."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.bench import roster
from hil.bench.console import taken_along
from hil.bench.file import BenchFile, Expect, _across, load
from hil.bench.limits import exceeded
from hil.bench.opening import HardwareRequired, Wish, open_bench
from hil.discovery import discover
from hil.errors import NotPermitted, UsageError
from hil.hosts import toml_file
from hil.hosts.selection import BenchKind, Selection, parse
from hil.sim import profile
from hil.sim.machine import Machine
from tests.machine_host import MachineHost

SIM = '[host]\nkind = "simulated"\nprofile = "linux-two-enclosures"\n'
TITAN, GDC = "004101a0c4f20777", "00b70d03be44a810"
RTX_6000, RTX_4090 = f"{TITAN}/10de-26b1-10de-16a1/0", f"{GDC}/10de-2684-1043-889b/0"


@pytest.fixture
def written(tmp_path):
    def write(text, name="bench.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def opened(tmp_path, written):
    with contextlib.ExitStack() as stack:

        def open_file(text, **wishes):
            path = written(text)
            wish = Wish(selection=parse(str(path)), folder=tmp_path, inline=True, **wishes)
            bench = open_bench(wish)
            stack.callback(bench.close)
            return bench

        yield open_file


def faults(path):
    with pytest.raises(UsageError) as caught:
        load(path)
    first, *rest = str(caught.value).splitlines()
    return [line.strip() for line in rest] if rest else [first.removeprefix(f"{path}: ")]


def listed(*devices, more=""):
    entries = "".join(f'[[device]]\nalias = "{alias}"\nid = "{device}"\n{rest}\n' for alias, device, rest in devices)
    return f'name = "desk"\n{more}{SIM}{entries}'


BOTH = (("left", RTX_6000, ""), ("right", RTX_4090, ""))


# What is wrong --------------------------------------------------------------------------------------------------------


def test_a_short_file_is_enough_and_the_rest_is_default(written):
    found = load(written('name = "desk"\n'))
    assert found.host.spec() == {"kind": "local"}
    assert (found.allow.reset, found.deadlines.attach, found.limits.power_w) == (False, 20.0, None)


def test_all_faults_of_a_file_are_told_at_once_with_key_value_and_what_was_expected(written):
    path = written(
        """
        name = "a b"
        nmae = "x"
        console_gpu = "mddle"
        [host]
        kind = "simulated"
        profile = "macbook-pro-usb5"
        address = "/run/x"
        [[device]]
        alias = "none"
        [[device]]
        alias = "left"
        id = 3
        engine = "opencll"
        expect.min_lanes = 0
        expect.link = "usb"
        [[device]]
        alias = "left"
        path_id = "p"
        [[actuator]]
        kind = "simulate"
        enclosure = "e"
        [deadlines]
        attach = -3
        reset = nan
        [allow]
        reset = "yes"
        unplug = 2024-01-01
        """
    )
    told = "\n".join(faults(path))
    for expected in (
        'name = "a b": expected letters, digits',
        "nmae: not known here; did you mean name? known: actuator, allow",
        "console_gpu: 'mddle' is neither a PCI address like 0000:01:00.0 nor the alias of a device",
        "host.profile: no profile is called 'macbook-pro-usb5'; did you mean macbook-pro-usb4?",
        "host: of kind simulated needs profile or address, not both",
        "device.0.alias: 'none' means something else to hil",
        "device.0.id: missing; expected id, path_id or both",
        "device.1.id = 3: expected text in quotes",
        "device.1.engine: no copy engine is called 'opencll'; did you mean opencl?",
        "device.1.expect.min_lanes = 0: expected a whole number ≥ 1",
        'device.1.expect.link = "usb": expected one of thunderbolt3, usb4, thunderbolt5, pcie; did you mean usb4?',
        "device.2.alias: 'left' is that of device.1 already",
        "actuator.0.kind: no kind of actuator is called 'simulate'; did you mean simulated?",
        "deadlines.attach = -3: expected a number of seconds > 0",
        "deadlines.reset = nan: expected a number of seconds > 0",
        'allow.reset = "yes": expected true or false',
        "allow.unplug = 2024-01-01: TOML takes this for a date; write it in quotes",
    ):
        assert expected in told


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('name = "d"\nhost = 3', "host = 3: expected a table, [host]"),
        (
            'name = "d"\n[device]\nalias = "x"',
            "device is a table: expected an array of tables, each beginning [[device]]",
        ),
        ('name = "d"\nallow = []', "allow is an array: expected a table, [allow]"),
        ("", 'name: missing; expected letters, digits, ".", "_" and "-" (at most 64) in quotes'),
        (
            'name = "d"\n[host]\nkind = "lokal"',
            "host.kind: no kind of host is called 'lokal'; did you mean local? known: captured, local, simulated",
        ),
        ('name = "d"\n[host]\nkind = "local"\nprofile = "empty-mac"', "host.profile: a host of kind local has none"),
        ('name = "d"\n[host]\nkind = "captured"', "host: of kind captured needs file"),
        ('name = "d"\n[limits]\npower_w = 0', "limits.power_w = 0: expected a number > 0"),
        ('name = "d"\n[deadlines]\nopen = "1 s"', 'deadlines.open = "1 s": expected a number of seconds > 0'),
        (
            'name = "d"\nconsole_gpu = "a"\n[[device]]\nalias = "a"\nid = "i"\n[allow]\nreset = true',
            "console_gpu: 'a' is the only device and is never touched, yet allow.reset would allow it: set false",
        ),
        ('name = "d"\n[host]\nkind = ["local"]', "host.kind is an array: expected text in quotes"),
    ],
)
def test_one_fault_is_one_line(written, text, sentence):
    assert faults(written(text)) == [sentence]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b'name = "d"\nallow = yes', ", line 2, column 9: is not TOML"),
        (b'name = "d', ", at its end: is not TOML"),
        (b'name = "d"\n# \xff', ", line 2: is not UTF-8 text (byte 0xff)"),
        (b"a = " + b"[" * 5000, ": is nested too deeply"),
        (b"a." * 3000 + b'b = "c"', "thousands of brackets"),
        (b"a = 0x" + b"f" * 9000, "a number of thousands of digits"),
        (b"a = " + b"9" * 9000, ": is not TOML"),
        (b"#" * (toml_file.LARGEST + 1), ": is larger than 1 MiB"),
    ],
)
def test_what_is_no_toml_is_told_with_the_place(tmp_path, data, sentence):
    path = tmp_path / "bench.toml"
    path.write_bytes(data)
    with pytest.raises(UsageError) as caught:
        load(path)
    assert str(caught.value).startswith(str(path))
    assert sentence in str(caught.value)


@pytest.mark.parametrize("name", ["missing.toml", "folder.toml", "nul\0.toml"])
def test_a_file_that_cannot_be_read_is_one_message(tmp_path, name):
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(UsageError, match="cannot be read: "):
        load(tmp_path / name)


def test_a_byte_order_mark_is_no_fault(tmp_path):
    path = tmp_path / "bench.toml"
    path.write_bytes(b'\xef\xbb\xbfname = "desk"\r\n')
    assert load(path).name == "desk"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.dates() | st.times(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=4), below, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from([*BenchFile.model_fields, "kind", "profile", "alias", "id", "enclosure", "gpu", "expect", "x"])


@given(st.dictionaries(KEYS, VALUES | st.dictionaries(KEYS, VALUES) | st.lists(st.dictionaries(KEYS, VALUES))))
@settings(max_examples=50, deadline=None)
def test_whatever_stands_in_a_file_is_one_clear_message(data):
    for check in (
        lambda: toml_file.validate(data, BenchFile, "f", _across),
        lambda: profile.validate(data, "f"),
    ):
        with contextlib.suppress(UsageError):
            check()


def test_files_that_it_names_lie_beside_it(written, tmp_path):
    path = written('name = "d"\n[host]\nkind = "simulated"\nprofile = "mine.toml"')
    assert load(path).host.spec()["profile"] == str(tmp_path / "mine.toml")
    path = written('name = "d"\n[host]\nkind = "captured"\nfile = "mine.hil"')
    assert load(path).host.spec() == {"kind": "captured", "address": str(tmp_path / "mine.hil")}


@pytest.mark.parametrize(
    ("named", "address"),
    [("0000:01:00.0", "0000:01:00.0"), ("0A:00.1", "0000:0a:00.1"), ("", "")],
)
def test_the_console_is_named_as_lspci_does(written, named, address):
    assert load(written(f'name = "d"\nconsole_gpu = "{named}"')).console_gpu == address


@pytest.mark.parametrize("text", ["bench.toml", " lab/night.toml ", "/etc/hil/bench.toml"])
def test_a_path_that_ends_in_toml_selects_a_bench_file(text):
    assert parse(text) == Selection(BenchKind.FILE, address=text.strip())
    assert str(parse(text)) == text.strip()


def test_a_profile_of_ones_own_is_still_selected_as_simulated():
    assert parse("sim:mine.toml") == Selection(BenchKind.SIM, profile="mine.toml")


# What holds -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def inventory():
    return discover(MachineHost(Machine(profile.load("linux-two-enclosures"))))


def entry_file(**entry):
    return BenchFile.model_validate({"name": "d", "device": ({"alias": "left", **entry},)})


def test_a_device_is_found_by_either_of_its_ids(inventory):
    gpu = next(gpu for gpu in inventory.gpus if gpu.path_id == RTX_4090)
    for entry in ({"id": gpu.id}, {"path_id": gpu.path_id}, {"id": "GPU-unknown tonight", "path_id": gpu.path_id}):
        found = roster.call(entry_file(**entry), replace(inventory, gpus=(replace(gpu, uuid=""),)))
        assert [one.gpu.path_id for one in found] == [RTX_4090]


def test_another_card_in_its_place_is_not_it(inventory):
    gpu = replace(inventory.gpus[0], id="GPU-new", uuid="GPU-new", path_id="place")
    (one,) = roster.call(entry_file(id="GPU-old", path_id="place"), replace(inventory, gpus=(gpu,)))
    assert one.gpu is None
    assert "another card of its kind sits in its place: GPU-new instead of GPU-old" in one.absent


def test_two_entries_of_one_card_are_told(inventory):
    gpu = replace(inventory.gpus[0], id="GPU-a", uuid="", path_id="place")
    file = BenchFile.model_validate(
        {"name": "d", "device": ({"alias": "a", "id": "GPU-a"}, {"alias": "b", "path_id": "place"})}
    )
    first, second = roster.call(file, replace(inventory, gpus=(gpu,)))
    assert first.gpu == gpu
    assert (second.gpu, second.absent) == (None, "its ids are those of a, another device of the bench file")


def test_what_was_found_holds(inventory):
    for gpu in inventory.gpus:
        expect = Expect.model_validate(roster.found_facts(gpu))
        assert roster.unmet(expect, gpu, None) == ()


@pytest.mark.parametrize(
    ("expect", "sentence"),
    [
        ({"name": "RTX 5090"}, "expect.name = RTX 5090: found NVIDIA GeForce RTX 4090"),
        ({"enclosure": "Core X"}, "expect.enclosure = Core X: found TH3P4G3"),
        ({"firmware": "31.0"}, "expect.firmware = 31.0: found 30.2"),
        ({"link": "thunderbolt5"}, "expect.link = thunderbolt5: found usb4"),
        ({"min_gbps": 80.0}, "expect.min_gbps = 80.0: found 40.0"),
        ({"min_lanes": 4}, "expect.min_lanes = 4: found 2"),
        ({"pcie_width": 16}, "expect.pcie_width = 16: found 4"),
        ({"min_vram_mib": 48000}, "expect.min_vram_mib = 48000: found 24000"),
        ({"driver": "nouveau"}, "expect.driver = nouveau: found nvidia"),
    ],
)
def test_a_fact_that_does_not_hold_is_named_with_what_was_expected_and_found(inventory, expect, sentence):
    gpu = next(gpu for gpu in inventory.gpus if gpu.path_id == RTX_4090)
    gpu = replace(gpu, vram_bytes=24000 << 20)
    assert roster.unmet(Expect.model_validate(expect), gpu, None) == (sentence,)


def test_a_fact_that_nobody_tells_does_not_hold(inventory):
    gpu = replace(inventory.gpus[0], enclosure=None, vram_bytes=None)
    expect = Expect(min_lanes=1, min_vram_mib=1000)
    assert roster.unmet(expect, gpu, None) == (
        "expect.min_lanes = 1: found nothing that tells it",
        "expect.min_vram_mib = 1000: found nothing that tells it",
    )
    assert roster.unmet(Expect(min_vram_mib=1000), gpu, 1000 << 20) == ()


def test_what_is_daisy_chained_behind_goes_with_an_enclosure():
    chain = discover(MachineHost(Machine(profile.load("linux-daisy-chain"))))
    front, behind = chain.enclosures
    assert taken_along(chain, front.router) == {*front.functions, *behind.functions}
    assert taken_along(chain, behind.router) == set(behind.functions)


def test_only_what_is_above_its_limit_is_told():
    limits = BenchFile.model_validate({"name": "d", "limits": {"temperature_c": 80, "power_w": 300.5}}).limits
    assert exceeded(limits, {"temperature_c": 80, "power_w": None}) == ()
    assert exceeded(limits, {"temperature_c": 81.5, "power_w": 300.6}) == (
        "temperature is 81.5 °C, and limits.temperature_c of the bench is 80 °C",
        "power is 300.6 W, and limits.power_w of the bench is 300.5 W",
    )


# A bench that was opened with one -------------------------------------------------------------------------------------


def test_the_bench_has_the_files_name_devices_consent_and_deadlines(opened):
    bench = opened(
        listed(*BOTH)
        + f'[allow]\nunplug = true\n[[actuator]]\nkind = "simulated"\nenclosure = "{TITAN}"\n'
        + "[deadlines]\nattach = 7\noperation = 9\n"
    )
    assert bench.name == "desk"
    assert [device.alias for device in bench.devices] == ["left", "right"]
    assert [device.quarantine for device in bench.devices] == ["", ""]
    assert (bench.allow.reset, bench.allow.unplug, bench.deadlines.attach) == (False, True, 7.0)
    assert bench.plugs.cannot_unplug(bench.device("left")) == ""
    assert "no actuator" in bench.plugs.cannot_unplug(bench.device("right"))
    assert "allow.reset" in bench.cannot_reset(bench.device("left"))
    assert bench.device("left").submit("transfer:round_trip", nbytes=8, epoch=1).deadline == 9.0


def test_a_device_that_is_not_there_and_one_that_changed_are_quarantined_and_the_rest_goes_on(opened):
    bench = opened(
        listed(
            ("gone", "GPU-1", ""),
            ("slow", RTX_6000, "expect.min_lanes = 4\nexpect.min_vram_mib = 999999"),
            ("right", RTX_4090, "expect.min_lanes = 2"),
        )
    )
    gone, slow, right = bench.devices
    assert "it is not there: no GPU has the id GPU-1; GPUs that are there: NVIDIA" in gone.quarantine
    assert slow.quarantine == (
        "it is not as the bench file says: expect.min_lanes = 4: found 2; expect.min_vram_mib = 999999: found 49140"
    )
    assert right.quarantine == ""
    right.ensure_healthy()
    assert sum("cannot be used" in note for note in bench.notes) == 2


def test_what_is_attached_and_not_listed_is_left_out_with_a_note(opened):
    bench = opened(listed(BOTH[1]))
    assert [device.alias for device in bench.devices] == ["right"]
    assert any("RTX 6000" in note and "left out" in note for note in bench.notes)


def test_a_file_without_devices_takes_all_that_are_there(opened):
    bench = opened(listed())
    assert [device.alias for device in bench.devices] == ["rtx-4090-th3p4g3", "rtx-6000-ada-egpu-node-titan"]


def test_an_actuator_whose_enclosure_is_not_there_is_a_note(opened):
    bench = opened(listed(*BOTH) + '[[actuator]]\nkind = "simulated"\nenclosure = "Core X"\n')
    assert any("acts on enclosure Core X, which is not there" in note for note in bench.notes)


def test_an_engine_that_was_asked_for_and_does_not_know_the_device_is_told(opened):
    bench = opened(listed(("left", RTX_6000, 'engine = "simulated"'), ("right", RTX_4090, 'engine = "opencl"')))
    assert bench.device("left").facts.engine == "simulated"
    assert "engine = opencl: it offers no device at 0000:24:00.0" in bench.device("right").quarantine


@pytest.mark.parametrize("console", ["left", "0000:04:00.0"])
def test_the_console_is_never_touched_whatever_is_allowed(opened, console):
    bench = opened(
        listed(*BOTH, more=f'console_gpu = "{console}"\n')
        + "[allow]\nreset = true\nunplug = true\npower_cycle = true\n"
        + "".join(f'[[actuator]]\nkind = "simulated"\nenclosure = "{uid}"\n' for uid in (TITAN, GDC))
    )
    left, right = bench.devices
    assert bench.cannot_reset(left) == bench.plugs.cannot_unplug(left) == "it drives the console"
    with pytest.raises(NotPermitted, match="reset of left is never done: it drives the console"):
        left.reset()
    with pytest.raises(NotPermitted, match="unplug of left is never done"):
        bench.plugs.detach(left)
    with pytest.raises(NotPermitted, match="power_cycle of left is never done"):
        bench.require("power_cycle", left)
    assert bench.cannot_reset(right) == bench.plugs.cannot_unplug(right) == ""


def test_an_enclosure_with_the_console_behind_it_is_not_unplugged_and_its_card_may_be_reset(opened):
    bench = opened(
        'name = "chain"\nconsole_gpu = "0000:0c:00.0"\n[host]\nkind = "simulated"\nprofile = "linux-daisy-chain"\n'
        "[allow]\nreset = true\nunplug = true\n"
        '[[actuator]]\nkind = "simulated"\nenclosure = "eGPU Node Pro"\n'
    )
    front, behind = sorted(bench.devices, key=lambda device: device.require_gpu().function.address)
    assert behind.require_gpu().function.address == "0000:0c:00.0"
    assert "what drives the console (0000:0c:00.0) goes with its enclosure" in bench.plugs.cannot_unplug(front)
    assert bench.cannot_reset(front) == ""


def test_on_linux_the_card_that_the_firmware_chose_is_the_console_without_being_named(opened, written):
    written(
        """
        summary = "a card in a slot, which firmware shows its screens on"
        [host]
        system = "Linux"
        model = "Desk"
        os_version = "6.12"
        arch = "x86_64"
        driver_version = "580.95.05"
        [[gpu]]
        name = "NVIDIA GeForce RTX 4080"
        device_id = 0x2704
        uuid = "GPU-3c1f6a52-8d0e-4b7a-9a51-2f64e0c71b08"
        vram_mib = 256
        h2d_gb_s = 20.0
        d2h_gb_s = 20.0
        """,
        "slot.toml",
    )
    bench = opened('name = "d"\n[host]\nkind = "simulated"\nprofile = "slot.toml"\n[allow]\nreset = true\n')
    (device,) = bench.devices
    assert bench.cannot_reset(device) == "it drives the console"


def test_limits_that_cannot_be_watched_are_a_note(opened):
    bench = opened('name = "d"\n[host]\nkind = "simulated"\nprofile = "macbook-pro-usb4"\n[limits]\npower_w = 1\n')
    assert any("limits cannot be watched: NVML: there is none on macOS" in note for note in bench.notes)


def test_a_simulated_host_is_no_hardware(opened):
    with pytest.raises(HardwareRequired, match="which is simulated"):
        opened(listed(), require_hardware=True)


def test_a_wrong_file_is_told_where_it_was_named(opened):
    with pytest.raises(UsageError, match=r"HIL_BENCH: .*name: missing"):
        opened("", said={"bench": "HIL_BENCH"})
