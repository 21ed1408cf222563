"""The reference driver's end of its wire: contexts, allocations, streams, events and numeric error codes."""

from __future__ import annotations

import json
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from hil.errors import HilError
from hil.hosts.wires.driver import ALL_STREAMS, REQUEST, RESPONSE, Call, Status, Way
from hil.hosts.wires.frames import send_with_descriptors
from hil.model import Direction
from hil.sim.clock import Signal
from hil.sim.copies import Copy, Place
from hil.sim.faults.base import DriverAnswer, DriverCall
from hil.sim.machine import Machine, SimGpu
from hil.sim.memory import SharedMemory
from hil.sim.transfers import Transfers

MARKS = 1 << 16
"""Events that a context remembers; nobody frees them, so the oldest is forgotten."""
ALL_ONES = (1 << 64) - 1
"""The largest result that the wire carries."""
Answer = tuple[tuple[int, ...], str, list[int]]
"""Results, text, descriptors."""


class Refused(Exception):  # noqa: N818  (an answer, not a failure of ours)
    """The driver answers with an error code."""

    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(eq=False, slots=True)
class Mark:
    """An event in a stream."""

    reached: int | None = None
    """Nanoseconds of the device's clock."""


@dataclass(eq=False, slots=True)
class Stream:
    """Copies and marks that run one after the other."""

    idle: Signal
    queue: deque[Copy | Mark] = field(default_factory=deque)
    status: Status = Status.OK
    """The first failure since the last synchronize."""


class Context:
    """One connection to the driver. Everything in it is guarded by the machine's lock."""

    def __init__(self, machine: Machine, transfers: Transfers, client: str) -> None:
        self._machine = machine
        self._transfers = transfers
        self._client = client
        self._gpu: SimGpu | None = None
        self._generation = 0
        self._allocated: dict[int, int] = {}
        self._buffers: dict[int, tuple[SharedMemory, bool]] = {}
        self._streams: dict[int, Stream] = {}
        self._marks: dict[int, Mark] = {}
        self._numbers = 0
        self._calls: dict[Call, Callable[[tuple[int, ...]], Answer]] = {
            Call.OPEN: self._open,
            Call.CLOSE: self._close,
            Call.ALLOC: self._alloc,
            Call.FREE: self._free,
            Call.HOST_ALLOC: self._host_alloc,
            Call.HOST_FREE: self._host_free,
            Call.COPY: self._copy,
            Call.SYNCHRONIZE: self._synchronize,
            Call.RECORD: self._record,
            Call.ELAPSED: self._elapsed,
            Call.MEMORY: self._memory,
            Call.DEVICES: self._devices,
        }
        machine.on_change.append(self._changed)

    def call(self, number: int, arguments: tuple[int, ...]) -> Answer:
        """Do one call.

        Raises:
            Refused: it failed; carries the code.

        """
        self._machine.clock.check(self._client)
        self._machine.absence.wait(self._client)
        try:
            call = Call(number)
        except ValueError:
            raise Refused(Status.UNKNOWN_CALL, f"no call {number}") from None
        seen = DriverCall(self._gpu.index if self._gpu else None, call.name.lower(), arguments)
        self._machine.hooks.tell("driver_call", seen)
        self._machine.clock.sleep(self._client, seen.delay, f"driver call {seen.name}")
        answer, descriptors = self._answer(call, seen)
        refusal = answer.text if answer.status else None
        self._machine.hooks.tell("driver_answer", answer)
        if answer.status:
            raise Refused(answer.status, answer.text)
        text = "" if answer.text == refusal else answer.text  # a refusal that was swallowed is not told
        return tuple(result & ALL_ONES for result in answer.results), text, descriptors

    def _answer(self, call: Call, seen: DriverCall) -> tuple[DriverAnswer, list[int]]:
        if seen.status is not None:
            return DriverAnswer(seen, seen.status), []
        try:
            results, text, descriptors = self._calls[call](seen.arguments)
        except Refused as refusal:
            return DriverAnswer(seen, refusal.status, (), refusal.text), []
        return DriverAnswer(seen, Status.OK, results, text), descriptors

    def end(self) -> None:
        """The connection closed: free everything."""
        self._machine.on_change.remove(self._changed)
        self._release()
        for memory, _pinned in self._buffers.values():
            memory.close()
        self._buffers.clear()

    # Devices and memory -----------------------------------------------------------------------------------------------

    def _devices(self, _: tuple[int, ...]) -> Answer:
        found = [self._describe(gpu) for gpu in self._machine.gpus if gpu.driven]
        return (len(found),), json.dumps(found), []

    def _describe(self, gpu: SimGpu) -> dict[str, object]:
        return {
            "target": str(gpu.index),
            "name": gpu.spec.name,
            "uuid": gpu.identity.uuid,
            "pci_address": gpu.function.address if gpu.function else "",
            "vram_bytes": gpu.spec.vram_bytes,
            "driver_version": self._machine.profile.host.driver_version,
        }

    def _open(self, arguments: tuple[int, ...]) -> Answer:
        index = arguments[0]
        if self._gpu is not None:
            raise Refused(Status.INVALID_VALUE, "this context has a device already")
        if index >= len(self._machine.gpus) or not self._machine.gpus[index].driven:
            raise Refused(Status.NO_DEVICE, f"no device {index}")
        self._gpu = self._machine.gpus[index]
        self._generation = self._gpu.generation
        return (self._gpu.spec.vram_bytes, index), json.dumps(self._describe(self._gpu)), []

    def _close(self, _: tuple[int, ...]) -> Answer:
        self._release()
        self._gpu = None
        return (), "", []

    def _alloc(self, arguments: tuple[int, ...]) -> Answer:
        gpu = self._device()
        nbytes = arguments[0]
        if nbytes == 0:
            raise Refused(Status.INVALID_VALUE, "an allocation of 0 bytes")
        taken = self._machine.hooks.change("allocate", gpu.index, value=nbytes)
        self._device()  # the hook may have pulled the cable
        address = gpu.heap.allocate(taken)
        if address is None:
            free = gpu.heap.free_bytes
            raise Refused(Status.OUT_OF_MEMORY, f"{nbytes} bytes asked for, {free} free")
        self._allocated[address] = nbytes
        return (address,), "", []

    def _free(self, arguments: tuple[int, ...]) -> Answer:
        end = arguments[0] + self._allocated.get(arguments[0], 0)
        self._drain(lambda copy: any(arguments[0] <= start < end for start in copy.on_device()))
        gpu = self._device()
        nbytes = self._allocated.pop(arguments[0], None)
        if nbytes is None:
            raise Refused(Status.INVALID_ADDRESS, f"nothing is allocated at {arguments[0]:#x}")
        self._give_back(gpu, arguments[0], nbytes)
        return (), "", []

    def _give_back(self, gpu: SimGpu, address: int, nbytes: int) -> None:
        if self._machine.hooks.agree("free", gpu.index, address, nbytes):
            taken = gpu.heap.release(address)
            if self._machine.hooks.agree("scrub", gpu.index, address, taken):
                gpu.memory.clear(address, taken)

    def _host_alloc(self, arguments: tuple[int, ...]) -> Answer:
        nbytes, pinned = arguments[:2]
        if nbytes == 0:
            raise Refused(Status.INVALID_VALUE, "a host allocation of 0 bytes")
        try:
            memory = SharedMemory(nbytes)
        except (OSError, OverflowError) as error:
            raise Refused(Status.OUT_OF_MEMORY, f"{nbytes} bytes of host memory: {error}") from error
        handle = self._number()
        self._buffers[handle] = memory, bool(pinned)
        return (handle,), "", [memory.descriptor]

    def _host_free(self, arguments: tuple[int, ...]) -> Answer:
        memory, _pinned = self._buffer(arguments[0])
        self._drain(lambda copy: memory in (copy.source.memory, copy.destination.memory))
        del self._buffers[arguments[0]]
        memory.close()
        return (), "", []

    def _memory(self, _: tuple[int, ...]) -> Answer:
        gpu = self._device()
        return (gpu.heap.free_bytes, gpu.spec.vram_bytes - gpu.heap.reserved), "", []

    # Copies -----------------------------------------------------------------------------------------------------------

    def _copy(self, arguments: tuple[int, ...]) -> Answer:
        gpu = self._device()
        way, number, source, source_offset, target, target_offset, row_bytes, rows, from_pitch, to_pitch = arguments
        try:
            direction = Direction[Way(way).name]
        except ValueError:
            raise Refused(Status.INVALID_VALUE, f"no direction {way}") from None
        if rows > 1 and (0 < from_pitch < row_bytes or 0 < to_pitch < row_bytes):
            raise Refused(Status.INVALID_VALUE, "a pitch smaller than the row")
        extent = row_bytes, rows if row_bytes else 0
        up, down = direction is Direction.H2D, direction is Direction.D2H
        origin = self._place(source, source_offset, from_pitch, extent, on_device=not up)
        destination = self._place(target, target_offset, to_pitch, extent, on_device=not down)
        stream = self._stream(number)

        def finish(status: Status) -> None:
            stream.status = stream.status or status
            self._next(stream)

        copy = Copy(gpu, direction, number, origin, destination, *extent, finish)
        last = stream.queue[-1] if stream.queue else None
        copy.behind = last if isinstance(last, Copy) else None
        stream.queue.append(copy)
        if len(stream.queue) == 1:
            self._transfers.submit(copy)
        return (), "", []

    def _place(self, where: int, offset: int, pitch: int, extent: tuple[int, int], *, on_device: bool) -> Place:
        row_bytes, rows = extent
        pitch = pitch or row_bytes
        span = pitch * (rows - 1) + row_bytes if rows else 0
        if on_device:
            gpu = self._device()
            room = self._allocated.get(where)
            if room is None or offset + span > room:
                raise Refused(Status.INVALID_ADDRESS, f"{span} bytes at {where:#x} + {offset:#x} are not allocated")
            return Place(gpu.memory, where + offset, pitch)
        memory, pinned = self._buffer(where)
        if offset + span > memory.size:
            raise Refused(Status.INVALID_VALUE, f"{span} bytes at {offset:#x} reach past the host buffer's end")
        return Place(memory, offset, pitch, pinned)

    def _synchronize(self, arguments: tuple[int, ...]) -> Answer:
        self._device()
        wanted = arguments[0]
        streams = list(self._streams.values()) if wanted == ALL_STREAMS else [self._stream(wanted)]
        for stream in streams:
            self._wait_for(stream, "synchronize")
        first = next((stream.status for stream in streams if stream.status), Status.OK)
        for stream in streams:
            stream.status = Status.OK
        if first:
            raise Refused(first, "a copy failed")
        self._device()
        return (), "", []

    def _drain(self, touches: Callable[[Copy], bool]) -> None:
        # As real drivers do: what a copy still needs is not taken away under it.
        for stream in self._streams.values():
            if any(isinstance(item, Copy) and touches(item) for item in stream.queue):
                self._wait_for(stream, "free")

    def _wait_for(self, stream: Stream, call: str) -> None:
        while stream.queue:
            self._machine.clock.wait(self._client, stream.idle, what=f"driver call {call}")

    def _record(self, arguments: tuple[int, ...]) -> Answer:
        self._device()
        mark = Mark()
        stream = self._stream(arguments[0])
        stream.queue.append(mark)
        if len(stream.queue) == 1:
            self._pass_marks(stream)
        number = self._number()
        self._marks[number] = mark
        if len(self._marks) > MARKS:
            del self._marks[next(iter(self._marks))]
        return (number,), "", []

    def _elapsed(self, arguments: tuple[int, ...]) -> Answer:
        start, end = self._mark(arguments[0]), self._mark(arguments[1])
        if start.reached is None or end.reached is None:
            raise Refused(Status.NOT_READY, "an event that was not reached yet")
        if end.reached < start.reached:
            raise Refused(Status.INVALID_VALUE, "the end was reached before the start")
        return (end.reached - start.reached,), "", []

    def _next(self, stream: Stream) -> None:
        stream.queue.popleft()
        self._pass_marks(stream)
        if stream.queue:
            head = stream.queue[0]
            assert isinstance(head, Copy)  # noqa: S101  (marks were passed)
            self._transfers.submit(head)

    def _pass_marks(self, stream: Stream) -> None:
        gpu = self._gpu
        while stream.queue and isinstance(stream.queue[0], Mark):
            nanoseconds = round(self._machine.clock.now() * 1e9)
            index = gpu.index if gpu else 0
            stream.queue[0].reached = self._machine.hooks.change("device_clock", index, value=nanoseconds)
            stream.queue.popleft()
        if not stream.queue:
            stream.idle.fire()

    # What can be lost -------------------------------------------------------------------------------------------------

    def _device(self) -> SimGpu:
        gpu = self._gpu
        if gpu is None:
            raise Refused(Status.NOT_OPEN, "no device is open")
        if not gpu.driven:
            raise Refused(Status.DEVICE_LOST, "the device does not answer, or was taken from this driver")
        if gpu.generation != self._generation:
            raise Refused(Status.CONTEXT_LOST, "the device was reset or came back; open it again")
        return gpu

    def _changed(self) -> None:
        gpu = self._gpu
        if gpu is not None and gpu.generation != self._generation:
            self._allocated.clear()
            self._abort(Status.DEVICE_LOST)

    def _abort(self, status: Status) -> None:
        for stream in self._streams.values():
            waiting = list(stream.queue)
            stream.queue.clear()
            for item in waiting:
                if isinstance(item, Copy):
                    self._transfers.abort(item)
                    stream.status = stream.status or status
            stream.idle.fire()

    def _release(self) -> None:
        gpu = self._gpu
        self._abort(Status.DEVICE_LOST)
        if gpu is not None and gpu.generation == self._generation:
            for address, nbytes in self._allocated.items():
                self._give_back(gpu, address, nbytes)
        self._allocated.clear()
        self._streams.clear()
        self._marks.clear()

    def _stream(self, number: int) -> Stream:
        if number not in self._streams:
            self._streams[number] = Stream(self._machine.clock.signal())
        return self._streams[number]

    def _mark(self, number: int) -> Mark:
        if number not in self._marks:
            raise Refused(Status.INVALID_HANDLE, f"no event {number}")
        return self._marks[number]

    def _buffer(self, handle: int) -> tuple[SharedMemory, bool]:
        if handle not in self._buffers:
            raise Refused(Status.INVALID_HANDLE, f"no host buffer {handle}")
        return self._buffers[handle]

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers


def serve_driver(machine: Machine, transfers: Transfers, sock: socket.socket, client: str) -> None:
    """Serve one context until its connection closes."""
    with machine.clock.lock:
        context = Context(machine, transfers, client)
        machine.clock.listen(sock)
    try:
        while True:
            number, _flags, *arguments = REQUEST.unpack(machine.clock.hear(sock, REQUEST.size))
            descriptors: list[int] = []
            try:
                with machine.clock.lock:
                    results, text, descriptors = context.call(number, tuple(arguments))
                code: int = Status.OK
            except Refused as refusal:
                code, results, text = refusal.status, (), refusal.text
            except HilError as error:
                code, results, text = Status.BROKEN, (), str(error)
            data = text.encode()
            head = RESPONSE.pack(code, len(data), *(*results, 0, 0, 0, 0)[:4])
            send_with_descriptors(sock, head + data, descriptors)
    finally:
        with machine.clock.lock:
            context.end()
            machine.clock.deafen()
