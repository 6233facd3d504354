"""Code ends where its block does: before a line that is indented less than what it goes on from.

That is the cursor's line; where the line after it is deeper, the block that begins with it. A block's closing line
belongs to it, and so does what goes on with it, such as `else`.
"""
import re

from gpt2_assist.completion.filters.draft import Draft, Place
from gpt2_assist.completion.filters.line import Line, indentation, lines_of

_CLOSING = re.compile(r"[)\]}]|</|end\b")
_ONLY_CLOSING = re.compile(r"(?:[)\]};,\s]+|</[\w.:-]*>?[;,]?|end[;,)]*)$")
_WHAT_CLOSES = re.compile(r"(?:[)\]};,\s]*|<|</[\w.:-]*>?[;,]?|e|en|end[;,)]*)$")
"""A beginning of what _ONLY_CLOSING matches."""
_OPENING = re.compile(r"(?:[:({\[]|=>|->|\b(?:do|then|begin))$")
_GOES_ON = frozenset({"case", "catch", "default", "elif", "else", "elsif", "ensure", "except", "finally", "rescue",
                      "when"})
_WORD = re.compile(r"\w*")
_DIRECTIVES = frozenset({"c", "cpp", "cuda-cpp", "csharp", "objective-c", "objective-cpp"})
"""Languages whose lines with # stand at the margin."""


def apply(place: Place, draft: Draft) -> Draft:
    if place.prose:
        return draft
    first, *others = lines_of(place, draft)
    if not others:
        return draft
    floor = _width(first.content or place.line_before, place)
    head = None if first.blank else floor  # how deep the line is that may begin a block
    begun = False  # whether what follows it has been seen
    for line in others:
        content = line.content.strip()
        if line.blank or content.startswith("#") and place.language in _DIRECTIVES:
            continue
        if not content:
            return draft.held(line.cut)
        width = _width(line.content, place)
        if head is None and width >= floor:
            head = width
            continue
        if not begun and head is not None and not (content == "{" and width == head):
            begun, floor = True, max(width, floor) if width > head else floor
        if width < floor:
            said = _below_floor(draft, line, content, head is not None and head < floor and width >= head)
            if said:
                return said
    return draft


def _below_floor(draft: Draft, line: Line, content: str, same_block: bool) -> Draft | None:
    """What a line means that is indented less than the block; None if the block goes on behind it. `same_block`:
    whether it is indented as the block's first line, so that it may close it or go on with it."""
    if not same_block:
        if _ONLY_CLOSING.match(content) and line.complete:
            return draft.cut(line.start + len(line.content))
        waits = not line.complete and _WHAT_CLOSES.match(content)
        return draft.held(line.cut) if waits else draft.cut(line.cut)
    begins = _WORD.match(content)
    word = begins[0] if begins else ""
    if not line.complete and word == content and any(known.startswith(word) for known in (*_GOES_ON, "end")):
        return draft.held(line.cut)
    if not line.complete and content == "<":
        return draft.held(line.cut)
    if word in _GOES_ON:
        return None
    if not _CLOSING.match(content):
        return draft.cut(line.cut)
    end = line.start + len(line.content.rstrip())
    if not line.complete:
        return draft.held(end)
    return None if _OPENING.search(content) else draft.cut(end)


def _width(line: str, place: Place) -> int:
    return len(indentation(line).expandtabs(len(place.indent.expandtabs(4)) or 4))
