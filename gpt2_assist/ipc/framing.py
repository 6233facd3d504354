"""How messages travel as bytes.

A frame is a 4-byte big-endian length and one msgpack map; its entry `type` names one of the dataclasses of messages.py,
the other entries are that dataclass's fields. The module knows no sockets.
"""
import struct
from dataclasses import fields
from types import UnionType
from typing import Any, get_args, get_origin

import msgpack

from gpt2_assist.errors import ProtocolError
from gpt2_assist.ipc.messages import MAX_DEPTH, MAX_FRAME_BYTES, Message

_LENGTH = struct.Struct(">I")


def to_wire(message: object) -> bytes:
    """One frame of a message dataclass. Raises ProtocolError where a decoder would refuse it."""
    return encode({"type": type(message).__name__, **_plain(message)})


def from_wire(entries: dict) -> Any:
    """The dataclass that a decoded map stands for. Raises ProtocolError on anything else."""
    kind = Message.KINDS.get(entries.get("type")) if isinstance(entries.get("type"), str) else None
    if kind is None:
        raise ProtocolError("A message of an unknown type came.")
    return _build(kind, {key: value for key, value in entries.items() if key != "type"})


def _plain(message: Any) -> dict:
    return {entry.name: _plain(value) if type(value) in Message.PARTS else value
            for entry in fields(message) for value in [getattr(message, entry.name)]}


def _build(kind: type[Any], entries: dict) -> Any:
    values = {}
    for entry in fields(kind):
        if entry.name not in entries:
            continue
        value = entries.pop(entry.name)
        if entry.type in Message.PARTS and isinstance(value, dict):
            value = _build(entry.type, value)
        elif entry.type is float and type(value) is int:
            value = float(value)
        if not _fits(value, entry.type):
            raise ProtocolError(f"The entry {entry.name} of a {kind.__name__} has the wrong type.")
        values[entry.name] = value
    if entries:
        raise ProtocolError(f"A {kind.__name__} has an unknown entry.")
    try:
        return kind(**values)
    except TypeError:
        raise ProtocolError(f"A {kind.__name__} lacks an entry.") from None


def _fits(value: object, kind: Any) -> bool:
    if get_origin(kind) is UnionType:
        return any(_fits(value, part) for part in get_args(kind))
    return type(value) is kind


def encode(message: dict) -> bytes:
    """One frame of `message`. Raises ProtocolError where a decoder would refuse it."""
    _check(message)
    try:
        body = msgpack.packb(message, use_bin_type=True)
    except (UnicodeEncodeError, OverflowError):
        raise ProtocolError("The message holds text or a number that can't be sent.") from None
    if len(body) > MAX_FRAME_BYTES:
        raise ProtocolError(f"The message has {len(body)} bytes; at most {MAX_FRAME_BYTES} are allowed.")
    return _LENGTH.pack(len(body)) + body


class FrameDecoder:
    """Takes bytes as they come and gives whole messages. After a ProtocolError the connection must be closed."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[dict]:
        """The messages that `data` completes. An oversized frame is refused by its length, before its body comes."""
        self._buffer += data
        messages = []
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > MAX_FRAME_BYTES:
                raise ProtocolError(f"A frame of {length} bytes was announced; at most {MAX_FRAME_BYTES} are allowed.")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            messages.append(_decode(bytes(self._buffer[_LENGTH.size:end])))
            del self._buffer[:end]
        return messages


def _decode(body: bytes) -> dict:
    try:
        message = msgpack.unpackb(body, raw=False, strict_map_key=True)
    except Exception as error:  # msgpack raises many kinds on hostile bytes, RecursionError-like ones among them
        raise ProtocolError("A frame holds no valid msgpack message.") from error
    _check(message)
    return message


def _check(message: object) -> None:
    if not isinstance(message, dict):
        raise ProtocolError("A message must be a map.")
    level = [message]
    for _ in range(MAX_DEPTH):
        level = [child for value in level for child in (value.values() if isinstance(value, dict) else value)
                 if isinstance(child, (dict, list, tuple))]
        if not level:
            return
    raise ProtocolError(f"A message is nested deeper than {MAX_DEPTH} levels.")
