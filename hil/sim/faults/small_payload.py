"""The card may ask for, and send, smaller pieces than it could."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from hil.model import Direction
from hil.sim.config_space import DEVICE_CONTROL
from hil.sim.faults import base
from hil.sim.faults.config_fields import with_field

SPARE = 1.5
"""How many more read requests a card can have on the way than fill its link at the usual 512 bytes each."""
USUAL = 512
_REQUEST_FIELD, _PAYLOAD_FIELD = 0x7000, 0x00E0


class SmallPayloadParameters(base.Trigger):
    """Parameters of `SmallPayload`."""

    bytes: Annotated[int, Field(ge=128, le=256, multiple_of=128, description="largest request and payload")] = 128


class SmallPayload(base.Fault):
    """Shrinks maximum read request and payload size; whatever software writes there, they stay small.

    Copies to the device are reads by it: with as many requests on the way but less in each, they are slower. Payloads
    in a tunnel have 128 bytes as it is, the least there is, so copies from the device are not.
    """

    name = "small-payload"
    domain = "pcie"
    story = "The enclosure's bridge asks for the smallest requests when it comes up, and the kernel obeys."
    seen_by = "driver"
    shows_as = r"read request|MRRS|payload|MPS|DevCtl|device control|below the band|config"
    profiles = ("macbook-pro-usb4", "linux-two-enclosures")
    Parameters = SmallPayloadParameters
    parameters: SmallPayloadParameters

    def __init__(self, parameters: base.Trigger, site: base.Site) -> None:
        super().__init__(parameters, site)
        self._small: set[int] = set()

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """Half of the usual size, then a quarter; at once, or after a while."""
        size = 256 if severity < 0.3 else 128  # noqa: PLR2004  (mild: half)
        later = {"at_bytes": dice.randrange(64) << 20}
        return {"bytes": size, **dice.choice(({}, later))}

    def armed(self) -> None:
        """From the beginning, unless it is to happen later."""
        if self.parameters.at_bytes is None and self.parameters.at_time is None:
            self._small.update(gpu for gpu in self.site.gpu_indices() if self.strikes(gpu))

    def on_chunk(self, chunk: base.Chunk) -> Sequence[base.Chunk]:
        """Count what passes, until it happens."""
        if chunk.gpu not in self._small and self.strikes(chunk.gpu, len(chunk.data)):
            self._small.add(chunk.gpu)
        return (chunk,)

    def on_config_read(self, address: str, offset: int, data: bytes) -> bytes:
        """Show the small sizes."""
        if self.site.gpu_at(address) not in self._small:
            return data
        code = self.parameters.bytes.bit_length() - 8
        data = with_field(data, offset, DEVICE_CONTROL, _REQUEST_FIELD, code << 12)
        return with_field(data, offset, DEVICE_CONTROL, _PAYLOAD_FIELD, 0)

    def on_bandwidth(self, gpu: int, direction: Direction, rate: float) -> float:
        """Slow down what the card reads."""
        slow = gpu in self._small and direction is Direction.H2D
        return rate * _share(self.parameters.bytes) if slow else rate


def _share(size: int) -> float:
    return min(1.0, SPARE * size / USUAL)
