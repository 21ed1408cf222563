"""NVML through the real pynvml, on whichever host: its library object and its cache of functions, one host at a time.

pynvml keeps one library and one cache of function pointers for the whole process. A session has its own of both, and
puts them in place only while it is used: so two hosts in one process never answer for each other, and a program that
uses pynvml beside us finds it as it left it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hil.errors import DriverError, NotSupported
from hil.hosts.base import Host

NOT_SUPPORTED, NOT_FOUND, DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND, GPU_IS_LOST = 3, 6, 9, 12, 15
"""Some of nvml.h's return codes."""
NO_HARDWARE = {
    LIBRARY_NOT_FOUND: "NVIDIA's driver is not installed (no libnvidia-ml.so.1)",
    DRIVER_NOT_LOADED: "NVIDIA's driver is installed but not loaded",
}
"""Codes with which NVML has nothing to say of a machine, and what they mean there."""
_IN_USE = threading.RLock()
# What it guards is pynvml's own and there is one of it in a process.


class NvmlSession:
    """NVML of one host, initialized; close it.

    Attributes:
        failure: pynvml's ``NVMLError``, whatever version is installed.

    Raises:
        NotSupported: there is no NVML to ask. With a `code` of `NO_HARDWARE`: there is no driver; without: the host
            has none by its nature, or pynvml is not installed.
        DriverError: NVML refuses to be initialized.

    """

    def __init__(self, host: Host) -> None:
        if host.facts().system == "Darwin":
            raise NotSupported("NVML: there is none on macOS")
        try:
            import pynvml  # noqa: PLC0415  (optional, and 8,000 lines that only a host with an NVIDIA GPU should pay for)
        except ImportError as error:
            raise NotSupported("NVML: pynvml is not installed: `pip install 'hil[nvml]'`") from error
        self.failure: type[Exception] = pynvml.NVMLError
        self._pynvml: Any = pynvml
        self._library: Any = host.nvml()
        self._pointers: dict[str, Any] = {}
        try:
            with self.use() as nvml:
                nvml.nvmlInit()
        except self.failure as error:
            code = code_of(error)
            if code in NO_HARDWARE:
                raise NotSupported(f"NVML: {NO_HARDWARE[code]}", code=code) from error
            raise DriverError(f"NVML cannot be initialized: {error} (code {code})", code=code) from error

    @contextmanager
    def use(self) -> Iterator[Any]:
        """The module `pynvml`, speaking to this session's host until the end of the block."""
        module = self._pynvml
        with _IN_USE:
            before = module.nvmlLib, module._nvmlGetFunctionPointer_cache  # noqa: SLF001  (there is no public way)
            module.nvmlLib, module._nvmlGetFunctionPointer_cache = self._library, self._pointers  # noqa: SLF001
            try:
                yield module
            finally:
                self._library = module.nvmlLib  # `None` before the first use of the machine's own library
                module.nvmlLib, module._nvmlGetFunctionPointer_cache = before  # noqa: SLF001

    def close(self) -> None:
        """Shut NVML down; what it says of that is nobody's concern."""
        with self.use() as nvml:
            try:
                nvml.nvmlShutdown()
            except self.failure:
                return


@contextmanager
def nvml_session(host: Host) -> Iterator[NvmlSession]:
    """An `NvmlSession` for the length of a block; raises what that raises."""
    session = NvmlSession(host)
    try:
        yield session
    finally:
        session.close()


def code_of(error: Exception) -> int:
    """NVML's return code in one of pynvml's errors."""
    code: int = error.value  # type: ignore[attr-defined]  # pynvml has no types
    return code
