"""A device process's operations on a simulated machine, called in the tests' own process."""

from __future__ import annotations

from typing import Any

from sim_rig import Rig

from hil.bench.operations import session
from hil.bench.worker import Context
from hil.discovery import discover
from hil.model import Gpu, to_dict


class Bench:
    """A rig with the engine of card 0 open, as a device process has it."""

    def __init__(self, profile: Any = None, *faults: Any) -> None:
        self.rig = Rig(profile, *faults)
        self.said: list[str] = []
        self.context = Context(host=self.rig.host(), device="card", progress=self.said.append)
        session.open_session(self.context, name="simulated", target="0")

    @property
    def gpu(self) -> Gpu:
        address = session.session(self.context).engine.describe().pci_address
        return next(gpu for gpu in discover(self.context.host).gpus if gpu.function.address == address)

    @property
    def gpu_facts(self) -> dict[str, Any]:
        return to_dict(self.gpu)

    def close(self) -> None:
        session.close_session(self.context)
        self.rig.close()
