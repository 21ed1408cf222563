"""What a copy engine promises beyond the copies that all of them have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.bench.operations.session import session
from hil.copy import engine

if TYPE_CHECKING:
    from hil.bench.worker import Context


def pitched(context: Context) -> bool:
    """Whether the open engine has pitched copies."""
    return session(context).engine.pitched


def overlap(context: Context) -> str:
    """What the open engine says of copies that overlap: see `CopyEngine.overlap`."""
    return str(session(context).engine.overlap)


def stages_pageable(_: Context, *, name: str) -> bool:
    """Whether the driver under copy engine `name` stages pageable memory."""
    return bool(name) and engine(name).stages_pageable
