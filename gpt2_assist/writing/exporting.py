"""A session as a file: plain text, Markdown with what it is in front, JSON with the whole tree."""
import json
import os
import stat
import time

from gpt2_assist.files.output_file import OutputFile
from gpt2_assist.writing.passage import Passage
from gpt2_assist.writing.session import Session

FORMAT = "gpt2-assist session"
VERSION = 1
_ours: dict[str, tuple[int, int]] = {}
"""Files that this process exported, as it left them."""


def exported(session: Session, path: str) -> str:
    """The session as the file's name has it: `.json`, `.md`, or else plain text."""
    kind = os.path.splitext(path)[1].lower()
    if kind == ".json":
        return as_json(session)
    return as_markdown(session) if kind in (".md", ".markdown") else as_text(session)


def as_text(session: Session) -> str:
    """The text, with one end of line at its end."""
    return session.text.rstrip("\n") + "\n"


def as_markdown(session: Session) -> str:
    """The text behind a header (YAML, as static sites read it) that says its title, the models that wrote in it, the
    share of its characters that are the user's, and the day of its first passage."""
    path = session.path
    models = sorted({json.loads(passage.how).get("model", session.model) for passage in path
                     if passage.author == "model"})
    own = sum(len(passage.text) for passage in path if passage.author != "model")
    share = own / max(1, len(session.text))
    day = time.strftime("%Y-%m-%d", time.localtime(path[0].created if path else None))
    header = {"title": session.name, "date": day, "models": models, "own": f"{share:.0%}"}
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in header.items()]
    return "\n".join(["---", *lines, "---", "", as_text(session)])


def as_json(session: Session) -> str:
    """The text, and the tree with everything that the session knows: `importing` makes the same session of it."""
    content = {
        "format": FORMAT, "version": VERSION, "session": session.name, "model": session.model, "text": session.text,
        "current": session.current, "path": [passage.number for passage in session.path],
        "settings": session.settings, "memory": session.memory, "note": session.note,
        "note_depth": session.note_depth, "banned": session.banned, "bias": session.bias,
        "passages": [_passage(passage) for passage in session.passages()]}
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def export(session: Session, path: str) -> None:
    """Writes the session to a file. Raises StorageError."""
    OutputFile(path).write(exported(session, path).encode())
    if mark := _mark(path):
        _ours[os.path.realpath(path)] = mark


def would_replace(path: str) -> bool:
    """Whether an export to this path would put an end to a file that isn't an export of this process."""
    mark = _mark(path)
    return bool(mark and mark[1] and _ours.get(os.path.realpath(path)) != mark)


def _mark(path: str) -> tuple[int, int] | None:
    """By which a file is known that nobody has changed; None where there is no file."""
    try:
        state = os.stat(path)
    except OSError:
        return None
    return (state.st_mtime_ns, state.st_size) if stat.S_ISREG(state.st_mode) else None


def _passage(passage: Passage) -> dict:
    entry = {"number": passage.number, "parent": passage.parent, "author": passage.author, "text": passage.text,
             "how": json.loads(passage.how), "time": passage.created, "chosen": passage.chosen}
    if passage.hidden:
        entry["hidden"] = True
    if passage.bookmark:
        entry["bookmark"] = passage.bookmark
    if passage.tokens:
        entry["tokens"] = json.loads(passage.tokens)
    return entry
