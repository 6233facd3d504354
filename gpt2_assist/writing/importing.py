"""Files that become sessions: plain text, Markdown, our JSON, and what other tools for writers save.

Of KoboldAI and KoboldAI Lite the story files (`prompt`, `actions`, `memory`, `authorsnote`), with the alternatives
that the newer ones keep; of mikupad the exported sessions (`prompt` as a list of chunks). What such a file leaves out
is as in a new session.
"""
import json
import math
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from gpt2_assist.errors import DataError
from gpt2_assist.files.text_file import read_json, read_text
from gpt2_assist.text.valid import valid
from gpt2_assist.writing.exporting import FORMAT, VERSION
from gpt2_assist.writing.passage import Passage
from gpt2_assist.writing.session import Session
from gpt2_assist.writing.store import SessionState, SessionStore
from gpt2_assist.writing.tree import PassageTree

Story = tuple[SessionState, list[Passage]]
_HEADER = re.compile(r"---\n(?:[\w-]+:.*\n|[ \t]+.*\n|- .*\n|#.*\n)+?---\n\n?")
"""YAML in front of a Markdown text; a line of hyphens alone begins none."""
_PARTS = re.compile(r"[\s\S]{1,2000}[^\n]*\n*")
"""Paragraphs, some together: a long story as one passage would be written to the disk again with each mark on it."""
_AUTHORS = ("user", "model", "edit")


def import_session(store: SessionStore, locks: Path, path: str, model: str, name: str = "") -> Session:
    """A new session of a file, which bears the file's name where none is given; `model` goes on with it where the file
    says none. Raises DataError where it can't be read as a story, UsageError and StorageError as `Session` does."""
    state, passages = story_of(path, model)
    state.name = name or _free(store, Path(path).stem)
    return Session.made(store, locks, state, passages)


def story_of(path: str, model: str) -> Story:
    """What a session of that file would be. Raises DataError."""
    place, kind = Path(path), os.path.splitext(path)[1].lower()
    try:
        if kind == ".json":
            return _of_json(read_json(place), model, path)
        text = valid(read_text(place)).replace("\r\n", "\n")
    except OSError as error:
        raise DataError(f"The file {path} can't be read: {error.strerror or error}.") from None
    except ValueError:
        raise DataError(f"The file {path} is no {'JSON' if kind == '.json' else 'text in UTF-8 or UTF-16'}.") from None
    if kind in (".md", ".markdown") and (header := _HEADER.match(text)):
        text = text[header.end():]
    return _line(model, [("user", part) for part in _PARTS.findall(text.rstrip("\n"))])


def _of_json(content: object, model: str, path: str) -> Story:
    known: list[tuple[Callable[[dict], bool], Callable[[dict, str], Story]]] = [
        (lambda file: file.get("format") == FORMAT, _ours),
        (lambda file: isinstance(file.get("prompt"), list), _mikupads),
        (lambda file: isinstance(file.get("actions"), (list, dict)), _koboldais)]
    if isinstance(content, dict):
        for knows, read in known:
            if knows(content):
                try:
                    return read(content, model)
                except (TypeError, KeyError, ValueError, AttributeError, OverflowError):
                    raise DataError(f"The story in {path} is damaged: something isn't what it should be.") from None
    raise DataError(f"The file {path} is no story that is known here: neither an export of ours, nor KoboldAI's "
                    "or mikupad's.")


def _ours(file: dict, model: str) -> Story:
    if file["version"] > VERSION:
        raise DataError("The story was exported by a newer version of gpt2-assist.")
    passages, numbers = [], {0}
    for entry in file["passages"]:
        how, tokens = dict(entry.get("how", {})), list(entry.get("tokens", []))
        passage = Passage(
            _number(entry["number"]), _number(entry["parent"]), str(entry["author"]), _text(entry["text"]),
            json.dumps(how), _finite(entry.get("time", time.time())), bool(entry.get("hidden", False)),
            _text(entry.get("bookmark", "")), _number(entry.get("chosen", 0)), json.dumps(tokens) if tokens else "")
        if passage.author not in _AUTHORS or passage.parent not in numbers or passage.number in numbers \
                or not passage.text:
            raise ValueError
        numbers.add(passage.number)
        passages.append(passage)
    path, current = [0, *file["path"]], _number(file["current"])
    if current not in numbers or not numbers.issuperset(path):
        raise ValueError
    state = SessionState("", _text(file.get("model") or model), current, path[1] if len(path) > 1 else 0)
    state.settings, state.memory, state.note = dict(file["settings"]), _text(file["memory"]), _text(file["note"])
    state.note_depth, state.banned = _number(file["note_depth"]), [_text(phrase) for phrase in file["banned"]]
    state.bias = [[_text(text), _finite(value)] for text, value in file["bias"]]
    return state, passages


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    return valid(value)


def _finite(value: object) -> float:
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError
    return float(value)


def _number(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < 1 << 31:
        raise ValueError
    return int(value)


def _mikupads(file: dict, model: str) -> Story:
    """Chunks are of type user, or the model's, token by token, which are joined."""
    parts: list[tuple[str, str]] = []
    for chunk in file["prompt"]:
        author = "user" if isinstance(chunk, str) or chunk.get("type") == "user" else "model"
        text = chunk if isinstance(chunk, str) else str(chunk["content"])
        if parts and parts[-1][0] == author == "model":
            parts[-1] = author, parts[-1][1] + text
        else:
            parts.append((author, text))
    state, passages = _line(model, parts)
    state.memory, state.note = _within(file.get("memoryTokens")), _within(file.get("authorNoteTokens"))
    depth = file.get("authorNoteDepth")
    state.note_depth = state.note_depth if depth is None else _number(depth)
    return state, passages


def _within(parts: object) -> str:
    """mikupad's memory or note, between what stands before and behind it."""
    if not isinstance(parts, dict) or not parts.get("text"):
        return ""
    return valid("".join(str(parts.get(name) or "") for name in ("prefix", "text", "suffix")))


def _koboldais(file: dict, model: str) -> Story:
    """Whose an action is isn't said: all are taken for the model's, the prompt for the user's."""
    tree = PassageTree()
    number = _add(tree, 0, "user", file.get("prompt") or "")
    actions = file["actions"]
    if isinstance(actions, dict):
        actions = actions.get("actions", actions)
        actions = [actions[key] for key in sorted(actions, key=int)]
    others = file.get("actions_metadata")
    for place, action in enumerate(actions):
        beside = action.get("Options", []) if isinstance(action, dict) else []
        if not beside and isinstance(others, dict) and isinstance(others.get(str(place)), dict):
            beside = others[str(place)].get("Alternative Text", [])
        text = str(action.get("Selected Text") or "") if isinstance(action, dict) else str(action or "")
        for other in beside:
            words = str(other.get("text") or other.get("Text") or "") if isinstance(other, dict) else str(other or "")
            if words != text:
                _add(tree, number, "model", words)
        number = _add(tree, number, "model", text)
    note = file.get("authorsnote") or file.get("authornote") or ""
    state = SessionState("", model, number, memory=valid(str(file.get("memory") or "")), note=valid(str(note)))
    return _going_to(tree, state, number)


def _add(tree: PassageTree, parent: int, author: str, text: str) -> int:
    """The number of a new passage; without words, `parent`."""
    return tree.add(parent, author, valid(text)).number if text else parent


def _line(model: str, parts: list[tuple[str, str]]) -> Story:
    """A story without branches."""
    tree, number = PassageTree(), 0
    for author, text in parts:
        number = _add(tree, number, author, text)
    return _going_to(tree, SessionState("", model, number), number)


def _going_to(tree: PassageTree, state: SessionState, number: int) -> Story:
    for passage in tree.path(number):
        tree[passage.parent].chosen = passage.number
    state.chosen = tree.root.chosen
    return state, tree.all()


def _free(store: SessionStore, stem: str) -> str:
    """The file's name as a session's: none that is there already."""
    stem = valid(stem).lstrip(".").replace("\0", "")[:40] or "imported"
    taken, name, number = set(store.names()), stem, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    return name
