"""One holder per device: a lock that names who holds it and what a dead holder left behind."""

from __future__ import annotations

import errno
import fcntl
import getpass
import hashlib
import json
import os
import socket
import stat
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from hil.errors import BenchFault

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_RECORD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds, or last held, a lock. A record that was damaged or not written yet is all `None`."""

    pid: int | None = None
    user: str | None = None
    host: str | None = None
    command: str | None = None
    since: str | None = None
    """Local time, ISO 8601."""
    device: str | None = None
    """Device id."""
    state: dict[str, Any] = field(default_factory=dict)
    """What has to be put right if the holder dies, e.g. ``{"detached": ["0-1"]}``."""

    def __str__(self) -> str:
        """For the message that a second run shows."""
        if self.pid is None:
            return "a process that left no readable record of itself"
        return f"pid {self.pid} of {self.user} on {self.host} since {self.since} ({self.command})"


class DeviceBusy(BenchFault):
    """Another run holds the device.

    Attributes:
        holder: who does, as far as the lock file tells; `None` when this error came from another process.

    """

    def __init__(self, message: str, *, holder: Holder | None = None, **where: Any) -> None:
        super().__init__(message, **where)
        self.holder = holder


def default_folder() -> Path:
    """The folder that all users' runs on this machine share.

    Not the user's own temporary folder: on a Mac, and wherever TMPDIR is set, that is a private one, and two
    users' runs would not see each other's locks. Nor /tmp, which many systems empty at boot: what a run that died with
    the whole host has left behind is still to be put right then.
    """
    shared = Path("/var/tmp")  # noqa: S108  (shared on purpose; `_open` trusts nothing in it)
    return (shared if shared.is_dir() else Path(tempfile.gettempdir())) / "hil-locks"


class DeviceLock:
    """A held lock. It dies with its process, whatever kills that; the record stays for the next holder.

    Attributes:
        holder: what the record says now.
        left_behind: the record of a holder that died without releasing; `None` after a clean release. Its
            `state` is carried on in the new record until `note` replaces it, to outlive a second death.

    """

    def __init__(self, descriptor: int, holder: Holder, left_behind: Holder | None) -> None:
        """Take charge of a locked descriptor; see `acquire`."""
        self.holder = holder
        self.left_behind = left_behind
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, device_id: str, folder: Path | None = None, holder: Mapping[str, Any] | None = None) -> Self:
        """Take the lock of `device_id`, without waiting.

        Args:
            device_id: the device's stable id.
            folder: where the lock files lie; made if it is not there. `None` = `default_folder`.
            holder: overrides of what the record says of this process (``user``, ``command``, ``state``, …).

        Raises:
            DeviceBusy: another run holds it; names that run.
            BenchFault: the lock file or its folder cannot be used, or is not what it seems.

        """
        place = default_folder() if folder is None else folder
        path = place / f"{hashlib.sha256(device_id.encode()).hexdigest()[:32]}.lock"
        try:
            descriptor = _open(place, path.name)
        except OSError as error:
            hint = "it is a link or no directory" if error.errno in {errno.ELOOP, errno.ENOTDIR} else error.strerror
            raise BenchFault(
                f"lock of device {device_id}: cannot use {path}: {hint}. Remove it if no run is active",
                code=error.errno,
                device=device_id,
            ) from error
        try:
            _lock(descriptor, device_id, path)
            left = _read(descriptor)
            state = {} if left is None else left.state
            record = Holder(**{**asdict(_myself(device_id)), "state": state, **(holder or {})})
            lock = cls(descriptor, record, left)
            lock._write()
        except BaseException:
            os.close(descriptor)
            raise
        return lock

    def note(self, state: Mapping[str, Any]) -> None:
        """Replace the record's `state` (JSON types): what the next run has to put right should this one die.

        Raises:
            BenchFault: the lock was released already.

        """
        if self._descriptor is None:
            raise BenchFault(f"lock of device {self.holder.device}: released already, nothing can be noted in it")
        self.holder = Holder(**{**asdict(self.holder), "state": dict(state)})
        self._write()
        if state:
            os.fsync(self._descriptor)  # what is done next may take the host down

    def release(self) -> None:
        """Let go and clear the record: nothing is left to put right. May be called again."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        # Cleared, never unlinked: another run may have this very file open, and a third would lock a new one.
        os.ftruncate(descriptor, 0)
        os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _write(self) -> None:
        assert self._descriptor is not None  # noqa: S101  (both callers hold the lock)
        data = json.dumps(asdict(self.holder)).encode()
        os.pwrite(self._descriptor, data, 0)
        os.ftruncate(self._descriptor, len(data))


def with_state(folder: Path) -> list[str]:
    """Ids of devices whose lock's record names something to put right, sorted; their holders may be alive."""
    return sorted({record.device for record in records(folder) if record.state and record.device is not None})


def records(folder: Path) -> list[Holder]:
    """What all locks' records say: of holders that live, and of those that died without releasing."""
    found: list[Holder] = []
    with suppress(FileNotFoundError):
        place = _open_folder(folder, make=False)
        try:
            names = os.listdir(place)  # noqa: PTH208  (of the very folder that was checked, whatever its path is by now)
            for name in (name for name in names if name.endswith(".lock")):
                with suppress(OSError):  # another's unreadable file is not ours to put right
                    record = _look(place, name)
                    if record is not None:
                        found.append(record)
        finally:
            os.close(place)
    return found


def _look(folder: int, name: str) -> Holder | None:
    descriptor = _open_file(folder, name)
    try:
        return _read(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, device_id: str, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = _read(descriptor) or Holder()
        raise DeviceBusy(
            f"device {device_id} is in use by {holder}. Wait for that run or end it; lock file: {path}",
            holder=holder,
            device=device_id,
        ) from error
    except OSError as error:
        raise BenchFault(
            f"lock of device {device_id}: {path} cannot be locked ({error.strerror}): use a local disk",
            code=error.errno,
            device=device_id,
        ) from error


def _open(place: Path, name: str) -> int:
    """Open a lock file in a folder that everybody may write to, trusting nothing found there."""
    folder = _open_folder(place)
    try:
        try:
            # First without O_CREAT: fs.protected_regular refuses that on others' files in a sticky folder.
            descriptor = _open_file(folder, name)
        except FileNotFoundError:
            descriptor = _open_file(folder, name, os.O_CREAT)
            with suppress(PermissionError):
                os.fchmod(descriptor, 0o666)  # whatever the umask: the next run may be another user's
    finally:
        os.close(folder)
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
        os.close(descriptor)
        raise OSError(errno.EPERM, "it is no plain file of its own", str(place / name))
    return descriptor


def _open_file(folder: int, name: str, more: int = 0) -> int:
    return os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | more, 0o666, dir_fd=folder)


def _open_folder(place: Path, *, make: bool = True) -> int:
    if make:
        place.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            place.mkdir()
            place.chmod(0o1777)
    return os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _read(descriptor: int) -> Holder | None:
    """The record in a lock file; `None` if it is empty, an unknown holder if it is damaged."""
    data = os.pread(descriptor, _RECORD_BYTES, 0)
    if not data:
        return None
    try:
        holder = Holder(**json.loads(data))
    except (ValueError, TypeError, RecursionError):
        return Holder()
    return holder if isinstance(holder.state, dict) and isinstance(holder.pid, int) else Holder()


def _myself(device_id: str) -> Holder:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as in a container
        user = str(os.getuid())
    return Holder(
        pid=os.getpid(),
        user=user,
        host=socket.gethostname(),
        command=" ".join(sys.argv),
        since=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        device=device_id,
    )
