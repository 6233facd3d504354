"""Prompts with what the model reads whatever else no longer fits: a memory before the text, a note within it.

The window is the memory, and of the text as much as leaves room for what is to be written. Where that begins moves in
large steps, and the note with the paragraphs, so that one more key is one more token to read. What is written doesn't
move the window: it ends a sample where the window is full.
"""
from collections.abc import Sequence

from gpt2_assist.engine.window import window_start
from gpt2_assist.errors import UsageError
from gpt2_assist.text.infill import reserve

_LEAST_SHARE = 4
"""A part of this many of the context, at least, is the text's."""


def pinned_prompt(text: Sequence[int], note_at: int, head: Sequence[int], note: Sequence[int], n_ctx: int,
                  new_tokens: int) -> tuple[list[int], int]:
    """The tokens that the model reads of a text's, of which `note_at` stand before the note, and how many of the text's
    are left out; `head` is what begins the window. Raises UsageError where that and the note leave the text too little.
    """
    room = n_ctx - reserve(n_ctx, new_tokens) - len(head) - len(note)
    if room < n_ctx // _LEAST_SHARE:
        raise UsageError(f"Memory and note take {len(head) + len(note)} of the {n_ctx} tokens that the model sees at a "
                         "time; make them shorter.")
    start = window_start(len(text), room)
    split = max(start, note_at)
    return [*head, *text[start:split], *note, *text[split:]], start


def note_place(text: str, depth: int) -> int:
    """Where a note stands that is read `depth` paragraphs before the one that is being written: at a paragraph's
    beginning, in characters. A paragraph is a line that isn't empty."""
    place = text.rfind("\n") + 1
    for _ in range(depth):
        end = len(text[:place].rstrip())
        if not end:
            return 0
        place = text.rfind("\n", 0, end) + 1
    return place
