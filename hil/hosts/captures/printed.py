"""What a command printed, taken apart into fields: JSON, a property list, or lines of ``key = value``."""

from __future__ import annotations

import json
import plistlib
import re
from typing import Any

_LINE = re.compile(
    rb"^[ \t|]*\"?([A-Za-z][\w .-]{1,60}?)\"?[ \t]*[:=][ \t]*[<\"]?([^\"\r\n>]{3,200}?)[>\"]?[ \t]*$", re.MULTILINE
)


def taken_apart(output: bytes) -> Any:
    """What a command printed, as far as it has structure."""
    try:
        if output.lstrip()[:1] in (b"{", b"["):
            return json.loads(output)
        if b"<plist" in output[:1000]:
            # As for `ioreg` in discovery: drivers' strings may hold what XML does not allow.
            return plistlib.loads(output.translate(None, bytes(range(9)) + b"\x0b\x0c" + bytes(range(14, 32))))
    except Exception:  # noqa: BLE001  (plistlib lets escape whatever it stumbles on; then it is read as text)
        return _lines(output)
    return _lines(output)


def _lines(output: bytes) -> list[dict[str, Any]]:
    """``key: value``, ``"key" = "value"``; and the fields of JSON and property lists that were cut off."""
    pairs = [(match[1], match[2]) for match in _LINE.finditer(output)]
    pairs += re.findall(rb"\"([\w .-]{1,60})\"\s*:\s*\"([^\"\r\n]{3,200})\"", output)
    pairs += re.findall(rb"<key>([^<]{1,60})</key>\s*<string>([^<]{3,200})</", output)
    return [{key.decode("utf-8", "replace"): value.decode("utf-8", "replace")} for key, value in pairs]
