"""Notebooks, and the canvases and drawings of Obsidian: what of them is text."""
import json
import re
from collections.abc import Iterable
from typing import Any

from gpt2_assist.corpus.documents import Document, Reading, UnreadableFile, clean

_EMBEDDED = re.compile(r"data:[\w.+-]+/[\w.+-]+(?:;[\w=.+-]+)*;base64,[A-Za-z0-9+/=%_-]{64,}")
_PLUGIN = re.compile(r"\A---\n(?:(?!---\n).*\n)*?excalidraw-plugin:.*\n(?:(?!---\n).*\n)*---\n")
_OF_DRAWING = re.compile(r"^%%\n+#+ Drawing\n|^#+ (?:Drawing|Embedded Files|Element Links)\n", re.MULTILINE)
_NOTICE = re.compile(r"^==⚠.*⚠==.*\n|^#+ (?:Excalidraw Data|Text Elements)\n|^%%\n|[ \t]*\^[\w-]{8}$", re.MULTILINE)
_BOARD = re.compile(r"^%% kanban:settings\n.*?^%%\n?", re.MULTILINE | re.DOTALL)


def without_embedded(text: str) -> tuple[str, bool]:
    """(a text without the pictures and the like that stand in it as base64, whether there were any)."""
    if ";base64," not in text:
        return text, False
    kept = _EMBEDDED.sub("", text)
    return kept, len(kept) < len(text)


def markdown(text: str) -> tuple[str, str]:
    """(what is text of a Markdown file, what else it was found to be): drawings of Excalidraw and boards keep their
    words, and each line stays where it was."""
    if _PLUGIN.match(text):
        words = _PLUGIN.sub(lambda found: "\n" * found[0].count("\n"), text)
        end = _OF_DRAWING.search(words)
        words = _NOTICE.sub(lambda found: "\n" * found[0].count("\n"), words[:end.start()] if end else words)
        return words, "a drawing, its words alone"
    return _BOARD.sub("", text), ""


def notebook(text: str, source: str) -> Reading:
    """The cells of a Jupyter notebook, one below the other, without what they put out. Raises UnreadableFile."""
    value = _object(text, source)
    sheets = value.get("worksheets")
    cells = value.get("cells") if not isinstance(sheets, list) else [
        cell for sheet in sheets if isinstance(sheet, dict) for cell in sheet.get("cells") or ()]
    if not isinstance(cells, list):
        raise UnreadableFile(f"{source} is no notebook, or it is damaged.", "damaged")
    sources = (_source(cell) for cell in cells if isinstance(cell, dict))
    return _one(sources, source, "a notebook, its cells without what they put out")


def _source(cell: dict) -> str:
    lines = cell.get("source", cell.get("input", ""))
    text = "".join(line for line in lines if isinstance(line, str)) if isinstance(lines, list) else lines
    return without_embedded(text)[0] if isinstance(text, str) else ""


def canvas(text: str, source: str) -> Reading:
    """The cards of a canvas, from top to bottom. Raises UnreadableFile."""
    nodes = _object(text, source).get("nodes") if text.strip() else []
    cards = [node for node in nodes or () if isinstance(node, dict)] if isinstance(nodes, list) else []
    cards.sort(key=lambda card: (_number(card.get("y")), _number(card.get("x"))))
    return _one((str(card.get("text") or card.get("label") or "") for card in cards), source, "a canvas, its cards")


def drawing(text: str, source: str) -> Reading:
    """The words in a drawing of Excalidraw, from top to bottom. Raises UnreadableFile."""
    elements = _object(text, source).get("elements")
    words = [element for element in elements if isinstance(element, dict) and isinstance(element.get("text"), str)
             and not element.get("isDeleted")] if isinstance(elements, list) else []
    words.sort(key=lambda element: (_number(element.get("y")), _number(element.get("x"))))
    return _one((element["text"] for element in words), source, "a drawing, its words alone")


def _object(text: str, source: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UnreadableFile(f"{source} is damaged: what is in it is no JSON.", "damaged")
    return value


def _number(value: Any) -> float:
    return value if isinstance(value, (int, float)) and value == value else 0.0


def _one(parts: Iterable[str], source: str, found: str) -> Reading:
    text = "\n\n".join(part for part in (clean(part).strip("\n") for part in parts) if part.strip())
    return Reading([Document(text, source)] if text else [], found)
