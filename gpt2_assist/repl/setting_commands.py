"""Commands about how the model writes: which, with what settings, what it always has before it, what it never says."""
import json
from dataclasses import asdict, replace

from gpt2_assist.errors import UsageError
from gpt2_assist.ipc.messages import Generation
from gpt2_assist.repl import presets
from gpt2_assist.repl import settings as session_settings
from gpt2_assist.repl.commands import Command
from gpt2_assist.repl.face import Part
from gpt2_assist.repl.open_session import OpenSession
from gpt2_assist.repl.writer import STOPPED

HOW = "How the model writes"
DEEPEST = 100
"""Paragraphs from the end at which a note can stand."""


async def model(state: OpenSession, argument: str) -> None:
    from gpt2_assist.model.store import find_model, list_models
    if not argument:
        names = [model.name for model in list_models()]
        state.face.note("\n".join(f"{'*' if known == state.session.model else ' '} {known}" for known in names))
        return
    name = find_model(argument).name
    loaded = await state.writer.load(name)
    state.session.model = name
    state.session.save()
    state.face.changed()
    state.face.note(f"{name}: {loaded.parameters / 1e6:.1f}M parameters, context {loaded.n_ctx}, "
                    f"{loaded.precision} on {loaded.device}")


async def change(state: OpenSession, argument: str) -> None:
    if not argument:
        state.face.note("\n".join(session_settings.shown(state.settings)))
        return
    name, _, value = argument.replace("=", " ", 1).partition(" ")
    keep(state, session_settings.changed(state.settings, name, value.strip() or None))
    state.face.note(next(line for line in session_settings.shown(state.settings) if line.startswith(f"{name} =")))


def keep(state: OpenSession, settings: Generation) -> None:
    """Makes these the session's settings."""
    defaults = asdict(session_settings.DEFAULT)
    state.session.settings = {name: value for name, value in asdict(settings).items() if value != defaults[name]}
    state.session.save()
    state.face.changed()


async def preset(state: OpenSession, argument: str) -> None:
    verb, _, name = argument.partition(" ")
    if verb == "save":
        if not name.strip():
            raise UsageError("/preset save wants a name.")
        presets.save(name.strip(), state.session.settings)
        state.face.note(f"the settings are kept as {name.strip()}")
        return
    known = presets.read()
    if not argument:
        state.face.note("\n".join(f"{name}: {presets.words(settings)}" for name, settings in known.items())
                        + "\n/preset save NAME keeps the settings of now.")
        return
    if argument not in known:
        raise UsageError(f"There is no preset {argument!r}; there are {', '.join(known)}.")
    kept = state.settings
    keep(state, replace(session_settings.DEFAULT, max_new_tokens=kept.max_new_tokens, finish_within=kept.finish_within,
                        **known[argument]))
    state.face.note(f"{argument}: {presets.words(known[argument])}")


async def memory(state: OpenSession, argument: str) -> None:
    if argument:
        state.session.memory = "" if argument == "-" else argument
        state.session.save()
    state.face.changed()
    state.face.note(f"The model always reads this first: {state.session.memory}" if state.session.memory else
                    "There is no memory; /memory TEXT is what the model always reads first.")


async def note(state: OpenSession, argument: str) -> None:
    session = state.session
    if argument == "-":
        session.note = ""
    elif argument:
        depth, _, text = argument.partition(" ")
        if not depth.isdecimal() or int(depth) > DEEPEST or not text.strip():
            raise UsageError(f"/note wants a number of paragraphs from 0 to {DEEPEST}, and then the note.")
        session.note_depth, session.note = int(depth), text.strip()
    session.save()
    state.face.changed()
    state.face.note(f"{session.note_depth} paragraphs before the end the model reads: {session.note}" if session.note
                    else "There is no note; /note 3 TEXT is read three paragraphs before the end.")


async def ban(state: OpenSession, argument: str) -> None:
    banned = state.session.banned
    if argument == "-":
        banned = []
    elif argument.startswith("- "):
        if argument[2:] not in banned:
            raise UsageError(f"{argument[2:]!r} isn't banned.")
        banned = [phrase for phrase in banned if phrase != argument[2:]]
    elif argument:
        replace(state.settings, banned=[*banned, argument]).validate()
        banned = list(dict.fromkeys([*banned, argument]))
    state.session.banned = banned
    state.session.save()
    state.face.note("The model never writes: " + " · ".join(banned[-20:]) if banned else
                    "Nothing is banned; /ban PHRASE is never written, /ban - PHRASE may be again.")


async def why(state: OpenSession, argument: str) -> None:
    replays = argument == "replay"
    number = state.passage(argument) if argument and not replays else state.session.current
    if not number:
        raise UsageError("There is no text yet.")
    passage = state.session.passage(number)
    if passage.author != "model":
        state.face.note(f"passage {number}: yours")
        return
    if replays:
        await _replay(state, number)
        return
    await state.face.page(f"Passage {number}", _made(state, number))


def _made(state: OpenSession, number: int) -> list[Part]:
    passage = state.session.passage(number)
    how = json.loads(passage.how)
    defaults = asdict(Generation())
    settings = {name: value for name, value in how.pop("settings", {}).items() if value != defaults.get(name)}
    parts: list[Part] = []
    for name, value in {**how, **settings}.items():
        if value not in ("", None, [], 0) or name == "seed":
            parts += [("strong", f"{name.replace('_', ' ')}: "), ("", f"{value}\n")]
    before = state.session.text_at(passage.parent)
    seen = how.get("seen")
    parts += [("note", "\nwhat the model saw, and went on from:\n"),
              ("", before[-seen:] if seen else before), ("model", passage.text), ("", "\n")]
    return parts


async def _replay(state: OpenSession, number: int) -> None:
    passage = state.session.passage(number)
    text, _ = await state.writer.again(state.session, number)
    stopped = json.loads(passage.how).get("finish_reason") in STOPPED
    same = text.startswith(passage.text) if stopped else text == passage.text
    state.face.note(f"Passage {number} comes out the same, to the letter." if same else
                    f"Passage {number} comes out another: model, program or machine are no longer what they were.")


COMMANDS = (
    Command("/model", "[NAME]", HOW, "change the model, or list the models", model, lambda state: _models()),
    Command("/set", "[NAME VALUE]", HOW, "change a setting (without a value: its default), or list them", change,
            lambda state: session_settings.NAMES),
    Command("/preset", "[NAME | save NAME]", HOW, "settings by a name", preset, lambda state: presets.read()),
    Command("/memory", "[TEXT]", HOW, "what the model always reads first; - takes it away", memory),
    Command("/note", "[DEPTH TEXT]", HOW, "what it reads so many paragraphs before the end; - takes it away", note),
    Command("/ban", "[PHRASE]", HOW, "never written; - PHRASE may be again, - alone: everything", ban),
    Command("/why", "[N | replay]", HOW, "how the last passage was made, or passage N; replay: made again, is it the "
                                         "same?", why),
)


def _models() -> list[str]:
    from gpt2_assist.model.store import list_models
    return [known.name for known in list_models()]
