"""How good completions are: cursors in texts that the model was never trained on, and what would have been shown there.

At each cursor the document ends; what really followed is the truth. The prompt is the language server's (its window,
the file's name, the part of another open file that is most alike), the text is the model's likeliest, the filters are
the server's chain. Then:

- shown: of how many cursors anything is shown;
- word, line: of the shown, how many begin with the rest of the next word, and of the line, as it really was;
- right: of the shown, how many have nothing to mend, so that one key takes it all;
- saved: characters that taking the right ones saves, per completion shown, and per 100 cursors;
- by words: the same for somebody who takes word by word as long as they are right.

Cursors fall on the characters that are typed: anywhere but in a line's indentation.

Cursors are in documents that training held out and, for Shakespeare and Python, in texts that it never had.

Models beside each other are compared with the confidence that shows something at a third of the cursors.

`python benchmarks/completions.py --corpora FOLDER [--models mini,smollm2] [--cursors 300] [--seed 1] [--quick]`
"""
import argparse
import asyncio
import importlib.util
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gpt2_lsp.completer import AFTER_LINES, BEFORE, WINDOW
from gpt2_lsp.context import Context
from gpt2_lsp.documents import Cursor, Document, split
from gpt2_lsp.settings import EditorSettings
from own_daemon import daemon
from table import show

from gpt2_assist.completion.filters.chain import filtered
from gpt2_assist.completion.filters.draft import Draft, Place
from gpt2_assist.completion.languages import PROSE
from gpt2_assist.completion.spots import TAIL, Spot
from gpt2_assist.completion.streams import Stream
from gpt2_assist.completion.views import View
from gpt2_assist.ipc.client import AsyncClient
from gpt2_assist.ipc.messages import Chunk, Generation, SampleDone
from gpt2_assist.training.pretraining.corpora import read_documents
from gpt2_assist.training.pretraining.mixture import held_out_documents
from gpt2_assist.training.pretraining.recipe import read_recipe

PACKAGES = ("prompt_toolkit", "pygls", "numba", "gpt2_assist")
"""Python that is installed with the project and was not in the model's training data."""
OPEN = 4
"""Other open files."""
PIECE = 12_000
"""Characters of a file that is made of a part of a long text."""
AT_ONCE = 4
WORD = re.compile(r"\s*(?:\w+|[^\w\s]+)")
CONFIDENCES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7)
COLUMNS = ["", "shown, %", "word, %", "line, %", "right, %", "saved / shown", "saved / 100 cursors",
           "by words / shown", "by words / 100 cursors"]


@dataclass(frozen=True)
class Case:
    """A cursor: its document, which ends there, what is open beside it, and what really follows."""

    document: Document
    cursor: Cursor
    others: tuple[Document, ...]
    truth: str


@dataclass(frozen=True)
class Completion:
    """What the model said for a case."""

    case: Case
    place: Place
    draft: Draft


def texts(corpora: Path, recipe: Path) -> dict[str, list[list[tuple[str, str]]]]:
    """Kinds of text; of each some folders, of which each holds files that could be open together: (name, text)."""
    held_out = held_out_documents(read_recipe(recipe, corpora))
    prose = {name: [_pieces(document) for document in held_out[name]] for name in ("novels", "fairytales", "wikipedia")}
    news = [(f"{number}.txt", text) for number, text in enumerate(held_out["wikinews"])]
    prose["news"] = [news[first:first + OPEN + 1] for first in range(0, len(news), OPEN + 1)]
    prose["Shakespeare"] = [_pieces("".join(read_documents(str(corpora / "tinyshakespeare.txt"))))]
    code = {}
    for package in PACKAGES:
        root = Path(importlib.util.find_spec(package).origin).parent
        files = [(path.name, path.read_text(encoding="utf-8")) for path in sorted(root.rglob("*.py"))]
        code[f"Python: {package}"] = [[(name, text) for name, text in files if len(text) > 1500]]
    return prose | code


def _pieces(text: str) -> list[tuple[str, str]]:
    starts = range(0, max(1, len(text) - PIECE // 2), PIECE)
    return [(f"{first // PIECE}.txt", text[first:first + PIECE]) for first in starts]


def cases(folders: list[list[tuple[str, str]]], count: int, seed: int) -> Iterator[Case]:
    drawn = random.Random(seed)
    weights = [sum(len(text) for _, text in files) for files in folders]
    while count:
        files = drawn.choices(folders, weights)[0]
        number = drawn.choices(range(len(files)), [len(text) for _, text in files])[0]
        name, text = files[number]
        at = drawn.randrange(len(text))
        line = text[text.rfind("\n", 0, at) + 1:at]
        if len(text) - at < 100 or at < 200 or not line.strip() and text[at] in " \t\n":
            continue
        beside = [file for other, file in enumerate(files) if other != number]
        others = tuple(_document(*file) for file in drawn.sample(beside, min(OPEN, len(beside))))
        document = _document(name, text[:at])
        yield Case(document, Cursor(len(document.lines) - 1, len(document.lines[-1])), others, text[at:at + 2000])
        count -= 1


def _document(name: str, text: str) -> Document:
    return Document(f"file:///work/{name}", "python" if name.endswith(".py") else "plaintext", 1, "utf-32", split(text))


async def complete(client: AsyncClient, model: str, case: Case, settings: EditorSettings, heal: bool, files: bool,
                   name: bool) -> Completion:
    document = case.document
    place = Place(before=document.before(case.cursor, BEFORE)[-2 * BEFORE:],
                  after=document.after(case.cursor, AFTER_LINES), language=document.language,
                  prose=document.language in PROSE, max_lines=settings.max_lines, prose_unit=settings.prose_unit)
    unnamed = document if name else replace(document, uri="untitled:1")
    prompt = Context(WINDOW).prompt(unnamed, case.cursor, lambda: case.others if files else ())
    view = View(place, settings.max_tokens)
    stream = Stream(Spot.of(case.cursor, document.before(case.cursor, TAIL)), view)
    generation = Generation(max_new_tokens=settings.max_tokens, temperature=0.0, top_k=0, seed=0, logprobs=0, heal=heal,
                            begins=False)
    async for message in await client.generate(model, prompt, generation):
        if isinstance(message, Chunk):
            stream.add(message.text, message.logprobs)
        elif isinstance(message, SampleDone):
            stream.end()
    return Completion(case, place, stream.unfiltered(view))


async def complete_all(found: Sequence[Case], model: str, settings: EditorSettings, **manner: bool) -> list[Completion]:
    clients = [await AsyncClient.connect("benchmark") for _ in range(AT_ONCE)]

    async def some(number: int) -> list[Completion]:
        return [await complete(clients[number], model, case, settings, **manner) for case in found[number::AT_ONCE]]
    try:
        return sum(await asyncio.gather(*map(some, range(AT_ONCE))), [])
    finally:
        for client in clients:
            await client.close()


def scored(name: str, completions: list[Completion], confidence: float, filters: bool = True) -> list[object]:
    """A row of the table."""
    shown = words = lines = right = saved = by_words = 0
    with_line = 0
    for completion in completions:
        place, truth = replace(completion.place, confidence=confidence), completion.case.truth
        text = filtered(place, completion.draft).text if filters else completion.draft.text
        if not text:
            continue
        shown += 1
        words += _begins(text, WORD.match(truth)[0], truth)
        line = truth.partition("\n")[0]
        if line.strip():
            with_line += 1
            lines += text.partition("\n")[0] == line
        whole = truth.startswith(text)
        right += whole
        saved += len(text) if whole else 0
        by_words += _right_words(text, truth)
    share = 100 / max(1, shown)
    return [name, 100 * shown / len(completions), words * share, 100 * lines / max(1, with_line), right * share,
            saved / max(1, shown), 100 * saved / len(completions), by_words / max(1, shown),
            100 * by_words / len(completions)]


def _begins(text: str, word: str, truth: str) -> bool:
    """Whether the text begins with a word that ends there as it does in truth."""
    if not text.startswith(word):
        return False
    rest, follows = text[len(word):], truth[len(word):]
    return not rest or not word[-1].isalnum() or _wordlike(rest) == _wordlike(follows)


def _wordlike(text: str) -> bool:
    return bool(re.match(r"\w", text))


def _right_words(text: str, truth: str) -> int:
    """Characters of the words at the text's beginning that are right."""
    at = 0
    for word in WORD.finditer(text):
        if not _begins(text[at:], word[0], truth[at:]) or not truth.startswith(text[:word.end()]):
            return at
        at = word.end()
    return len(text) if truth.startswith(text) else at


def at_a_third(name: str, completions: list[Completion]) -> list[object]:
    """The row of the least confidence, in hundredths, with which something is shown at no more than a third of them."""
    for hundredths in range(100):
        row = scored(f"{name}, {hundredths / 100:g}", completions, hundredths / 100)
        if row[1] <= 100 / 3:
            break
    return row


def show_tables(model: str, found: dict[str, list[Case]], made: dict[str, dict[str, list[Completion]]],
                confidence: float) -> None:
    """What one model did; `made` by manner and kind of text."""
    for group, kinds in _groups(found).items():
        def together(manner: str) -> list[Completion]:
            return sum((made[manner][kind] for kind in kinds), [])  # noqa: B023 used at once
        count = len(together("as it is"))
        show(f"{model}, {group}, by confidence: {count} cursors", COLUMNS,
             [scored(f"{chosen:g}", together("as it is"), chosen) for chosen in CONFIDENCES])
        rows = [scored(name, together(name), confidence) for name in made]
        rows.append(scored("without filters", together("as it is"), 0.0, filters=False))
        show(f"{model}, {group}, with confidence {confidence:g}", COLUMNS, rows)
        show(f"{model}, {group}, kinds of text, with confidence {confidence:g}", COLUMNS,
             [scored(kind.removeprefix("Python: "), made["as it is"][kind], confidence) for kind in kinds])


def _groups(kinds: Iterable[str]) -> dict[str, list[str]]:
    kinds = list(kinds)
    return {"prose": [kind for kind in kinds if "Python" not in kind],
            "Python": [kind for kind in kinds if "Python" in kind]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpora", type=Path, required=True, help="the folder that mini was trained from")
    parser.add_argument("--recipe", type=Path, default=Path(__file__).parents[1] / "recipes" / "mini.toml",
                        help="says which documents were held out")
    parser.add_argument("--models", default="mini", help="names or folders, commas between")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cursors", type=int, default=300, help="of each kind of text")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="only as it is, not without this and that")
    args = parser.parse_args()
    settings = EditorSettings()
    found = {kind: list(cases(folders, args.cursors, args.seed))
             for kind, folders in texts(args.corpora, args.recipe).items()}
    manners = {"as it is": {}}
    if not args.quick:
        manners |= {"without healing": {"heal": False}, "without other files": {"files": False},
                    "without the file's name": {"name": False}}
    usual = {"heal": True, "files": True, "name": True}
    thirds: dict[str, list[list[object]]] = {}
    for path in args.models.split(","):
        model = Path(path).name
        with daemon(args.threads):
            made = {name: {kind: asyncio.run(complete_all(some, path, settings, **usual | manner))
                           for kind, some in found.items()} for name, manner in manners.items()}
        show_tables(model, found, made, settings.confidence)
        for group, kinds in _groups(found).items():
            completions = sum((made["as it is"][kind] for kind in kinds), [])
            thirds.setdefault(group, []).append(at_a_third(model, completions))
    for group, rows in thirds.items():
        show(f"{group}, with the confidence that shows something at a third of the cursors", COLUMNS, rows)


if __name__ == "__main__":
    main()
