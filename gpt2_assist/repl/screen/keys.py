"""The keys of the full screen, by readline's and emacs' habits; what isn't named here is prompt_toolkit's own."""
from typing import TYPE_CHECKING

from prompt_toolkit.filters import Condition, emacs_mode, has_completions, vi_insert_mode
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys

if TYPE_CHECKING:
    from gpt2_assist.repl.screen.composer import Composer

HELP = (
    ("Enter", "the model goes on from your words, or by itself"),
    ("Alt-Enter", "a new paragraph"),
    ("→ Ctrl-E Ctrl-F", "take what is offered; Alt-F a word of it"),
    ("Tab", "three ways to go on, to choose from"),
    ("Alt-R", "another continuation, the last one stays beside it; Alt-↑ Alt-↓ go through them"),
    ("Ctrl-_ Alt-_", "undo and redo: first what you typed, then passages"),
    ("Ctrl-C", "stop the model, keep what came"),
    ("PgUp PgDn", "look back; Ctrl-R or Alt-/ search"),
    ("Ctrl-G", "the text in your editor (also Ctrl-X Ctrl-E)"),
    ("Alt-T Alt-W", "the tree of passages; what else the model considered"),
    ("Ctrl-Z Ctrl-D", "suspend; leave"),
)


def writing_keys(composer: "Composer") -> KeyBindings:
    """Those that hold while one writes."""
    keys = KeyBindings()
    writes = Condition(lambda: composer.screen.app.layout.current_window is composer.screen.story_window)
    offered = writes & Condition(lambda: bool(composer.offer))
    inserts = writes & (emacs_mode | vi_insert_mode)

    def on(*names: str, when=writes):
        return keys.add(*names, filter=when)

    @on("enter", when=inserts)
    def _(event: KeyPressEvent) -> None:
        pasted = bool(event.app.key_processor.input_queue)  # a terminal that doesn't mark what is pasted
        if pasted or not composer.enter_goes_on:
            composer.draft.insert_text("\n")
        else:
            composer.enter()

    @on("escape", "enter", when=inserts)
    def _(event: KeyPressEvent) -> None:
        if composer.enter_goes_on:
            composer.draft.insert_text("\n")
        else:
            composer.enter()

    @on("enter", when=writes & ~(emacs_mode | vi_insert_mode))
    def _(event: KeyPressEvent) -> None:
        composer.enter()

    on(Keys.BracketedPaste)(lambda event: composer.insert(event.data))
    for name in ("right", "c-e", "c-f"):
        on(name, when=offered)(lambda event: composer.accept())
    on("escape", "f", when=offered)(lambda event: composer.accept_word())
    on("tab", when=writes)(lambda event: composer.suggestions())
    on("escape", "r")(lambda event: composer.again())
    on("escape", "up")(lambda event: composer.other(-1))
    on("escape", "down")(lambda event: composer.other(1))
    on("c-_")(lambda event: composer.undo())
    on("c-x", "c-u")(lambda event: composer.undo())
    on("c-x", "u")(lambda event: composer.undo())
    on("escape", "_")(lambda event: composer.redo())
    on("c-x", "r")(lambda event: composer.redo())
    on("c-g")(lambda event: composer.edit())
    on("c-x", "c-e")(lambda event: composer.edit())
    on("c-c")(lambda event: composer.stop())
    on("c-z")(lambda event: event.app.suspend_to_background())
    on("c-d", when=writes & Condition(lambda: not composer.draft.text))(lambda event: composer.leave())
    on("pageup")(lambda event: composer.turn(-1))
    on("pagedown")(lambda event: composer.turn(1))
    on("up", when=writes & ~has_completions)(lambda event: composer.up())
    on("down", when=writes & ~has_completions)(lambda event: composer.down())
    on("c-r")(lambda event: composer.read(searching=True))
    on("escape", "/")(lambda event: composer.read(searching=True))
    on("escape", "t")(lambda event: composer.tree())
    on("escape", "w")(lambda event: composer.considered())
    return keys
