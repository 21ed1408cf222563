"""Many small files read at once, by hosts that are a round trip away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from hil.errors import HilError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.hosts.base import Host

Content = bytes | OSError | HilError
"""What a file holds, or why it was not read."""


@runtime_checkable
class ReadsMany(Protocol):
    """A host for which many files cost no more than one."""

    def read_many(self, paths: Sequence[str]) -> list[Content]:
        """What each of `paths` holds, in their order."""
        ...


def read_many(host: Host, paths: Sequence[str]) -> list[Content]:
    """What each of `paths` holds, in their order: one after the other where `host` knows no better.

    Raises:
        HilError: the host itself failed; what is wrong with one file is in its place in the list.

    """
    if isinstance(host, ReadsMany):
        return host.read_many(paths)
    return [_content(host, path) for path in paths]


def _content(host: Host, path: str) -> Content:
    try:
        return host.read(path)
    except (OSError, HilError) as error:
        return error
