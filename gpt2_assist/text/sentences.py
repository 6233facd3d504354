"""Where sentences end."""
import re

NO_END = frozenset({
    "adm", "approx", "brig", "capt", "cf", "cmdr", "col", "dr", "e.g", "fr", "gen", "gov", "hon", "i.e", "lt", "maj",
    "messrs", "mr", "mrs", "ms", "mt", "mx", "pres", "prof", "rep", "rev", "sen", "sgt", "sr", "st", "viz", "vs"})
"""Abbreviations that stand before what they belong to."""
TAIL = 60
"""Characters of a text's end that say whether a sentence ends there."""
_END = re.compile(r"([.!?…])[\"'”’»)\]}*_]*\s*\Z|[。！？][」』”’）]*\s*\Z|\n\s*\Z")


def ends_sentence(text: str) -> bool:
    """Whether a sentence or a paragraph ends where a text ends. A straight quote that may still come isn't waited for.
    """
    found = _END.search(text[-TAIL:])
    if not found:
        return False
    if found[1] != ".":
        return True
    word = re.split(r"[\s\"'“‘(\[]", text[-TAIL:][:found.start()])[-1]
    initial = len(word.rpartition(".")[2]) == 1 and word[-1].isupper() and word != "I"
    return not initial and word.lower() not in NO_END
