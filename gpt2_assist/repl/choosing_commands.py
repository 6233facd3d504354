"""Commands that have words chosen: one's own way through what the model finds likely."""
from math import exp

from gpt2_assist.errors import UsageError
from gpt2_assist.repl.commands import Command
from gpt2_assist.repl.open_session import OpenSession

CONSIDERED = 10
_END = 60
"""Characters of the text that a choice shows."""


async def pick(state: OpenSession, argument: str) -> None:
    """Word after word, until the user wants none; then they are a passage."""
    session, chosen = state.session, ""
    while words := await state.writer.next_words(session, session.text + chosen, CONSIDERED):
        shown = " ".join((session.text + chosen)[-_END:].split("\n"))
        place = await state.face.choose(f"…{shown}", [f"{chance:4.0%} {word.strip()}" for word, chance in words])
        if place is None:
            break
        chosen += words[place][0]
    if chosen:
        session.write(chosen, "model", {"model": session.model, "chosen": "word by word"})
    elif not words:
        raise UsageError("The model finds that the text ends here.")
    state.face.changed()


async def considered(state: OpenSession, argument: str) -> None:
    """What else could have stood at a word of the last reply. Choosing one branches there, and the model goes on."""
    session, last = state.session, state.session.last
    if last is None or last.author != "model":
        raise UsageError("The last passage is yours; this is about the model's.")
    _, tokens = await state.writer.again(session, last.number, CONSIDERED)
    if not tokens:
        raise UsageError("There is no word to change in the last reply.")
    words = [f"{exp(chance):4.0%} {text.strip() or repr(text)}" for text, chance, _ in tokens]
    place = await state.face.choose("At which word?", words)
    if place is None:
        return
    others = tokens[place][2]
    if not others:
        raise UsageError("Nothing else was likely there.")
    other = await state.face.choose(f"Instead of {tokens[place][0].strip()!r}",
                                    [f"{exp(chance):4.0%} {text.strip() or repr(text)}" for text, chance in others])
    if other is None or others[other][0] == tokens[place][0]:
        return
    before = "".join(text for text, _, _ in tokens[:place])
    session.goto(last.parent)
    session.write(before + others[other][0], "model", {"model": session.model, "chosen": "another word"})
    state.face.changed()
    await state.go_on()


COMMANDS = (
    Command("/pick", "", "The text", "choose the next words yourself, from the likeliest", pick),
    Command("/considered", "", "Other ways it could go", "what else the model found likely at a word", considered),
)
