"""Storms of edits through a real server: it answers as one that is given the same text at once."""
import random

import pytest
from editor import Editor, editor
from lsprotocol import types
from test_documents import ALPHABET, Reference, random_position

Position = tuple[int, int]
WORDS = ["The old man ", "went down to the sea. ", "She said that the ", "\n", "\r\n", "😀", "\f", "and then "]
OPTIONS = {"maxTokens": 6, "otherFiles": False, "deadlineMs": 10_000}
"""At the usual deadline an answer may be cut short, or empty while the model is being loaded: in one of two servers."""


@pytest.mark.parametrize("storms", [30, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])])
async def test_no_answer_is_of_a_text_that_is_gone(storms):
    dice, fresh, answered = random.Random(4), 0, 0
    async with editor(OPTIONS) as stormy, editor(OPTIONS) as calm:
        uri = "file:///nowhere/storm.txt"
        for one in (stormy, calm):  # both find the model loaded
            one.open("file:///nowhere/first.txt", WORDS[0])
            assert await one.texts_at("file:///nowhere/first.txt")
        stormy.open(uri, "")
        reference, past = Reference("", "utf-16"), []
        for _ in range(storms):
            questions = []
            for _ in range(3):
                edit(dice, stormy, uri, reference, past)
                position = types.Position(*random_position(dice, reference))
                questions.append((reference.text, position, stormy.ask(uri, position=position)))
            for text, position, question in questions:
                answer = await question
                if answer is not None:
                    fresh += 1
                    calm.open(f"file:///nowhere/{fresh}.txt", text)
                    expected = await calm.ask(f"file:///nowhere/{fresh}.txt", position=position)
                    assert [item.insert_text for item in answer.items] == [item.insert_text for item in expected.items]
                    assert [item.range for item in answer.items] == [item.range for item in expected.items]
                    answered += bool(answer.items)
            assert answer is not None, "the last question of a storm has an answer, if only that nothing is shown"
    assert answered > storms // 4


def edit(dice: random.Random, stormy: Editor, uri: str, reference: Reference, past: list[str]) -> None:
    """One change of the document: an undo, one at several cursors, or a replacement, each sent as editors send them."""
    kind = dice.randrange(4)
    if kind == 0 and past:
        lines, last = reference.position(len(reference.text))
        replace(stormy, uri, reference, (0, 0), (lines, last), past.pop())
        return
    past.append(reference.text)
    if kind == 1:
        for cursor in sorted({random_position(dice, reference) for _ in range(3)}, reverse=True):
            replace(stormy, uri, reference, cursor, cursor, "x\n")
    elif kind == 2 and len(reference.text) > 400:
        start = dice.randrange(len(reference.text) - 300)
        replace(stormy, uri, reference, reference.position(start), reference.position(start + 300), "")
    else:
        cursor = random_position(dice, reference)
        text = "".join(dice.choices(WORDS, k=3) + dice.choices(ALPHABET, k=2))
        replace(stormy, uri, reference, cursor, cursor, text)


def replace(stormy: Editor, uri: str, reference: Reference, start: Position, end: Position, text: str) -> None:
    reference.replace(start, end, text)
    stormy.change(uri, types.Position(*start), types.Position(*end), text)
