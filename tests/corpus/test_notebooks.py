"""Notebooks, canvases, drawings and exported chats: what of them is text."""
import json

import pytest

from gpt2_assist.corpus.documents import Document, UnreadableFile
from gpt2_assist.corpus.formats import Choices, documents_in

PICTURE = "iVBORw0KGgoAAAANSUhEUgAA" * 20


def of(kind: str, content) -> list[Document]:
    data = content if isinstance(content, str) else json.dumps(content)
    return documents_in(data.encode(), kind, "x" + kind, Choices())[0].documents


def texts(kind: str, content) -> list[str]:
    return [document.text for document in of(kind, content)]


def test_a_notebook_is_its_cells():
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", f"![p](data:image/png;base64,{PICTURE})\n", "words"],
         "attachments": {"p.png": {"image/png": PICTURE}}},
        {"cell_type": "code", "source": "x = 1\nx", "outputs": [{"data": {"image/png": PICTURE, "text/plain": "1"}}]},
        {"cell_type": "raw", "source": [" \n"]}, {"cell_type": "code", "source": []}, "odd", {"source": 5}]
    assert texts(".ipynb", {"cells": cells, "nbformat": 4}) == ["# Title\n![p]()\nwords\n\nx = 1\nx"]
    older = {"worksheets": [{"cells": [{"cell_type": "code", "input": ["a = 1"], "outputs": []}]}], "nbformat": 3}
    assert texts(".ipynb", older) == ["a = 1"]
    assert texts(".ipynb", {"cells": []}) == []


@pytest.mark.parametrize("content", ["{", "[]", "5", '{"cells": 5}', '{"cells": null}', "[" * 100_000])
def test_what_is_no_notebook_gets_a_sentence(content):
    with pytest.raises(UnreadableFile):
        of(".ipynb", content)


def test_a_canvas_is_its_cards_from_top_to_bottom():
    nodes = [{"type": "text", "text": "below", "x": 0, "y": 9}, {"type": "text", "text": "above", "x": 0, "y": -9},
             {"type": "file", "file": "a.md"}, {"type": "group", "label": "group", "x": 5, "y": 9}, {"text": None}]
    assert texts(".canvas", {"nodes": nodes, "edges": [{"id": "1"}]}) == ["above\n\nbelow\n\ngroup"]
    assert texts(".canvas", {}) == texts(".canvas", {"nodes": 3}) == []


def test_a_drawing_is_its_words():
    elements = [{"type": "text", "text": "two", "y": 5}, {"type": "text", "text": "one", "y": 1}, {"type": "line"},
                {"type": "text", "text": "gone", "isDeleted": True}]
    assert texts(".excalidraw", {"type": "excalidraw", "elements": elements}) == ["one\n\ntwo"]


DRAWING = f"""---

excalidraw-plugin: parsed
tags: [excalidraw]

---
==⚠  Switch to EXCALIDRAW VIEW in the MORE OPTIONS menu of this document. ⚠== You can decompress it.

My own words.

# Excalidraw Data

## Text Elements
A box ^aB3dE6gH

Another
one ^zzzz1111

%%
## Drawing
```compressed-json
{PICTURE}
```
%%
"""


def test_a_drawing_in_markdown_keeps_its_words_and_their_lines():
    document, = of(".md", DRAWING)
    assert "".join(document.text.split("\n")) == "My own words.A boxAnotherone"
    assert DRAWING.split("\n")[document.line - 1] == "My own words."
    position = document.text.index("Another")
    assert DRAWING.split("\n")[document.line_at(position) - 1] == "Another"
    assert texts(".md", DRAWING.replace("## Drawing", "# Drawing").replace("%%\n", ""))[0].endswith("one")


def test_other_notes_stay_as_they_are():
    text = "---\ntitle: x\n---\n\n## Drawing\nexcalidraw-plugin: no\n## Text Elements\nwords ^abcdefgh"
    assert texts(".md", text) == [text]
    board = "## To do\n- [ ] write\n\n%% kanban:settings\n```\n{\"kanban-plugin\":\"board\"}\n```\n%%\n"
    assert texts(".md", board) == ["## To do\n- [ ] write"]


@pytest.mark.parametrize("stamp", [
    "[12.03.21, 10:00:01] ", "12/03/2021, 10:00 - ", "3/12/21, 9:59\u202fPM - ", "\u200e[2021-03-12, 10:00:01] ",
    "12.03.21, 10:00 - "])
def test_a_chat_of_whatsapp_is_what_was_said(stamp):
    chat = (f"{stamp}Messages and calls are end-to-end encrypted.\n{stamp}Anna: Hello\n{stamp}Bob: two\nlines: yes\n"
            f"{stamp}Anna: \u200eimage omitted\n{stamp}Anna: <Media omitted>\n{stamp}Bob: Bye\n")
    document, = of(".txt", chat)
    assert document.text == "Anna: Hello\nBob: two\nlines: yes\n\n\nBob: Bye"
    assert chat.split("\n")[document.line_at(document.text.index("Bye")) - 1] == f"{stamp}Bob: Bye"


def test_a_diary_is_no_chat():
    diary = "12.03.2021, 10:00 - up early\n\nThen a long day.\nAnd a long evening.\nAnd more.\n"
    assert texts(".txt", diary) == [diary.strip()]
