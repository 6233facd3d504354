"""Commands about the text itself: going on, taking back, other continuations, editing, looking."""
import re

from gpt2_assist.errors import UsageError
from gpt2_assist.repl.commands import Command, count
from gpt2_assist.repl.face import Part
from gpt2_assist.repl.open_session import OpenSession
from gpt2_assist.repl.tree import tree_rows

MOST_ALTERNATIVES = 16
MOST_STEPS = 1000
TEXT, WAYS = "The text", "Other ways it could go"
_WORD = re.compile(r"\w+(?:['’-]\w+)*")


async def undo(state: OpenSession, argument: str) -> None:
    for step in range(count(argument, MOST_STEPS)):
        if not state.session.undo():
            if not step:
                raise UsageError("There is nothing to take back.")
            break
    state.face.changed()


async def redo(state: OpenSession, argument: str) -> None:
    for step in range(count(argument, MOST_STEPS)):
        if not state.session.redo():
            if not step:
                raise UsageError("Nothing was taken back.")
            break
    state.face.changed()


async def retry(state: OpenSession, argument: str) -> None:
    await alternatives(state, "1")


async def alternatives(state: OpenSession, argument: str) -> None:
    """New replies in place of the last one, which stays beside them."""
    last = state.session.last
    if last is None:
        raise UsageError("There is nothing yet that could be written another way.")
    n = count(argument, MOST_ALTERNATIVES, 3)
    await state.go_on(last.parent if last.author == "model" else None, n)


async def branch(state: OpenSession, argument: str) -> None:
    state.session.goto(state.passage(argument))
    state.face.changed()


async def goto(state: OpenSession, argument: str) -> None:
    state.session.choose(state.passage(argument))
    state.face.changed()


async def mark(state: OpenSession, argument: str) -> None:
    if not argument:
        marked = state.bookmarks()
        state.face.note("\n".join(f"{name}  (passage {number})" for name, number in marked.items())
                        or "There are no bookmarks; /mark NAME makes one here.")
        return
    if argument.isdecimal():
        raise UsageError("A bookmark's name can't be a number.")
    if state.session.last is None:
        raise UsageError("There is no text yet that could be marked.")
    state.session.bookmark(argument)
    state.face.note(f"marked here: {argument}; /goto {argument} comes back")


async def tree(state: OpenSession, argument: str) -> None:
    parts: list[Part] = []
    for row in tree_rows(state.session):
        (style, head), (author, words) = row.parts()
        parts += [(style, head), (author, f"{words[:60]}{'…' if len(words) > 60 else ''}\n")]
    await state.face.page("Passages", parts or [("note", "There are no passages yet.")])


async def edit(state: OpenSession, argument: str) -> None:
    before = state.session.text
    text = await state.face.edit(before)
    if text is not None and text != before:
        state.session.edit(text)
        state.face.note("The text is as you left it in the editor; /undo brings back what it was.")
    state.face.changed()


async def show(state: OpenSession, argument: str) -> None:
    path = state.session.path
    if argument:
        path = path[-count(argument, len(path) or 1):]
    await state.face.page(state.session.name, [(passage.author, passage.text) for passage in path])


async def words(state: OpenSession, argument: str) -> None:
    counts = {"user": 0, "model": 0, "edit": 0}
    for passage in state.session.path:
        counts[passage.author] += len(_WORD.findall(passage.text))
    text = state.session.text
    paragraphs = sum(bool(line.strip()) for line in text.splitlines())
    total = len(_WORD.findall(text))
    state.face.note(f"{total:,} words, {len(text):,} characters, {paragraphs:,} paragraphs: "
                    f"{counts['user'] + counts['edit']:,} words yours, {counts['model']:,} the model's")


async def copied(state: OpenSession, argument: str) -> None:
    from gpt2_assist.frontend.copied import Copied
    if argument:
        if argument not in ("on", "off"):
            raise UsageError(f"/copied takes on or off, not {argument!r}.")
        if argument == "on":
            Copied(state.session.model)  # raises for a model that wasn't fine-tuned here
        state.writer.marks_copied = argument == "on"
        state.face.note("what is copied is marked from now on" if state.writer.marks_copied else "no marks any more")
        return
    last = state.session.last
    if last is None:
        raise UsageError("There is nothing yet that could be copied.")
    state.face.note("\n".join(Copied(state.session.model).lines(last.text)))


COMMANDS = (
    Command("/undo", "[N]", TEXT, "take back the last step, or N steps", undo),
    Command("/redo", "[N]", TEXT, "what was taken back, again", redo),
    Command("/edit", "", TEXT, "change the text in your editor; what you don't change stays whose it was", edit),
    Command("/show", "[N]", TEXT, "the text to look through, or its last N passages", show),
    Command("/words", "", TEXT, "how many words, and whose", words),
    Command("/copied", "[on|off]", TEXT,
            "what of the last passage stands in the texts that the model was fine-tuned on; on: mark it as it comes",
            copied, lambda state: ("on", "off")),
    Command("/retry", "", WAYS, "another continuation; the one before stays beside it", retry),
    Command("/alts", "[N]", WAYS, "N continuations side by side (3)", alternatives),
    Command("/tree", "", WAYS, "all passages, also those that are not in the text now", tree),
    Command("/branch", "N", WAYS, "the text ends after passage N, and goes on another way", branch,
            lambda state: state.bookmarks()),
    Command("/goto", "N", WAYS, "the text that goes through passage N, or through a bookmark", goto,
            lambda state: state.bookmarks()),
    Command("/mark", "[NAME]", WAYS, "a bookmark at the end of the text; without a name: all of them", mark),
)
