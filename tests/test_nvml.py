"""NVML through the real pynvml on simulated machines: C-level answers, one library at a time, discovery, both ids."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pynvml
import pytest
from sim_rig import Rig
from tree_host import TreeHost, tree

from hil.discovery import discover, glance, nvml
from hil.errors import BenchFault, DriverError, NotSupported
from hil.hosts.nvml_session import nvml_session
from hil.hosts.simulated import SimulatedHost
from hil.model import Gpu, HostFacts, Inventory, PciFunction, found_again, gpu_aliases
from hil.sim import profile
from hil.sim.faults.base import Fault, Site, Trigger

LINUX, MAC = "linux-two-enclosures", "macbook-pro-usb4"
ADA, GEFORCE = "GPU-a85e2c10-54f7-4f0d-8a0b-6a1f1c9be702", "GPU-0b6d6f8e-27c3-4d55-bb5e-90d4a3cf2e11"
ADA_PATH = "004101a0c4f20777/10de-26b1-10de-16a1/0"
MIB = 1 << 20


@pytest.fixture
def switch_on() -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def start(chosen: Any = LINUX, *faults: Any) -> Rig:
        rigs.append(Rig(chosen, *faults))
        return rigs[-1]

    yield start
    for rig in rigs:
        rig.close()


@pytest.fixture
def host(switch_on) -> SimulatedHost:
    return switch_on().host()


def answers(**changes: Any) -> Callable[[Site], Fault]:
    """A fault that changes what NVML functions answer: ``nvmlX={"code": 3}``."""

    class Liar(Fault):
        name = "liar"

        def on_nvml(self, function: str, answer: Any) -> Any:
            return {**answer, **changes.get(function, {})}

    return lambda site: Liar(Trigger(), site)


def code(call: Callable[..., Any], *arguments: Any) -> int:
    with pytest.raises(pynvml.NVMLError) as caught:
        call(*arguments)
    return caught.value.value


def without_driver(name: str = LINUX) -> profile.Profile:
    known = profile.load(name)
    return known.model_copy(update={"host": known.host.model_copy(update={"driver_version": ""})})


# What the library answers


def test_versions_and_count_are_told(host):
    with nvml_session(host) as session, session.use() as nv:
        assert nv.nvmlSystemGetDriverVersion() == "580.95.05"
        assert nv.nvmlSystemGetNVMLVersion() == "13.580.95.05"
        assert nv.nvmlDeviceGetCount() == 2


def test_a_card_identifies_itself(host):
    with nvml_session(host) as session, session.use() as nv:
        card = nv.nvmlDeviceGetHandleByIndex(1)
        info = nv.nvmlDeviceGetPciInfo(card)

        assert nv.nvmlDeviceGetName(card) == "NVIDIA GeForce RTX 4090"
        assert nv.nvmlDeviceGetUUID(card) == GEFORCE
        assert (info.busIdLegacy, info.busId) == ("0000:24:00.0", "00000000:24:00.0")
        assert (info.domain, info.bus, info.device) == (0, 0x24, 0)
        assert (info.pciDeviceId, info.pciSubSystemId) == (0x268410DE, 0x889B1043)
        assert nv.nvmlDeviceGetVbiosVersion(card).startswith("95.02.")


def test_only_workstation_cards_have_serial_numbers_and_an_ecc_mode(host):
    with nvml_session(host) as session, session.use() as nv:
        ada, geforce = nv.nvmlDeviceGetHandleByUUID(ADA), nv.nvmlDeviceGetHandleByUUID(GEFORCE)

        assert nv.nvmlDeviceGetSerial(ada).isdecimal()
        assert nv.nvmlDeviceGetEccMode(ada) == [0, 0]
        assert code(nv.nvmlDeviceGetSerial, geforce) == pynvml.NVML_ERROR_NOT_SUPPORTED
        assert code(nv.nvmlDeviceGetEccMode, geforce) == pynvml.NVML_ERROR_NOT_SUPPORTED


def test_memory_follows_allocations_and_the_versions_differ_in_what_is_reserved(switch_on):
    rig = switch_on()
    engine = rig.engine("0")
    engine.alloc(256 * MIB)

    with nvml_session(rig.host()) as session, session.use() as nv:
        card = nv.nvmlDeviceGetHandleByUUID(ADA)
        old, new = nv.nvmlDeviceGetMemoryInfo(card), nv.nvmlDeviceGetMemoryInfo(card, pynvml.nvmlMemory_v2)

        assert old.total == new.total == 49140 * MIB
        assert old.used == old.total - old.free == 320 * MIB
        assert (new.used, new.reserved) == (256 * MIB, 64 * MIB)
        assert code(nv.nvmlDeviceGetMemoryInfo, card, 0x03000028) == pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH


def test_the_link_is_what_the_bus_says(host):
    with nvml_session(host) as session, session.use() as nv:
        card = nv.nvmlDeviceGetHandleByIndex(0)

        assert (nv.nvmlDeviceGetCurrPcieLinkGeneration(card), nv.nvmlDeviceGetCurrPcieLinkWidth(card)) == (4, 4)
        assert (nv.nvmlDeviceGetMaxPcieLinkGeneration(card), nv.nvmlDeviceGetMaxPcieLinkWidth(card)) == (4, 16)


def test_replays_follow_from_the_error_counters_of_the_bus(switch_on):
    rig = switch_on()
    rig.machine.gpus[0].function.aer["correctable"] = {"Timeout": 3, "Rollover": 2, "BadTLP": 9}

    with nvml_session(rig.host()) as session, session.use() as nv:
        assert nv.nvmlDeviceGetPcieReplayCounter(nv.nvmlDeviceGetHandleByUUID(ADA)) == 11


@pytest.mark.parametrize("bus_id", ["0000:04:00.0", "00000000:04:00.0", "04:00", "0000:04:00"])
def test_a_card_is_found_by_any_form_of_its_bus_id(host, bus_id):
    with nvml_session(host) as session, session.use() as nv:
        assert nv.nvmlDeviceGetUUID(nv.nvmlDeviceGetHandleByPciBusId(bus_id)) == ADA


def test_what_is_not_there_has_a_code_of_its_own(host):
    with nvml_session(host) as session, session.use() as nv:
        card = nv.nvmlDeviceGetHandleByIndex(0)

        assert code(nv.nvmlDeviceGetHandleByIndex, 2) == pynvml.NVML_ERROR_INVALID_ARGUMENT
        assert code(nv.nvmlDeviceGetHandleByUUID, "GPU-0") == pynvml.NVML_ERROR_NOT_FOUND
        assert code(nv.nvmlDeviceGetHandleByPciBusId, "0000:77:00.0") == pynvml.NVML_ERROR_NOT_FOUND
        assert code(nv.nvmlDeviceGetHandleByPciBusId, "over there") == pynvml.NVML_ERROR_INVALID_ARGUMENT
        assert code(nv.nvmlDeviceGetName, None) == pynvml.NVML_ERROR_INVALID_ARGUMENT
        assert code(nv.nvmlDeviceGetTemperature, card, 1) == pynvml.NVML_ERROR_INVALID_ARGUMENT
        assert code(nv.nvmlDeviceGetClockInfo, card, 4) == pynvml.NVML_ERROR_INVALID_ARGUMENT


def test_a_function_that_the_machine_does_not_have_is_not_found(host):
    with nvml_session(host) as session, session.use() as nv:
        card = nv.nvmlDeviceGetHandleByIndex(0)

        assert code(nv.nvmlDeviceGetFanSpeed, card) == pynvml.NVML_ERROR_FUNCTION_NOT_FOUND
        assert host._ask_nvml("nvmlDeviceGetFanSpeed", {"device": 1})[0] == pynvml.NVML_ERROR_FUNCTION_NOT_FOUND
        assert nv.nvmlErrorString(pynvml.NVML_ERROR_IN_USE) == "NVML return code 19"


def test_nothing_is_answered_before_it_was_initialized_nor_after_the_shutdown(host):
    library = host.nvml()
    count = ctypes.c_uint()

    codes = [
        library.nvmlDeviceGetCount_v2(ctypes.byref(count)),
        library.nvmlInit_v2(),
        library.nvmlDeviceGetCount_v2(ctypes.byref(count)),
        library.nvmlShutdown(),
        library.nvmlDeviceGetCount_v2(ctypes.byref(count)),
    ]

    assert codes == [pynvml.NVML_ERROR_UNINITIALIZED, 0, 0, 0, pynvml.NVML_ERROR_UNINITIALIZED]
    assert count.value == 2


def test_arguments_are_taken_as_a_c_function_takes_them(host):
    library = host.nvml()
    library.nvmlInitWithFlags(0)
    count, short, version = ctypes.c_uint(), ctypes.create_string_buffer(9), ctypes.create_string_buffer(10)

    assert library.nvmlDeviceGetCount_v2(ctypes.pointer(count)) == 0
    assert count.value == 2
    assert library.nvmlSystemGetDriverVersion(short, ctypes.c_uint(9)) == pynvml.NVML_ERROR_INSUFFICIENT_SIZE
    assert library.nvmlSystemGetDriverVersion(version, 10) == 0
    assert version.value == b"580.95.05"
    assert library.nvmlDeviceGetCount_v2() == pynvml.NVML_ERROR_INVALID_ARGUMENT
    assert library.nvmlDeviceGetCount_v2(ctypes.POINTER(ctypes.c_uint)()) == pynvml.NVML_ERROR_INVALID_ARGUMENT
    handle = pynvml.c_nvmlDevice_t()
    assert library.nvmlDeviceGetHandleByUUID(None, ctypes.byref(handle)) == pynvml.NVML_ERROR_NOT_FOUND


# Cards that come and go


def test_the_handle_of_an_unplugged_card_is_lost_for_good(switch_on):
    rig = switch_on()
    host = rig.host()
    with nvml_session(host) as session, session.use() as nv:
        old = nv.nvmlDeviceGetHandleByUUID(ADA)

        rig.do(rig.machine.detach, rig.machine.enclosures[0])
        lost = code(nv.nvmlDeviceGetTemperature, old, 0)
        left = nv.nvmlDeviceGetCount()
        unknown = code(nv.nvmlDeviceGetHandleByUUID, ADA)
        host.clock.sleep(1)
        rig.do(rig.machine.attach, rig.machine.enclosures[0])
        host.clock.sleep(5)

        assert (lost, left, unknown) == (pynvml.NVML_ERROR_GPU_IS_LOST, 1, pynvml.NVML_ERROR_NOT_FOUND)
        assert code(nv.nvmlDeviceGetTemperature, old, 0) == pynvml.NVML_ERROR_GPU_IS_LOST
        assert nv.nvmlDeviceGetUUID(nv.nvmlDeviceGetHandleByUUID(ADA)) == ADA


def test_a_card_that_the_driver_let_go_of_is_unknown(switch_on):
    host = switch_on().host()
    host.write("/sys/bus/pci/drivers/nvidia/unbind", b"0000:04:00.0")

    with nvml_session(host) as session, session.use() as nv:
        assert nv.nvmlDeviceGetCount() == 1
        assert nv.nvmlDeviceGetUUID(nv.nvmlDeviceGetHandleByIndex(0)) == GEFORCE


# Faults


def test_a_fault_changes_code_values_and_time(switch_on):
    host = switch_on(
        LINUX,
        answers(
            nvmlDeviceGetName={"values": {"text": "Something else"}},
            nvmlDeviceGetUUID={"code": 10},
            nvmlDeviceGetCount_v2={"seconds": 2.5},
            nvmlDeviceGetPowerUsage={"values": {}},
        ),
    ).host()

    with nvml_session(host) as session, session.use() as nv:
        card = nv.nvmlDeviceGetHandleByIndex(0)
        nv.nvmlDeviceGetCount()

        assert nv.nvmlDeviceGetName(card) == "Something else"
        assert code(nv.nvmlDeviceGetUUID, card) == pynvml.NVML_ERROR_TIMEOUT
        assert host.clock.now() == 2.5
        assert nv.nvmlDeviceGetPowerUsage(card) == 0


def test_a_fault_sees_which_card_is_asked(switch_on):
    seen = []

    class Watcher(Fault):
        name = "watcher"

        def on_nvml(self, function: str, answer: Any) -> Any:
            seen.append((function, answer["gpu"]))
            return answer

    host = switch_on(LINUX, lambda site: Watcher(Trigger(), site)).host()

    nvml.discover(host)

    assert [gpu for function, gpu in seen if function == "nvmlDeviceGetUUID"] == [0, 1]
    assert seen[0] == ("nvmlInitWithFlags", None)


# One library at a time


def test_two_machines_in_one_process_answer_for_themselves(switch_on):
    other = profile.load(LINUX)
    other = other.model_copy(update={"gpu": (other.gpu[1].model_copy(update={"name": "NVIDIA Other"}),)})
    with nvml_session(switch_on().host()) as first, nvml_session(switch_on(other).host()) as second:
        names = []
        for session in (first, second, first):
            with session.use() as nv:
                names.append(nv.nvmlDeviceGetName(nv.nvmlDeviceGetHandleByUUID(GEFORCE)))

    assert names == ["NVIDIA GeForce RTX 4090", "NVIDIA Other", "NVIDIA GeForce RTX 4090"]


def test_a_program_that_uses_pynvml_itself_finds_it_as_it_left_it(host, monkeypatch):
    own, pointers = object(), {"nvmlShutdown": object()}
    monkeypatch.setattr(pynvml, "nvmlLib", own)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", pointers)

    discover(host)

    assert pynvml.nvmlLib is own
    assert pynvml._nvmlGetFunctionPointer_cache is pointers
    assert list(pointers) == ["nvmlShutdown"]


def test_a_shutdown_that_fails_is_nobodys_concern(switch_on):
    host = switch_on(LINUX, answers(nvmlShutdown={"code": 999})).host()

    with nvml_session(host) as session, session.use() as nv:
        count = nv.nvmlDeviceGetCount()

    assert count == 2


# Discovery


def test_uuids_names_and_memory_are_discovered_and_the_ids_by_place_are_kept(host):
    found = discover(host)

    assert {(gpu.id, gpu.path_id) for gpu in found.gpus} == {
        (ADA, ADA_PATH),
        (GEFORCE, "00b70d03be44a810/10de-2684-1043-889b/0"),
    }
    assert {gpu.name: gpu.vram_bytes for gpu in found.gpus} == {
        "NVIDIA RTX 6000 Ada Generation": 49140 * MIB,
        "NVIDIA GeForce RTX 4090": 24564 * MIB,
    }
    assert (found.problems, "NVML" in found.looked_at) == ((), True)


def test_a_glance_opens_no_device_and_tells_the_ids_by_place(host):
    found = glance(host)

    assert [gpu.id for gpu in found.gpus] == [gpu.path_id for gpu in found.gpus]
    assert ADA_PATH in [gpu.id for gpu in found.gpus]
    assert found.looked_at == ("/sys/bus/thunderbolt/devices", "/sys/bus/pci/devices")


def test_a_gpu_is_in_the_inventory_by_either_of_its_ids(host):
    found = discover(host)

    assert found.gpu(ADA) is found.gpu(ADA_PATH) is not None
    assert found.gpu("") is None


def test_macos_is_never_asked_for_nvml(switch_on):
    host = switch_on(MAC).host()

    assert nvml.discover(host) is None
    with pytest.raises(NotSupported, match="macOS"):
        host.nvml()
    with pytest.raises(NotSupported, match="macOS"), nvml_session(host):
        pass


def test_a_machine_without_an_nvidia_gpu_does_not_load_pynvml(switch_on, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)

    assert nvml.discover(switch_on("empty-linux").host()) is None


def test_without_pynvml_there_are_ids_by_place_and_no_problem(host, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)

    found = discover(host)

    assert [gpu.id for gpu in found.gpus] == [gpu.path_id for gpu in found.gpus]
    assert found.problems == ()


def test_gpus_without_a_driver_are_one_problem(switch_on):
    found = discover(switch_on(without_driver()).host())

    assert [problem for problem in found.problems if "NVML" in problem] == [
        (
            "NVML: NVIDIA's driver is not installed (no libnvidia-ml.so.1): UUIDs and memory sizes of the GPUs here "
            "are not known."
        )
    ]
    assert [gpu.uuid for gpu in found.gpus] == ["", ""]


@pytest.mark.parametrize(("refusal", "said"), [(9, "not loaded"), (18, "code 18")])
def test_an_nvml_that_does_not_come_up_is_one_problem(switch_on, refusal, said):
    found = discover(switch_on(LINUX, answers(nvmlInitWithFlags={"code": refusal})).host())

    assert len(found.problems) == 1
    assert said in found.problems[0]


def test_a_card_that_nvml_has_lost_does_not_cost_the_others(switch_on):
    class Lost(Fault):
        name = "lost"

        def on_nvml(self, function: str, answer: Any) -> Any:
            return {**answer, "code": 15} if answer["gpu"] == 0 else answer

    found = discover(switch_on(LINUX, lambda site: Lost(Trigger(), site)).host())

    assert {gpu.id for gpu in found.gpus} == {ADA_PATH, GEFORCE}
    assert found.problems == ("NVML tells neither UUID nor memory of GPU 0000:04:00.0: GPU is lost (code 15).",)


CARD = "[pci 0000:00:01.0/0000:01:00.0]\nvendor = 0x10de\ndevice = 0x2684\nclass = 0x030000\n"


def test_a_real_machine_without_the_library_is_told_apart_from_one_without_a_gpu(monkeypatch):
    def no_library(name: str) -> Any:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(pynvml, "CDLL", no_library)
    with_card, without = tree(CARD), TreeHost()
    with_card.nvml = without.nvml = lambda: None  # as a local host: let pynvml load its library

    assert [p for p in discover(with_card).problems if "libnvidia-ml" in p]
    assert not [p for p in discover(without).problems if "NVML" in p]


def test_a_host_that_cannot_be_asked_is_one_problem():
    def broken() -> Any:
        raise BenchFault("the gateway closed")

    host = tree(CARD)
    host.nvml = broken

    found = nvml.discover(host)

    assert found.problems == ("the gateway closed: UUIDs and memory sizes of the GPUs here are not known.",)


def test_older_releases_of_pynvml_return_bytes(host, monkeypatch):
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUUID", lambda _: ADA.encode())

    assert nvml.discover(host).details["0000:04:00.0"].uuid == ADA


def test_an_error_of_the_driver_bears_its_code(switch_on):
    host = switch_on(LINUX, answers(nvmlInitWithFlags={"code": 999})).host()

    with pytest.raises(DriverError) as caught, nvml_session(host):
        pass

    assert caught.value.code == 999


# Two ids of one card


def card(uuid: str = "", path: str = "box/card/0", name: str = "NVIDIA Card") -> Gpu:
    function = PciFunction(address="0000:04:00.0", vendor_id=0x10DE, device_id=0x2684)
    return Gpu(id=uuid or path, path_id=path, uuid=uuid, name=name, function=function)


def bench(*gpus: Gpu) -> Inventory:
    return Inventory(host=HostFacts(system="Linux"), gpus=gpus)


def test_a_card_is_found_again_by_its_uuid_wherever_it_sits():
    moved = card("GPU-1", "elsewhere/card/0")

    assert found_again(bench(card("GPU-2"), moved), card("GPU-1")) == moved


def test_a_card_that_nvml_does_not_know_yet_keeps_the_id_it_had():
    again = found_again(bench(card()), card("GPU-1"))

    assert (again.id, again.uuid, again.path_id) == ("GPU-1", "GPU-1", "box/card/0")


def test_a_card_whose_uuid_becomes_known_keeps_the_id_it_had():
    again = found_again(bench(card("GPU-1")), card())

    assert (again.id, again.uuid) == ("box/card/0", "GPU-1")


def test_another_card_in_its_place_is_not_taken_for_it():
    assert found_again(bench(card("GPU-2")), card("GPU-1")) is None
    assert found_again(bench(), card("GPU-1")) is None
    assert found_again(bench(card("GPU-2")), replace(card("GPU-1"), path_id="")) is None


def test_aliases_do_not_depend_on_whether_nvml_answers():
    with_nvml = bench(card("GPU-b", "box/card/0"), card("GPU-a", "box/card/1"))
    without = bench(card("", "box/card/0"), card("", "box/card/1"))

    assert gpu_aliases(with_nvml) == {"GPU-b": "card-1", "GPU-a": "card-2"}
    assert gpu_aliases(without) == {"box/card/0": "card-1", "box/card/1": "card-2"}
