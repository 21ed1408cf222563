"""Taking a function from its driver and giving it back: on files, where every refusal can be had, and on a machine."""

from __future__ import annotations

import errno

import pytest

from hil.errors import DeviceGone, DriverError, NotPermitted, NotSupported
from hil.pci import bind, bound_driver, unbind
from tests.files_host import FilesHost, refused

GPU = "0000:04:00.0"
DEVICE = f"/sys/bus/pci/devices/{GPU}"
DRIVER = "/sys/bus/pci/drivers/nvidia"


def host(*, bound: bool = True, obeys: bool = True) -> FilesHost:
    """A kernel with one driver and one function; `obeys`: whether it does what it says."""
    made = FilesHost(system="Linux")
    made.files = {f"{DEVICE}/vendor": b"0x10de\n", f"{DRIVER}/bind": b"", f"{DRIVER}/unbind": b""}
    if bound:
        made.links[f"{DEVICE}/driver"] = "../../../../bus/pci/drivers/nvidia"

    def act(path: str, _data: bytes) -> None:
        if obeys and path.endswith("/unbind"):
            del made.links[f"{DEVICE}/driver"]
        elif obeys and path.endswith("/bind"):
            made.links[f"{DEVICE}/driver"] = "../../../../bus/pci/drivers/nvidia"

    made.on_write = act
    return made


def test_a_function_is_taken_and_given_back():
    kernel = host()

    assert unbind(kernel, GPU) == "nvidia"
    assert bound_driver(kernel, GPU) == ""
    bind(kernel, GPU, "nvidia")

    assert bound_driver(kernel, GPU) == "nvidia"
    assert kernel.written == [(f"{DRIVER}/unbind", GPU.encode()), (f"{DRIVER}/bind", GPU.encode())]


def test_what_is_so_already_is_left_alone():
    unbound, bound = host(bound=False), host()

    assert unbind(unbound, GPU) == ""
    bind(bound, GPU, "nvidia")

    assert unbound.written == bound.written == []


def test_a_kernel_that_says_done_and_did_nothing_is_not_believed():
    with pytest.raises(DriverError, match="reported success, and nvidia has it still"):
        unbind(host(obeys=False), GPU)
    with pytest.raises(DriverError, match="reported success, and no driver has it"):
        bind(host(bound=False, obeys=False), GPU, "nvidia")


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (errno.ENODEV, DriverError, "it does not take it; see the kernel log"),
        (errno.EBUSY, DriverError, "something else holds the device"),
        (errno.EACCES, NotPermitted, "run the device process as root"),
    ],
)
def test_a_refusal_names_function_driver_and_reason(code, kind, words):
    kernel = host(bound=False)

    def refuse(_path, _data):
        raise refused(code)

    kernel.on_write = refuse

    with pytest.raises(kind, match=f"giving {GPU} to driver nvidia: .*{words}"):
        bind(kernel, GPU, "nvidia")


def test_a_driver_that_is_not_loaded_is_named():
    with pytest.raises(NotSupported, match="the kernel has no driver nouveau; load its module"):
        bind(host(bound=False), GPU, "nouveau")


def test_a_function_that_is_not_there_is_gone():
    empty = FilesHost(system="Linux")

    with pytest.raises(DeviceGone, match=f"{GPU} is not there; the function was removed"):
        unbind(empty, GPU)

    def leaves(_path, _data):
        kernel.files.clear()
        raise refused(errno.ENODEV)

    kernel = host(bound=False)
    kernel.on_write = leaves
    with pytest.raises(DeviceGone, match="was removed"):
        bind(kernel, GPU, "nvidia")
