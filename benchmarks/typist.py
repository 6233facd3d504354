"""Somebody who types: a passage or code key by key, with mistakes that are noticed late, deletions, and a paragraph
inserted in the middle of the document. A key's outcome is the text before the cursor, which is what a completion is
asked for."""
import argparse
import random
from collections.abc import Iterator
from pathlib import Path

from gpt2_assist.training.pretraining.corpora import read_documents

LETTERS = "abcdefghijklmnopqrstuvwxyz"
MISTAKES, SECOND_THOUGHTS = 0.02, 0.08
"""Shares of keys that are wrong letters, and of words that are deleted and typed again."""
MARK = "\n\n"


def passage(corpora: Path, seed: int) -> list[str]:
    """Twenty paragraphs of a novel from a place that the seed draws, each of a few sentences."""
    drawn = random.Random(seed)
    novels = read_documents(str(corpora / "novels.txt.xz"))
    drawn.shuffle(novels)
    for novel in novels:
        found = [part for part in novel.split("\n") if 150 < len(part) < 700]
        if len(found) > 200:  # else its lines are wrapped, and no paragraphs
            first = drawn.randrange(len(found) - 20)
            return found[first:first + 20]
    raise SystemExit(f"The novels in {corpora} have no paragraphs of the wanted length.")


def source(seed: int) -> list[str]:
    """Twenty pieces of Python between blank lines, from a place in the standard library's argparse that the seed
    draws."""
    found = [part for part in Path(argparse.__file__).read_text(encoding="utf-8").split(MARK) if 100 < len(part) < 700]
    first = random.Random(seed).randrange(len(found) - 20)
    return found[first:first + 20]


def document(paragraphs: list[str], characters: int) -> tuple[str, str, str]:
    """(what is there already, of about `characters`; a paragraph to insert; what is typed at the end)."""
    there, count = "", 0
    while len(there) < characters and count < len(paragraphs) - 2:
        there += paragraphs[count] + MARK
        count += 1
    return there, paragraphs[count], MARK.join(paragraphs[count + 1:])


def keys(there: str, inserted: str, continued: str, count: int, seed: int) -> Iterator[str]:
    """The text before the cursor after each of `count` keys.

    A third is typed at the end, a third is a paragraph before the document's middle, and then it goes on at the end,
    where the text before the cursor holds what was inserted.
    """
    drawn = random.Random(seed)
    third = count // 3
    middle = there.find(MARK, len(there) // 2) + len(MARK)
    typed = there
    for typed in typing(there, continued, third, drawn):
        yield typed
    done = _common(typed, there + continued) - len(there)
    inner = list(typing(typed[:middle], inserted, third, drawn))
    yield from inner
    yield from typing(inner[-1] + MARK + typed[middle:], continued[done:], count - 2 * third, drawn)


def typing(before: str, text: str, count: int, drawn: random.Random) -> Iterator[str]:
    """The text before the cursor after each of `count` keys that type `text` behind `before`."""
    page, at, used = before, 0, 0
    while used < count:
        right = text[at % len(text)]
        if drawn.random() < MISTAKES and right.isalpha():
            further = drawn.randrange(4)
            wrong = drawn.choice(LETTERS) + "".join(text[(at + 1 + n) % len(text)] for n in range(further))
            strokes = [page + wrong[:n] for n in range(1, len(wrong) + 1)]
            strokes += [page + wrong[:n] for n in range(len(wrong) - 1, -1, -1)]
        elif right == " " and drawn.random() < SECOND_THOUGHTS:
            word = len(page) - (max(page.rfind(" "), page.rfind("\n")) + 1)
            strokes = [page[:len(page) - n] for n in range(1, word + 1)]
            strokes += [page[:len(page) - n] for n in range(word - 1, -1, -1)]
        else:
            page, at = page + right, at + 1
            strokes = [page]
        yield from strokes[:count - used]
        used += len(strokes)


def _common(one: str, other: str) -> int:
    """Length of the shared beginning."""
    return next((n for n, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
