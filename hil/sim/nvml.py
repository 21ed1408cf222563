"""What the simulated Linux machine's NVML answers, at the level of its C functions.

NVML knows the cards that NVIDIA's driver is bound to. A handle stands for a card as it was plugged in when the handle
was asked for: once that is over it says GPU_IS_LOST, whatever sits there now. An answer is a dict:

    code     return code of nvml.h; 0 = success
    values   outputs by name: ``value`` of functions that return one number, ``text``, ``device`` (a handle),
             ``current`` and ``pending`` of the ECC mode, and the fields of structures by their own names
    gpu      index of the card asked about, or `None`
    seconds  that the call takes; infinity = it never comes back

Faults see it in `on_nvml` and may change any of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hil.sim import config_space as layout
from hil.sim.machine import Machine
from hil.sim.nvml_sensors import HARDWARE_CELSIUS, SHUTDOWN_CELSIUS, Sensors
from hil.sim.parts import Function, SimGpu

Reply = tuple[dict[str, Any], bytes, float]
INVALID_ARGUMENT, NOT_SUPPORTED, NOT_FOUND = 2, 3, 6
LIBRARY_NOT_FOUND, FUNCTION_NOT_FOUND, GPU_IS_LOST, VERSION_MISMATCH = 12, 13, 15, 25
MEMORY_V2, TEMPERATURE_V1 = 0x02000028, 0x0100000C
"""Versions of structures: their size, and their number in the top byte."""
GPU_SENSOR = 0
CURRENT_CLOCK, DEFAULT_APPLICATION_CLOCK = 0, 2
"""nvml.h, nvmlClockId_t."""
_FIRST_CUDA_13 = 580
"""Release of the driver that came with CUDA 13."""
_FIRST_HANDLE, _HANDLE_STEP = 0x7F5A_0000_1000, 0x1B8
"""Handles look like addresses inside a library."""
_VBIOS_RELEASES = {0x17: 0x94, 0x19: 0x95, 0x1B: 0x98}
"""First part of the VBIOS version by architecture: Ampere, Ada, Blackwell, as owners' tools print it."""
_BUS_ID = re.compile(r"(?:([0-9a-f]{1,8}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})(?:\.[0-7])?")

Values = Mapping[str, Any]


class Refused(Exception):  # noqa: N818  (an answer, not a failure of ours)
    """NVML answers with a return code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True, eq=False)
class Card:
    """A card as it is plugged in now: what a handle stands for."""

    gpu: SimGpu
    function: Function

    @property
    def here(self) -> bool:
        """Whether it still is, and NVIDIA's driver has it."""
        return self.gpu.function is self.function and self.function.ready and self.function.driver == "nvidia"


class Nvml:
    """NVML of one machine; called with the machine's lock held."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._sensors = Sensors(machine)
        self._handles: dict[int, Card] = {}
        self._of_system: Mapping[str, Callable[[Values], Values]] = {
            "nvmlInit_v2": lambda _: {},
            "nvmlInitWithFlags": lambda _: {},
            "nvmlShutdown": lambda _: {},
            "nvmlSystemGetDriverVersion": lambda _: {"text": self._driver()},
            "nvmlSystemGetNVMLVersion": lambda _: {"text": self._version()},
            "nvmlDeviceGetCount_v2": lambda _: {"value": len(self._cards())},
            "nvmlDeviceGetHandleByIndex_v2": self._by_index,
            "nvmlDeviceGetHandleByUUID": self._by_uuid,
            "nvmlDeviceGetHandleByPciBusId_v2": self._by_bus_id,
        }
        sensors = self._sensors
        self._of_card: Mapping[str, Callable[[Card, Values], Values]] = {
            "nvmlDeviceGetName": lambda card, _: {"text": card.gpu.spec.name},
            "nvmlDeviceGetUUID": lambda card, _: {"text": card.gpu.identity.uuid},
            "nvmlDeviceGetSerial": lambda card, _: {"text": _serial(card)},
            "nvmlDeviceGetVbiosVersion": lambda card, _: {"text": _vbios(card)},
            "nvmlDeviceGetPciInfo_v3": lambda card, _: _pci_info(card.function),
            "nvmlDeviceGetMemoryInfo": lambda card, _: _memory(card.gpu),
            "nvmlDeviceGetMemoryInfo_v2": _memory_v2,
            "nvmlDeviceGetTemperature": lambda card, given: self._temperature(card, given["sensor"]),
            "nvmlDeviceGetTemperatureV": self._versioned_temperature,
            "nvmlDeviceGetTemperatureThreshold": lambda _, given: _threshold(given["threshold"]),
            "nvmlDeviceGetPowerUsage": lambda card, _: {"value": round(sensors.watts(card.gpu) * 1000)},
            "nvmlDeviceGetEnforcedPowerLimit": lambda card, _: {"value": round(card.gpu.spec.power_limit_w * 1000)},
            "nvmlDeviceGetClockInfo": lambda card, given: {"value": sensors.megahertz(card.gpu, _clock(given))},
            "nvmlDeviceGetClock": self._clock_of,
            "nvmlDeviceGetMaxClockInfo": lambda card, given: {"value": sensors.highest(card.gpu, _clock(given))},
            "nvmlDeviceGetPerformanceState": lambda card, _: {"value": sensors.performance_state(card.gpu)},
            "nvmlDeviceGetCurrPcieLinkGeneration": lambda card, _: self._link(card, layout.LINK_STATUS, 0, 0xF),
            "nvmlDeviceGetCurrPcieLinkWidth": lambda card, _: self._link(card, layout.LINK_STATUS, 4, 0x3F),
            "nvmlDeviceGetMaxPcieLinkGeneration": lambda card, _: self._link(card, layout.LINK_CAPABILITIES, 0, 0xF),
            "nvmlDeviceGetMaxPcieLinkWidth": lambda card, _: self._link(card, layout.LINK_CAPABILITIES, 4, 0x3F),
            "nvmlDeviceGetPcieReplayCounter": lambda card, _: {"value": _replays(card.function)},
            "nvmlDeviceGetCurrentClocksThrottleReasons": lambda card, _: {"value": sensors.reasons(card.gpu)},
            "nvmlDeviceGetCurrentClocksEventReasons": lambda card, _: {"value": sensors.reasons(card.gpu)},
            "nvmlDeviceGetEccMode": lambda card, _: _ecc(card),
            "nvmlDeviceGetUtilizationRates": lambda card, _: sensors.rates(card.gpu),
        }

    def request(self, request: dict[str, Any], _payload: bytes) -> Reply:
        """Answer a request ``{function, given}`` of a client with ``{code, values}`` and the seconds it takes."""
        name = str(request["function"])
        answer = self._machine.hooks.change("nvml", name, value=self.answer(name, request["given"]))
        return {"code": int(answer["code"]), "values": dict(answer["values"])}, b"", float(answer["seconds"])

    def answer(self, name: str, given: Values) -> dict[str, Any]:
        """The answer that a machine without faults gives."""
        card = self._handles.get(given.get("device") or 0)
        answer: dict[str, Any] = {
            "code": 0, "values": {}, "gpu": card.gpu.index if card else None, "seconds": 0.0,
        }  # fmt: skip
        try:
            answer["values"] = dict(self._values(name, card, given))
        except Refused as refusal:
            answer["code"] = refusal.code
        return answer

    def _values(self, name: str, card: Card | None, given: Values) -> Values:
        if not self._driver():
            raise Refused(LIBRARY_NOT_FOUND)
        if name in self._of_system:
            return self._of_system[name](given)
        if name not in self._of_card:
            raise Refused(FUNCTION_NOT_FOUND)
        if card is None:
            raise Refused(INVALID_ARGUMENT)
        if not card.here:
            raise Refused(GPU_IS_LOST)
        return self._of_card[name](card, given)

    # The system and its cards -----------------------------------------------------------------------------------------

    def _driver(self) -> str:
        return self._machine.profile.host.driver_version

    def _version(self) -> str:
        release = self._driver().split(".")[0]
        return f"{13 if release.isdecimal() and int(release) >= _FIRST_CUDA_13 else 12}.{self._driver()}"

    def _cards(self) -> list[Card]:
        """All cards that NVML knows, by bus address."""
        found = [Card(gpu, gpu.function) for gpu in self._machine.gpus if gpu.function is not None]
        return sorted((card for card in found if card.here), key=lambda card: card.function.address)

    def _by_index(self, given: Values) -> Values:
        cards = self._cards()
        if not 0 <= given["index"] < len(cards):
            raise Refused(INVALID_ARGUMENT)
        return self._handle(cards[given["index"]])

    def _by_uuid(self, given: Values) -> Values:
        return self._handle(next((card for card in self._cards() if card.gpu.identity.uuid == given["uuid"]), None))

    def _by_bus_id(self, given: Values) -> Values:
        match = _BUS_ID.fullmatch(given["bus_id"].lower())
        if match is None:
            raise Refused(INVALID_ARGUMENT)
        wanted = tuple(int(part or "0", 16) for part in match.groups())
        return self._handle(next((card for card in self._cards() if _place(card.function) == wanted), None))

    def _handle(self, card: Card | None) -> Values:
        if card is None:
            raise Refused(NOT_FOUND)
        for handle, known in self._handles.items():
            if known.function is card.function:
                return {"device": handle}
        handle = _FIRST_HANDLE + _HANDLE_STEP * len(self._handles)
        self._handles[handle] = card
        return {"device": handle}

    # What a card says -------------------------------------------------------------------------------------------------

    def _temperature(self, card: Card, sensor: int) -> Values:
        if sensor != GPU_SENSOR:
            raise Refused(INVALID_ARGUMENT)
        return {"value": round(self._sensors.celsius(card.gpu))}

    def _versioned_temperature(self, card: Card, given: Values) -> Values:
        reading = given["reading"]
        if reading.get("version") != TEMPERATURE_V1:
            raise Refused(VERSION_MISMATCH)
        return {"temperature": self._temperature(card, reading.get("sensorType", GPU_SENSOR))["value"]}

    def _clock_of(self, card: Card, given: Values) -> Values:
        if given["which"] == CURRENT_CLOCK:
            return {"value": self._sensors.megahertz(card.gpu, _clock(given))}
        if given["which"] != DEFAULT_APPLICATION_CLOCK or not _is_workstation(card):
            raise Refused(NOT_SUPPORTED)
        return {"value": self._sensors.default_application(card.gpu, _clock(given))}

    def _link(self, card: Card, register: int, shift: int, mask: int) -> Values:
        raw = int.from_bytes(self._machine.config_read(card.function, register, 2), "little")
        return {"value": raw >> shift & mask}


def _place(function: Function) -> tuple[int, int, int]:
    """Domain, bus and device of a function."""
    domain, bus, device = function.address.split(".")[0].split(":")
    return int(domain, 16), int(bus, 16), int(device, 16)


def _pci_info(function: Function) -> Values:
    domain, bus, device = _place(function)
    config = function.config
    return {
        "busIdLegacy": f"{domain:04X}:{bus:02X}:{device:02X}.0",
        "busId": f"{domain:08X}:{bus:02X}:{device:02X}.0",
        "domain": domain,
        "bus": bus,
        "device": device,
        "pciDeviceId": config.device_id << 16 | config.vendor_id,
        "pciSubSystemId": config.subsystem[1] << 16 | config.subsystem[0],
    }


def _memory(gpu: SimGpu) -> Values:
    total, free = gpu.spec.vram_bytes, gpu.heap.free_bytes
    return {"total": total, "free": free, "used": total - free}


def _memory_v2(card: Card, given: Values) -> Values:
    if given["memory"].get("version") != MEMORY_V2:
        raise Refused(VERSION_MISMATCH)
    values, reserved = _memory(card.gpu), card.gpu.heap.reserved
    return {**values, "used": values["used"] - reserved, "reserved": reserved}


def _is_workstation(card: Card) -> bool:
    return "GeForce" not in card.gpu.spec.name


def _digest(card: Card) -> bytes:
    return hashlib.sha256(card.gpu.identity.uuid.encode()).digest()


def _serial(card: Card) -> str:
    if not _is_workstation(card):
        raise Refused(NOT_SUPPORTED)
    return f"132{int.from_bytes(_digest(card)[:5], 'big') % 10**10:010d}"


def _vbios(card: Card) -> str:
    architecture, chip = card.gpu.spec.boot_0 >> 24 & 0xFF, card.gpu.spec.boot_0 >> 20 & 0xF
    release = _VBIOS_RELEASES.get(architecture, max(_VBIOS_RELEASES.values()))
    return ".".join(f"{part:02X}" for part in (release, chip, *_digest(card)[:3]))


def _ecc(card: Card) -> Values:
    if not _is_workstation(card):
        raise Refused(NOT_SUPPORTED)
    return {"current": 0, "pending": 0}


def _replays(function: Function) -> int:
    """A replay number that rolled over stands for four replays in a row (PCI Express base specification, 3.6.2)."""
    counted = function.aer.get("correctable", {})
    return counted.get("Timeout", 0) + 4 * counted.get("Rollover", 0)


def _threshold(kind: int) -> Values:
    known = {0: SHUTDOWN_CELSIUS, 1: HARDWARE_CELSIUS}
    if kind not in known:
        raise Refused(NOT_SUPPORTED)
    return {"value": round(known[kind])}


def _clock(given: Values) -> str:
    kinds = {0: "graphics", 1: "graphics", 2: "memory", 3: "graphics"}
    if given["clock"] not in kinds:
        raise Refused(INVALID_ARGUMENT)
    return kinds[given["clock"]]
