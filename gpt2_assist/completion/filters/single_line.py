"""How many lines: the rest of the cursor's line where text stands behind the cursor or the user wants no more, else
some lines of code. How far prose goes, sentences and paragraphs say."""
from gpt2_assist.completion.filters.draft import Draft, Place


def apply(place: Place, draft: Draft) -> Draft:
    if place.single_line or place.line_after.strip():
        end = draft.text.find("\n")
    elif place.prose:
        return draft
    else:
        end = 0 if draft.text.startswith("\n") else -1  # the cursor's line has all it needs
        for _ in range(place.max_lines):
            end = draft.text.find("\n", end + 1)
            if end < 0:
                break
    return draft if end < 0 else draft.cut(end)
