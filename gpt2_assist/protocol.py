"""Frames between clients, supervisor and workers: a 4-byte big-endian length, then one msgpack map.

Every limit of the wire stands here. The module knows nothing of models, text or sockets.
"""
import struct

import msgpack

from gpt2_assist.errors import ProtocolError

MAX_FRAME_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 16
_LENGTH = struct.Struct(">I")


def encode(message: dict) -> bytes:
    """One frame of `message`. Raises ProtocolError where a decoder would refuse it."""
    _check(message)
    body = msgpack.packb(message, use_bin_type=True)
    if len(body) > MAX_FRAME_BYTES:
        raise ProtocolError(f"The message has {len(body)} bytes; at most {MAX_FRAME_BYTES} are allowed.")
    return _LENGTH.pack(len(body)) + body


class Decoder:
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
