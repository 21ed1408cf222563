"""A small NVML library as a Python object, under pynvml's real marshalling."""

# ruff: noqa: N802  (NVML's own names)
from __future__ import annotations

import ctypes
from typing import Any

UUID = b"GPU-7a3c1d52-9e04-4b6f-8f21-0c5d9be47a10"
SERIAL = b"1321022034567"
HANDLE = 0x7F5A00001000
SUCCESS, INSUFFICIENT_SIZE, NOT_FOUND = 0, 7, 6


class Library:
    """One card. Its memory in use rises with every question."""

    def __init__(self) -> None:
        self.used = 0

    def nvmlInitWithFlags(self, flags: int) -> int:
        return SUCCESS

    def nvmlShutdown(self) -> int:
        return SUCCESS

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:
        count._obj.value = 1
        return SUCCESS

    def nvmlDeviceGetHandleByIndex_v2(self, index: Any, handle: Any) -> int:
        if index.value:
            return NOT_FOUND
        ctypes.c_void_p.from_buffer(handle._obj).value = HANDLE
        return SUCCESS

    def nvmlDeviceGetHandleByUUID(self, uuid: Any, handle: Any) -> int:
        if uuid.value != UUID:
            return NOT_FOUND
        ctypes.c_void_p.from_buffer(handle._obj).value = HANDLE
        return SUCCESS

    def nvmlDeviceGetUUID(self, handle: Any, buffer: Any, size: Any) -> int:
        assert ctypes.cast(handle, ctypes.c_void_p).value == HANDLE
        buffer.value = UUID
        return SUCCESS

    def nvmlDeviceGetSerial(self, handle: Any, buffer: Any, size: Any) -> int:
        buffer.value = SERIAL
        return SUCCESS

    def nvmlDeviceGetMemoryInfo(self, handle: Any, memory: Any) -> int:
        self.used += 4096
        memory._obj.total, memory._obj.used = 1 << 34, self.used
        return SUCCESS

    def nvmlDeviceGetFieldValues(self, handle: Any, count: Any, values: Any) -> int:
        for value in values._obj:
            value.value.uiVal = value.fieldId * 10
        return SUCCESS

    def nvmlDeviceGetComputeRunningProcesses_v3(self, handle: Any, count: Any, processes: Any) -> int:
        if processes is None:
            count._obj.value = 1
            return INSUFFICIENT_SIZE
        count._obj.value = 1
        processes[0].pid = 4711
        return SUCCESS

    def nvmlErrorString(self, code: int) -> bytes:
        return b"Error %d" % code
