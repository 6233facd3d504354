"""Banned phrases through the scheduler and real engines, beside a plain reference that begins anew for every token."""
import codecs
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from gpt2_assist.daemon.worker.banning import Banning
from gpt2_assist.daemon.worker.request import Request, Vocabulary
from gpt2_assist.daemon.worker.sampler_settings import sampling_of
from gpt2_assist.daemon.worker.scheduler import Scheduler
from gpt2_assist.engine.cpu.cpu_engine import CpuEngine
from gpt2_assist.engine.cuda.cuda_engine import CudaEngine
from gpt2_assist.engine.engine import Token
from gpt2_assist.engine.torch_engine import TorchEngine
from gpt2_assist.errors import UsageError
from gpt2_assist.ipc.client import Client
from gpt2_assist.ipc.messages import Chunk, Generate, Generation, Resume, SampleDone
from gpt2_assist.model.card import Card
from gpt2_assist.model.prepared import open_prepared, prepare
from gpt2_assist.model.weights import load_weights
from gpt2_assist.text.banned import BannedPhrases
from gpt2_assist.text.healing import Healing
from gpt2_assist.text.tokenizer import TextTokenizer

LISTS = {"letters": (["e", "T"], 0), "pieces": ([], 3), "wild": (["ß", "é", "\u0130", "ſ", " a", "xyz" * 30], 2)}
"""By name: phrases, and of how many of the model's own texts pieces across tokens are banned too."""
MORE = {"drawn": {"top_k": 0}, "greedy": {"temperature": 0.0}, "mirostat": {"mirostat_tau": 3.0}}


@pytest.fixture(scope="module")
def vocabulary(tiny_model: Path) -> Vocabulary:
    return Vocabulary(TextTokenizer.from_folder(tiny_model), Card())


@pytest.fixture(scope="module")
def weights(tiny_model: Path):
    return load_weights(tiny_model)


@pytest.fixture(scope="module")
def phrases_of(weights, vocabulary):
    def phrases(name: str, **more) -> list[str]:
        phrases, texts = LISTS[name]
        phrases = list(phrases)
        for number in range(texts):
            text = text_of(chunks_of(served(TorchEngine(*weights, "fp32", "cpu"), vocabulary, asked(phrases, **more))))
            size = 2 + number
            phrases += [text[place:place + size] for place in range(number + 1, len(text) - size, 5)]
        return phrases
    return phrases


def served(engine, vocabulary: Vocabulary, *messages: Generate | Resume) -> list:
    """What is heard of requests that run side by side."""
    heard: list = []
    scheduler = Scheduler(engine, heard.append)
    for message in messages:
        scheduler.add(Request(message, vocabulary, heard.append, engine.n_ctx))
    while scheduler.busy:
        scheduler.step()
    return heard


def chunks_of(heard: list) -> list[Chunk]:
    return [message for message in heard if isinstance(message, Chunk)]


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def ids_of(chunks: list[Chunk]) -> list[int]:
    return [id for chunk in chunks for id in chunk.tokens]


def asked(phrases: list[str], id: int = 1, **more) -> Generate:
    settings = {"max_new_tokens": 24, "seed": 5, "heal": False, "stop_tokens": [], "banned": phrases} | more
    return Generate(id, "tiny", "The model", Generation(**settings))


class PlaceRules:
    """Rules for one place."""

    def __init__(self, refused: set[int]) -> None:
        self._refused = np.array(sorted(refused), np.int64)

    def allowed(self, new):
        return None

    def refused(self, new):
        return self._refused

    def likely(self, new):
        return ()

    def over(self, new):
        return False


def origins(tokens: list[bytes]) -> tuple[str, list[int], int]:
    """The case-folded text of tokens, for each character the token that it begins in, and for what is unfinished."""
    decoder, text, places, begun = codecs.getincrementaldecoder("utf-8")("replace"), "", [], len(tokens)
    for place, token in enumerate(tokens):
        for byte in token:
            waiting = bool(decoder.getstate()[0])
            for number, character in enumerate(decoder.decode(bytes([byte]))):
                folded = character.casefold()
                text += folded
                places += [begun if waiting and not number else place] * len(folded)
                waiting = waiting and bool(number)
            if not decoder.getstate()[0]:
                begun = len(tokens)
            elif len(decoder.getstate()[0]) == 1:
                begun = place
    return text, places, begun


def reference(weights, vocabulary: Vocabulary, message: Generate) -> tuple[list[int], int]:
    """Token by token, each from an engine that knows nothing: new tokens, and how often it went back."""
    settings, tokenizer = message.settings, vocabulary.tokenizer
    phrases = [phrase.casefold() for phrase in settings.banned]
    prompt, _ = vocabulary.prompt(message.prompt, False)
    ends = vocabulary.stop_tokens([])
    control = tokenizer.control - ends
    bytes_of = tokenizer.token_bytes
    always = set(control)
    for id, token in enumerate(tokenizer.ordinary_tokens()):
        try:
            if id not in ends and any(phrase in token.decode().casefold() for phrase in phrases):
                always.add(id)
        except UnicodeDecodeError:
            continue
    sampling = sampling_of(settings, settings.seed, vocabulary, ends)
    new: list[int] = []
    refused: dict[tuple, set[int]] = {}
    settled = returns = 0
    while len(new) < settings.max_new_tokens:
        here = always | refused.get(tuple(new), set())
        token = next_token(weights, prompt, new, sampling, here)
        if token in here:
            break
        new.append(token)
        if token in ends:
            break
        text, places, begun = origins([bytes_of(id) for id in new])
        ended = [(text.find(phrase) + len(phrase), -len(phrase)) for phrase in phrases if phrase in text]
        if ended:
            end, length = min(ended)
            place = max(settled, places[end + length])
            returns += 1
            refused.setdefault(tuple(new[:place]), set()).add(new[place])
            del new[place:]
            continue
        starts = [places[len(text) - count] for phrase in phrases for count in range(1, len(phrase))
                  if count <= len(text) and text.endswith(phrase[:count])]
        settled = max(settled, min([len(new), begun, *starts]))
    return new, returns


def next_token(weights, prompt, new, sampling, refused):
    engine = TorchEngine(*weights, "fp32", "cpu")
    sequence = engine.open(prompt, sampling, 0, new, 0, 1 << 20, PlaceRules(refused))
    while not engine.prefill(sequence):
        pass
    return engine.decode([sequence])[0][0].id


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("how", ["drawn", "greedy"])
def test_the_text_is_that_of_a_plain_reference(weights, vocabulary, phrases_of, name, how):
    request = asked(phrases_of(name, **MORE[how]), **MORE[how])
    expected, returns = reference(weights, vocabulary, request)
    heard = chunks_of(served(TorchEngine(*weights, "fp32", "cpu"), vocabulary, request))
    assert ids_of(heard) == expected
    text = text_of(heard).casefold()
    assert not any(phrase.casefold() in text for phrase in request.settings.banned)
    assert returns or name != "pieces"


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("how", MORE)
def test_another_worker_goes_on_with_the_same_text(weights, vocabulary, phrases_of, name, how):
    request = asked(phrases_of(name, **MORE[how]), **MORE[how], max_new_tokens=20)
    whole = chunks_of(served(TorchEngine(*weights, "fp32", "cpu"), vocabulary, request))
    for place in {1, len(whole) // 2, len(whole) - 1} - {0}:
        delivered = ids_of(whole[:place])
        rest = chunks_of(served(TorchEngine(*weights, "fp32", "cpu"), vocabulary, Resume(request, [delivered], [])))
        assert text_of(whole[:place]) + text_of(rest) == text_of(whole)
        assert delivered + ids_of(rest) == ids_of(whole)


@pytest.mark.parametrize("speculate", [False, True])
def test_drafts_change_nothing(tiny_model, vocabulary, phrases_of, speculate):
    request = asked(phrases_of("pieces", temperature=0.3, top_k=3), temperature=0.3, top_k=3, max_new_tokens=60)
    prepared = open_prepared(prepare(tiny_model, "int8"))
    engine = CpuEngine(prepared, 1 << 26, 1, speculate=speculate)
    engine.drafts_pay_from_s = 0.0
    first = chunks_of(served(engine, vocabulary, request))
    again = chunks_of(served(engine, vocabulary, request))
    fresh = chunks_of(served(CpuEngine(prepared, 1 << 26, 1, speculate=False), vocabulary, request))
    assert ids_of(first) == ids_of(again) == ids_of(fresh)


def test_where_every_letter_is_banned_the_text_goes_on_without_or_ends(weights, vocabulary):
    letters = [chr(code) for code in range(0x250) if chr(code).isalpha()]
    heard = served(TorchEngine(*weights, "fp32", "cpu"), vocabulary, asked(letters))
    text = text_of(chunks_of(heard))
    assert text and not set(text.casefold()) & set(letters)
    assert [message.finish_reason for message in heard if isinstance(message, SampleDone)] == ["length"]


@pytest.mark.slow
def test_a_cards_engine_has_the_same_text(weights, vocabulary, phrases_of):
    request = asked(phrases_of("pieces"), **MORE["drawn"])
    expected = chunks_of(served(TorchEngine(*weights, "fp32", "cpu"), vocabulary, request))
    assert ids_of(chunks_of(served(CudaEngine(*weights, "fp32", "cpu"), vocabulary, request))) == ids_of(expected)


def test_a_token_that_comes_for_want_of_others_is_known():
    tokens = [b"a", b"b", b"ab", b"c"]
    phrases, healing = BannedPhrases(tokens, ["ab", "c"]), Healing(tokens, lambda text: [])
    banning = Banning(phrases, tokens.__getitem__, healing, b"", None, frozenset())
    assert [banning.exhausted(Token(id)) for id in range(4)] == [False, False, True, True]
    assert banning.take(Token(0)) and not banning.settled()
    assert not banning.take(Token(1)) and banning.tokens == []
    assert [banning.exhausted(Token(id)) for id in range(4)] == [True, False, True, True]
    assert sorted(banning.rules.refused([])) == [0, 2, 3]
    assert sorted(banning.rules.refused([1])) == [2, 3]
    assert banning.take(Token(1)) and [token.id for token in banning.settled()] == [1]


def test_samples_side_by_side_are_those_that_come_alone(weights, vocabulary, phrases_of):
    phrases = phrases_of("pieces")
    together = chunks_of(served(TorchEngine(*weights, "fp32", "cpu"), vocabulary, asked(phrases, n=3), asked([], id=2)))
    for index in range(3):
        alone = chunks_of(served(TorchEngine(*weights, "fp32", "cpu"), vocabulary, asked(phrases, first_index=index)))
        assert ids_of([chunk for chunk in together if (chunk.id, chunk.index) == (1, index)]) == ids_of(alone)


def test_what_spells_the_prompts_end_is_no_new_text(weights, vocabulary):
    request = Generate(1, "tiny", "The mod", Generation(max_new_tokens=12, seed=5, banned=["mod", "the"]))
    text = text_of(chunks_of(served(TorchEngine(*weights, "fp32", "cpu"), vocabulary, request)))
    assert text and "mod" not in text.lower()


def test_a_stop_string_that_comes_first_ends_the_text(weights, vocabulary):
    plain = text_of(chunks_of(served(TorchEngine(*weights, "fp32", "cpu"), vocabulary, asked([]))))
    stop = next(character for character in plain[3:] if character.isascii())
    place = plain.index(stop)
    banned = plain[place - 1:place + 3]
    heard = served(TorchEngine(*weights, "fp32", "cpu"), vocabulary, asked([banned], stop=[stop]))
    assert text_of(chunks_of(heard)) == plain[:place]


@pytest.mark.parametrize(("phrases", "sentence"), [
    ([""], "1 to 100 characters"), (["a" * 101], "1 to 100 characters"), ([3], "1 to 100 characters"),
    (["a"] * 10_001, "10,000")])
def test_what_can_not_be_banned_is_said(phrases, sentence):
    with pytest.raises(UsageError, match=sentence):
        Generation(banned=phrases).validate()


@pytest.fixture
def daemon(tmp_path, monkeypatch):
    with tempfile.TemporaryDirectory(prefix="g2a-") as folder:
        monkeypatch.setenv("GPT2_ASSIST_RUNTIME", str(Path(folder) / "run"))
        monkeypatch.setenv("GPT2_ASSIST_HOME", str(tmp_path))
        yield
        subprocess.run([sys.executable, "-m", "gpt2_assist.cli", "daemon", "stop"], check=True,
                       stdout=subprocess.DEVNULL)


@pytest.mark.slow
def test_a_worker_killed_in_mid_stream_changes_nothing(daemon, tiny_model, phrases_of):
    with Client.connect("test") as client, Client.connect("killer") as killer:
        def heard(kills: int, **more) -> tuple[str, list[int]]:
            chunks: list[Chunk] = []
            for message in client.generate(str(tiny_model), "The mod", asked(phrases_of("pieces"), **more).settings):
                if isinstance(message, Chunk):
                    chunks.append(message)
                    if kills:
                        kills -= 1
                        os.kill(killer.status()["workers"][0]["pid"], signal.SIGKILL)
            return text_of(chunks), ids_of(chunks)
        for more in ({"max_new_tokens": 200, "heal": True}, {"mirostat_tau": 3.0, "max_new_tokens": 100}):
            assert heard(1, **more) == heard(0, **more)
