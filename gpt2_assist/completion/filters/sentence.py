"""Prose comes a sentence at a time, or a heading, an entry of a list, a commit's subject. (Where the user wants
paragraphs, `blank_lines` ends them.)"""
import re

from gpt2_assist.completion.filters.draft import Draft, Place
from gpt2_assist.text.sentences import NO_END

_END = re.compile(r"[.!?…]++[\"'”’»)\]}*_]*+(?=\s+(\S))|[。！？]+[」』”’）]*(?=[^。！？」』”’）])")
_PERHAPS_END = re.compile(r"[.!?…][\"'”’»)\]}*_]*(\s+)\Z")
_BEFORE_NUMBERS = frozenset({"art", "ch", "eq", "fig", "figs", "no", "nos", "p", "par", "pp", "sec", "vol"})
_ENTRY = r"(?:[-*+][ \t]|\#{1,6}[ \t]|>|\||```|\d{1,3}[.)][ \t])"
_ENTRY_BEHIND = re.compile(rf"\n[ \t]*{_ENTRY}")
_PERHAPS_ENTRY = re.compile(r"(\n)[ \t]*(?:[-*+]|\#{1,6}|`{1,2}|\d{1,3}[.)]?)?\Z")
_LINE_END = re.compile(r"\n")
_ONE_LINE = re.compile(r"[ \t]*(?:#{1,6}[ \t]|\|)")
_COMMITS = frozenset({"git-commit", "gitcommit", "jjdescription", "scminput"})
_BACK = 60
"""Characters before the cursor that a sentence's end may need."""


def apply(place: Place, draft: Draft) -> Draft:
    if not place.prose or place.prose_unit != "sentence":
        return draft
    tail = place.line_before[-_BACK:]
    text, here = tail + draft.text, len(tail)
    ends = [found.end() - here for found in _END.finditer(text) if found.end() > here and _ends(text, found)]
    subject = place.language in _COMMITS and "\n" not in place.before
    one_line = subject or _ONE_LINE.match(place.line_before + draft.text)
    line = (_LINE_END if one_line else _ENTRY_BEHIND).search(draft.text)
    if line:
        ends.append(line.start())
    if ends:
        return draft.cut(min(ends))
    waits = [found.start(1) - here for found in (_PERHAPS_END.search(text), _PERHAPS_ENTRY.search(text)) if found]
    return draft.held(max(0, min(waits))) if waits and not draft.ended else draft


def _ends(text: str, found: re.Match) -> bool:
    """Whether a sentence ends at marks that may end one."""
    following = found[1]
    if following is None:
        return True
    if following.islower() or following in ",;:-–—":
        return False
    if not found[0].startswith(".") or found[0].startswith(".."):
        return True
    line = text[text.rfind("\n", 0, found.start()) + 1:found.start()]
    word = re.split(r"[\s\"'“‘(\[]", line)[-1]
    if word.isdigit() and not line[:-len(word)].strip():
        return False
    if len(word.rpartition(".")[2]) == 1 and word[-1].isupper() and word != "I":
        return False
    known = word.lower()
    return known not in NO_END and not (known in _BEFORE_NUMBERS and following.isdigit())
