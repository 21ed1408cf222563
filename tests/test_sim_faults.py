"""Faults: how they are named, and when they strike."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sim_rig import MIB, Rig, rigs, there_and_back

from hil.errors import DeviceGone, DeviceHung, HilError, UsageError
from hil.hosts.machine import ControlLine
from hil.hosts.wires.driver import Status
from hil.model import Direction
from hil.pci.tinygpu import open_tinygpu
from hil.sim import profile
from hil.sim.faults import choice
from hil.sim.machine import Machine

LINUX, MAC = "linux-two-enclosures", "macbook-pro-usb4"


@pytest.fixture
def switch_on() -> Iterator[Callable[..., Rig]]:
    with rigs() as start:
        yield start


def flipped(data: bytes) -> int:
    """Bits that differ from ones."""
    return sum((byte ^ 1).bit_count() for byte in data)


# The three of the first catalogue


def test_one_bit_flips_once_and_no_more(switch_on):
    rig = switch_on(None, "bit-flip")

    assert [flipped(data) for data in there_and_back(rig, copies=3)] == [1, 0, 0]


def test_as_many_bits_flip_as_often_as_is_said(switch_on):
    rig = switch_on(None, "bit-flip:bits=3,times=2,direction=H2D")

    found = [flipped(data) for data in there_and_back(rig, copies=3)]

    assert found[2] == 0
    assert all(count in (1, 3) for count in found[:2])  # the same bit may flip there and back


def test_a_fault_strikes_not_before_so_many_bytes_have_passed(switch_on):
    rig = switch_on(None, f"bit-flip:at_bytes={4 * MIB},direction=D2H")
    (data,) = there_and_back(rig, 8 * MIB)

    (wrong,) = (offset for offset, byte in enumerate(data) if byte != 1)
    assert 4 * MIB <= wrong < 6 * MIB  # the first piece that reaches beyond


def test_a_fault_strikes_at_the_nth_opportunity_and_no_other(switch_on):
    rig = switch_on(None, "bit-flip:nth=3,direction=H2D,times=9")

    assert [flipped(data) for data in there_and_back(rig, copies=5)] == [0, 0, 1, 0, 0]


def test_a_fault_strikes_not_before_its_time(switch_on):
    rig = switch_on(None, "bit-flip:at_time=10")
    host = rig.host()
    assert flipped(there_and_back(rig)[0]) == 0

    host.clock.sleep(10.0)

    assert flipped(there_and_back(rig)[0]) == 1


def test_a_fault_strikes_the_gpu_it_is_meant_for(switch_on):
    rig = switch_on(None, "bit-flip:gpu=1")

    assert flipped(there_and_back(rig, target="0")[0]) == 0
    assert flipped(there_and_back(rig, target="1")[0]) == 1


def test_chance_is_the_same_for_the_same_seed_and_another_for_another(switch_on):
    def run(seed: int) -> list[bytes]:
        rig = switch_on(None, f"bit-flip:probability=0.5,times=99,direction=H2D,seed={seed}")
        return there_and_back(rig, copies=12)

    first, again, other = run(1), run(1), run(2)

    assert first == again
    assert first != other
    assert 0 < sum(flipped(data) for data in first) < 12


def test_a_call_hangs_until_its_client_is_ended(switch_on):
    rig = switch_on(None, "call-hangs:call=alloc")
    host = rig.host()
    engine = rig.engine(host=host)
    notices: list[dict[str, object]] = []
    line = ControlLine(rig.address, lambda notice: (notices.append(notice), rig.server._disconnect(host.client)))

    with pytest.raises(DeviceHung), host.clock.operation("allocate", 5.0):
        engine.alloc(16)

    assert [(notice["operation"], notice["blocked_in"], notice["now"]) for notice in notices] == [
        ("allocate", "driver call alloc", 5.0)
    ]
    line.close()


def test_a_call_that_hangs_for_a_while_comes_back(switch_on):
    rig = switch_on(None, "call-hangs:call=memory,seconds=2.5")
    engine = rig.engine()
    engine.memory()
    engine.memory()

    assert rig.machine.clock.now() == 2.5


def test_a_cable_is_pulled_in_the_middle_of_a_copy(switch_on):
    rig = switch_on(None, f"surprise-removal:at_bytes={4 * MIB}")

    with pytest.raises(DeviceGone):
        there_and_back(rig, 16 * MIB)

    assert not rig.machine.gpus[0].reachable
    assert rig.machine.gpus[1].reachable
    assert flipped(there_and_back(rig, target="1")[0]) == 0


def test_a_cable_is_pulled_during_an_allocation(switch_on):
    rig = switch_on(None, "surprise-removal:phase=allocation,nth=2")
    engine = rig.engine()
    engine.alloc(16)

    with pytest.raises(DeviceGone) as lost:
        engine.alloc(16)
    assert lost.value.code == Status.DEVICE_LOST


def test_two_faults_act_together(switch_on):
    rig = switch_on(None, "call-hangs:call=memory,seconds=1", "bit-flip")

    assert flipped(there_and_back(rig)[0]) == 1
    rig.engine().memory()
    assert rig.machine.clock.now() > 1.0


# How a fault is named


SITE: Any = None
"""None is needed to name a fault."""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bit-flop", ["fault 'bit-flop'", "no 'bit-flop' is registered", "bit-flip", "module:Class or path.py:Class"]),
        ("bit-flip:bitts=2", ["'bit-flip:bitts=2'", "bitts", "(got '2')", "parameters: at_bytes, at_time, bits,"]),
        ("bit-flip:bits=0", ["bits", "greater than or equal to 1", "(got '0')"]),
        ("bit-flip:bits=many", ["bits", "valid integer", "(got 'many')"]),
        ("bit-flip:bits=0,times=-1,seed=x", ["bits:", "times:", "seed:"]),
        ("bit-flip:probability=2", ["probability", "less than or equal to 1", "(got '2')"]),
        ("bit-flip:direction=up", ["direction", "'H2D', 'D2H' or 'D2D'", "(got 'up')"]),
        ("bit-flip:bits", ["'bits' is not key=value"]),
        ("bit-flip:bits=1,bits=2", ["bits is given twice"]),
        ("no.such.module:Class", ["no.such.module cannot be imported", "No module named 'no'"]),
        ("json:JSONDecoder", ["JSONDecoder", "no subclass of hil.sim.faults.base.Fault"]),
        ("json:dumps", ["no subclass of"]),
        ("json:Nothing", ["json has no class Nothing"]),
        ("hil.sim.faults.base:Fault", ["class Fault lacks name, domain, story, seen_by"]),
        ("/no/such/file.py:Class", ["/no/such/file.py cannot be imported", "FileNotFoundError"]),
        ("", ["fault ''"]),
    ],
)
def test_what_cannot_be_understood_is_one_message_that_names_it(text, words):
    with pytest.raises(UsageError) as refused:
        choice.make(text, SITE)

    for word in words:
        assert word in str(refused.value)


def test_parameters_are_read_with_spaces_and_without_any():
    assert choice.make("bit-flip", SITE).parameters.bits == 1
    made = choice.make("bit-flip: bits = 2 , direction=D2D", SITE)
    assert (made.parameters.bits, made.parameters.direction) == (2, Direction.D2D)


def test_a_gpu_that_the_machine_has_not_is_refused():
    known = profile.load(LINUX)

    with pytest.raises(UsageError, match=r"fault bit-flip: gpu = 2: this machine has 2 GPUs"):
        Machine(known, lambda site: [choice.make("bit-flip:gpu=2", site)])


OWN = '''
    """A fault of one's own, as docs/faults.md has it."""
    from __future__ import annotations

    from typing import Annotated

    from pydantic import Field

    from hil.sim.faults import base


    class Parameters(base.Trigger):
        stuck: Annotated[int, Field(ge=0, le=255, description="what every byte reads as")] = 0


    class StuckByte(base.Fault):
        name, domain, seen_by = "stuck-byte", "memory", "transfer"
        story = "A cell holds one value, whatever is written to it."
        Parameters = Parameters

        def on_vram_write(self, gpu: int, address: int, data: bytes) -> bytes:
            return bytes([self.parameters.stuck]) + data[1:] if self.strikes(gpu, len(data)) else data
'''


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own_fault.py"
    path.write_text(textwrap.dedent(OWN))
    return path


def test_a_fault_of_ones_own_is_named_by_its_file(own, switch_on):
    rig = switch_on(None, f"{own}:StuckByte:stuck=7")

    assert there_and_back(rig)[0][:3] == b"\7\1\1"
    with pytest.raises(UsageError, match="stuck"):
        choice.make(f"{own}:StuckByte:stuck=256", SITE)


def test_a_fault_of_ones_own_is_named_by_its_module(own, switch_on, monkeypatch):
    monkeypatch.syspath_prepend(str(own.parent))

    rig = switch_on(None, "own_fault:StuckByte")

    assert there_and_back(rig)[0][:2] == b"\0\1"


def test_a_file_of_ones_own_hides_no_module(own, tmp_path):
    (tmp_path / "json.py").write_text(own.read_text())
    before = sys.modules["json"]

    choice.make(f"{tmp_path / 'json.py'}:StuckByte", SITE)

    assert sys.modules["json"] is before


@pytest.mark.parametrize("text", ["raise RuntimeError('no')", "def (", "import no_such_module", "1 / 0"])
def test_a_file_that_cannot_be_run_is_one_message(tmp_path, text):
    path = tmp_path / "broken.py"
    path.write_text(text)

    with pytest.raises(UsageError, match=r"broken\.py cannot be imported: \w+: "):
        choice.make(f"{path}:Class", SITE)


SLOW = '''
    """Accesses that take long."""
    from hil.sim.faults import base


    class SlowAccess(base.Fault):
        name, domain, seen_by = "slow-access", "driver", "driver"
        story = "Whoever answers has other things to do."
        seconds = 3.0

        def on_file_read(self, path: str, data: bytes) -> bytes:
            self.slow(path.endswith("/vendor"))
            if path.endswith("/device"):
                self.slow(True)
                raise OSError(5, "no")
            return data

        def on_config_read(self, address: str, offset: int, data: bytes) -> bytes:
            self.slow(offset == 8)
            return data

        def slow(self, really: bool) -> None:
            if really and self.strikes():
                self.site.take(self.seconds)


    class Never(SlowAccess):
        seconds = base.NEVER
'''


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    path = tmp_path / "slow_access.py"
    path.write_text(textwrap.dedent(SLOW))
    return path


def test_a_file_takes_as_long_as_a_fault_wants_also_to_refuse(slow, switch_on):
    rig = switch_on(LINUX, f"{slow}:SlowAccess")
    host = rig.host()
    folder = "/sys/bus/pci/devices/0000:04:00.0"

    host.read(f"{folder}/vendor")
    assert rig.machine.clock.now() == pytest.approx(3.0)
    with pytest.raises(OSError, match="no"):
        host.read(f"{folder}/device")
    assert rig.machine.clock.now() == pytest.approx(6.0)
    host.pread(f"{folder}/config", 4, 8)
    assert rig.machine.clock.now() == pytest.approx(9.0)
    host.read(f"{folder}/class")
    assert rig.machine.clock.now() == pytest.approx(9.0)


def test_a_register_behind_tinygpu_takes_as_long_as_a_fault_wants(slow, switch_on):
    rig = switch_on(MAC, f"{slow}:SlowAccess")
    function = open_tinygpu(rig.host(), "0000:04:00.0")

    function.config_read(0, 4)
    before = rig.machine.clock.now()
    function.config_read(8, 4)

    assert rig.machine.clock.now() - before == pytest.approx(3.0)


def test_an_access_that_never_comes_back_hangs(slow, switch_on):
    rig = switch_on(LINUX, f"{slow}:Never")
    host = rig.host()
    notices: list[dict[str, object]] = []
    line = ControlLine(rig.address, lambda notice: (notices.append(notice), rig.server._disconnect(host.client)))

    with pytest.raises(HilError), host.clock.operation("look", 5.0):
        host.read("/sys/bus/pci/devices/0000:04:00.0/vendor")

    assert [notice["blocked_in"] for notice in notices] == ["read /sys/bus/pci/devices/0000:04:00.0/vendor"]
    line.close()
