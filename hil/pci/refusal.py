"""What the kernel means when it refuses an access to a file in sysfs."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from hil.errors import DeviceGone, DriverError, HilError, NotPermitted, NotSupported

if TYPE_CHECKING:
    from hil.hosts import Host

_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_FILE = {errno.ENOENT, errno.ENOTDIR}
_NO_DEVICE = {errno.ENODEV, errno.ENXIO}
_WORDS = {
    errno.EINVAL: "the kernel does not take this value here",
    # Also what pci_dev_wait() of drivers/pci/pci.c ends with after a minute of retry status.
    errno.ENOTTY: "the device has no way to do it, none that works, or is not ready again after it",
    errno.EIO: "the device did not answer",
    errno.EBUSY: "something else holds the device",
}


def refusal(error: OSError, doing: str, path: str) -> HilError:
    """The error to raise for `error`, which came back from `path` while `doing` (words that name the device).

    Its `code` is the errno.
    """
    code = error.errno
    came = f"{path}: {error.strerror or error}"
    if code in _NOT_ALLOWED:
        return NotPermitted(
            f"{doing}: {came}; run the device process as root, or let a udev rule give it this file",
            code=code,
            operation=doing,
        )
    if code in _NO_FILE:
        return NotSupported(f"{doing}: {came}; not offered by this kernel or device", code=code, operation=doing)
    if code in _NO_DEVICE:
        return DeviceGone(f"{doing}: {came}; the device left", code=code, operation=doing)
    name = errno.errorcode.get(code or 0, str(code))
    meaning = _WORDS.get(code or 0, "see the kernel log for the reason")
    return DriverError(f"{doing}: {came} ({name}): {meaning}", code=code, operation=doing)


def write_attribute(host: Host, path: str, text: str, doing: str) -> None:
    """Write `text` to the sysfs file `path`.

    Args:
        host: where the file is.
        path: of the file.
        text: what is written, in one call.
        doing: what this is for, in words that name the device.

    Raises:
        NotPermitted: this user may not.
        NotSupported: there is no such file.
        DeviceGone: the kernel says the device left.
        DriverError: the kernel refused; `code` is the errno.

    """
    try:
        host.write(path, text.encode())
    except OSError as error:
        raise refusal(error, doing, path) from error
