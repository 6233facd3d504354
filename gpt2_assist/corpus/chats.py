"""Conversations as messengers and assistants export them, as "name: what was said", one below the other."""
import re
from collections.abc import Iterable, Sequence
from typing import Any

from gpt2_assist.corpus.documents import Document, Reading

_LISTS = ("messages", "conversations", "conversation", "chat_messages", "turns", "dialog", "dialogue")
_SPEAKERS = ("role", "from", "author", "sender", "sender_name", "user", "name", "speaker", "username", "actor")
_SAID = ("content", "text", "value", "body", "message", "parts", "utterance")
_STAMP = re.compile(
    r"\u200e?\[?\d{1,4}[./-]\d{1,2}[./-]\d{2,4},?[ \u202f\u00a0]+\d{1,2}[:.]\d{2}(?:[:.]\d{2})?"
    r"(?:[ \u202f\u00a0]?[AaPp]\.?[Mm]\.?)?(?:\][ ]|[ ]-[ ])(?P<rest>.*)")
_NOT_SAID = re.compile(
    r"<(?:media|medien|médias?|multimedia|file)[^<>]*>|[\u200e]?(?:image|video|audio|sticker|gif|document|contact card)"
    r" omitted|.*\((?:file attached|datei angehängt)\)|[\u200e]?<(?:attached|angehängt): [^<>]*>|"
    r"(?:this message was deleted|you deleted this message)\.?", re.IGNORECASE)
_LEAST = 3


def conversation(value: Any) -> str | None:
    """What is said in an object, or a list, that is one conversation; None where it is none."""
    if isinstance(value, dict):
        if isinstance(value.get("mapping"), dict):
            return _written(_of_mapping(value))
        listed = next((value[name] for name in _LISTS if isinstance(value.get(name), list)), None)
        return None if listed is None else _written(_newest_last(listed))
    if isinstance(value, list) and value and all(_is_message(entry) for entry in value):
        return _written(_newest_last(value))
    return None


def _is_message(entry: Any) -> bool:
    """Of a list alone: something with a time or a role; else it is a list of texts by several authors."""
    return isinstance(entry, dict) and any(name in entry for name in _SPEAKERS) and \
        any(name in entry for name in _SAID) and any(name in entry for name in ("role", "ts", "timestamp_ms"))


def _of_mapping(value: dict) -> list[dict]:
    """The branch of a tree of messages that is shown at last."""
    nodes, branch, seen = value["mapping"], [], set()
    name = value.get("current_node") or next(
        (name for name in reversed(nodes) if isinstance(nodes[name], dict) and not nodes[name].get("children")), None)
    while isinstance(name, str) and name in nodes and name not in seen:
        seen.add(name)
        node = nodes[name] if isinstance(nodes[name], dict) else {}
        branch.append(node.get("message"))
        name = node.get("parent")
    return branch[::-1]


def _newest_last(messages: Sequence) -> Sequence:
    times = [message.get("timestamp_ms") for message in messages if isinstance(message, dict)]
    known = [time for time in times if isinstance(time, int)]
    return messages[::-1] if len(known) > 1 and known[0] > known[-1] else messages


def _written(messages: Iterable) -> str | None:
    lines = []
    for message in messages:
        if not isinstance(message, dict):
            continue
        speaker = next((_name(message[name]) for name in _SPEAKERS if message.get(name)), "")
        said = next((_said(message[name]) for name in _SAID if message.get(name)), "").strip()
        if "sender_name" in message:
            speaker, said = _unmangled(speaker), _unmangled(said)
        if said and speaker != "system":
            lines.append(f"{speaker}: {said}" if speaker else said)
    return "\n".join(lines) if lines else None


def _name(value: Any) -> str:
    if isinstance(value, dict):
        value = next((value[name] for name in ("role", "name", "nickname", "username") if value.get(name)), "")
    return value if isinstance(value, str) else ""


def _said(value: Any) -> str:
    """Text in all the ways in which it is kept in messages: a string, parts, objects with a text."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(_said(part) for part in value if isinstance(part, (str, dict)))
    if isinstance(value, dict):
        return next((_said(value[name]) for name in ("parts", "text", "content", "value") if value.get(name)), "")
    return ""


def _unmangled(text: str) -> str:
    """Facebook and Instagram write each byte of UTF-8 as a character."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


def exported_chat(text: str, source: str) -> Reading | None:
    """The one document of a chat as WhatsApp exports it, without dates, times and what was no text, each message in
    the line in which it was; None for another text."""
    lines = text.split("\n")
    first = [line for line in lines[:50] if line.strip()]
    stamped = sum(_STAMP.fullmatch(line) is not None for line in first)
    if stamped < _LEAST or stamped * 2 < len(first) or not _STAMP.fullmatch(first[0]):
        return None
    said = "\n".join(_without_stamp(line) for line in lines)
    begin = len(said) - len(said.lstrip("\n"))
    return Reading([Document(said.strip("\n"), source, 1 + begin)] if said.strip() else [],
                   "a chat, without its dates and times")


def _without_stamp(line: str) -> str:
    """A notice, which nobody says, becomes an empty line, so that each line stays where it was."""
    stamp = _STAMP.fullmatch(line)
    if stamp is None:
        return line
    name, colon, said = stamp["rest"].replace("\u200e", "").partition(": ")
    return f"{name}: {said}" if colon and not _NOT_SAID.fullmatch(said.strip()) else ""
