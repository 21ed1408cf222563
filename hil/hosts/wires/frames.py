"""Socket plumbing shared by all wires: exact reads, descriptors beside bytes, JSON frames with a payload."""

from __future__ import annotations

import array
import json
import socket
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_HEAD = struct.Struct("<II")  # length of the JSON text, length of the payload
_LIMIT = 1 << 30


def receive_exactly(sock: socket.socket, count: int, before: Callable[[], None] | None = None) -> bytes:
    """Exactly `count` bytes.

    Args:
        sock: blocking.
        count: of bytes.
        before: called before each part of them is waited for, or fetched.

    Raises:
        EOFError: the other end closed before they came.

    """
    if count == 0:
        return b""
    parts = bytearray()
    while len(parts) < count:
        if before is not None:
            before()
        part = sock.recv(min(count - len(parts), 1 << 20))
        if not part:
            raise EOFError(f"connection closed after {len(parts)} of {count} bytes")
        parts += part
    return bytes(parts)


def receive_with_descriptors(sock: socket.socket, count: int, most: int = 1) -> tuple[bytes, list[int]]:
    """Exactly `count` bytes, and up to `most` descriptors that came with the first of them.

    Raises:
        EOFError: the other end closed before they came.

    """
    found = array.array("i")
    data, ancillary, _flags, _address = sock.recvmsg(count, socket.CMSG_SPACE(most * found.itemsize))
    for level, kind, raw in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(raw[: len(raw) - len(raw) % found.itemsize])
    if not data:
        raise EOFError("connection closed")
    return data + receive_exactly(sock, count - len(data)), list(found)


def send_with_descriptors(sock: socket.socket, data: bytes, descriptors: list[int]) -> None:
    """Send all of `data`, `descriptors` beside its first byte."""
    rights = array.array("i", descriptors)
    sent = sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else [])
    if sent < len(data):
        sock.sendall(data[sent:])


def send_frame(sock: socket.socket, message: dict[str, Any], payload: bytes = b"") -> None:
    """Send one frame: `message` as JSON, then `payload` as it is."""
    text = json.dumps(message, separators=(",", ":")).encode()
    sock.sendall(_HEAD.pack(len(text), len(payload)) + text + payload)


def receive_frame(sock: socket.socket) -> tuple[dict[str, Any], bytes]:
    """The next frame.

    Raises:
        EOFError: the other end closed.
        ValueError: what came is no frame of ours.

    """
    text_length, payload_length = _HEAD.unpack(receive_exactly(sock, _HEAD.size))
    if text_length > _LIMIT or payload_length > _LIMIT:
        raise ValueError(f"no frame: lengths {text_length} and {payload_length}")
    message = json.loads(receive_exactly(sock, text_length))
    if not isinstance(message, dict):
        raise ValueError("no frame: not a JSON object")  # noqa: TRY004
    return message, receive_exactly(sock, payload_length)
