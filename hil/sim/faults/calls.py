"""Names of driver calls, as parameters take them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from hil.hosts.wires.driver import Call

CALLS = tuple(call.name.lower() for call in Call)


def _known(name: str) -> str:
    if name not in CALLS:
        # It would never strike, and a run that passes would say nothing.
        raise ValueError(f"there is no such call; known: {', '.join(CALLS)}")
    return name


CallName = Annotated[str, AfterValidator(_known), Field(description=f"a driver call: {', '.join(CALLS)}")]
