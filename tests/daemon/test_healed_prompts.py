"""Healed prompts through the scheduler and a real engine: what is shown, counted, resumed and cached."""
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from gpt2_assist.daemon.worker.request import Request, Vocabulary
from gpt2_assist.daemon.worker.scheduler import Scheduler
from gpt2_assist.engine.cuda.cuda_engine import CudaEngine
from gpt2_assist.engine.engine import Engine
from gpt2_assist.engine.torch_engine import TorchEngine
from gpt2_assist.errors import UsageError
from gpt2_assist.ipc.client import Client
from gpt2_assist.ipc.messages import Chunk, Failure, Finished, Generate, Generation, Resume, SampleDone
from gpt2_assist.model.card import Card
from gpt2_assist.model.weights import load_weights
from gpt2_assist.text.tokenizer import TextTokenizer

PROMPTS = ["The model", "The mod", "The ", "The model\n", "import json\n\n", "def make_model(fol", "T", "Größe, 語",
           "don't", "    "]


@pytest.fixture(scope="module")
def vocabulary(tiny_model) -> Vocabulary:
    return Vocabulary(TextTokenizer.from_folder(tiny_model), Card())


@pytest.fixture(params=[TorchEngine, pytest.param(CudaEngine, marks=pytest.mark.slow)])
def make_engine(tiny_model, request) -> Callable[[], Engine]:
    """Of one kind, each with an empty cache."""
    weights = load_weights(tiny_model)
    return lambda: request.param(*weights, "fp32", "cpu")


@pytest.fixture
def engine(make_engine) -> Engine:
    return make_engine()


@dataclass
class Outcome:
    """What a client and the supervisor hear of one request, by sample."""

    chunks: dict[int, list[Chunk]] = field(default_factory=lambda: defaultdict(list))
    done: dict[int, SampleDone] = field(default_factory=dict)
    finished: Finished | None = None

    def text(self, index: int = 0) -> str:
        return "".join(chunk.text for chunk in self.chunks[index])

    def tokens(self, index: int = 0) -> list[int]:
        return [id for chunk in self.chunks[index] for id in chunk.tokens]


def run(engine: Engine, vocabulary: Vocabulary, *messages: Generate | Resume) -> list[Outcome]:
    """Serves the requests together until all have ended."""
    outcomes: dict[int, Outcome] = defaultdict(Outcome)

    def hear(message: object) -> None:
        assert not isinstance(message, Failure)
        outcome = outcomes[message.id]
        if isinstance(message, Chunk):
            outcome.chunks[message.index].append(message)
        elif isinstance(message, SampleDone):
            outcome.done[message.index] = message
        else:
            outcome.finished = message

    scheduler = Scheduler(engine, hear)
    requests = [Request(message, vocabulary, hear, engine.n_ctx) for message in messages]
    for request in requests:
        scheduler.add(request)
    while scheduler.busy:
        scheduler.step()
    return [outcomes[request.id] for request in requests]


def generate(prompt: str, id: int = 1, **settings) -> Generate:
    return Generate(id, "tiny", prompt, Generation(**{"max_new_tokens": 12, "seed": 5, "temperature": 1.0} | settings))


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_new_tokens_spell_the_prompts_end_again_and_what_is_shown_comes_behind_it(engine, vocabulary, prompt):
    kept, spelling = vocabulary.prompt(prompt, True)
    assert bool(spelling) == (prompt != "don't")
    outcome, = run(engine, vocabulary, generate(prompt, logprobs=2))
    token_bytes = vocabulary.tokenizer.token_bytes
    begin = b"".join(token_bytes(id) for id in kept if id != vocabulary.tokenizer.end_of_text)
    new = b"".join(map(token_bytes, outcome.tokens()))
    assert begin + spelling == prompt.encode()
    assert new.startswith(spelling)
    assert outcome.text() == new[len(spelling):].decode("utf-8", "replace").rstrip("\ufffd")
    assert outcome.done[0] == SampleDone(1, 0, "length", 12)
    assert sum(len(chunk.logprobs) for chunk in outcome.chunks[0]) == 12
    respelled = outcome.tokens()[:-12]
    assert spelling.startswith(b"".join(map(token_bytes, respelled)))
    assert outcome.finished.prompt_tokens == len(kept)


@pytest.mark.parametrize("prompt", ["The mod", *(pytest.param(prompt, marks=pytest.mark.slow)
                                                 for prompt in PROMPTS if prompt != "The mod")])
def test_the_same_text_alone_in_a_batch_with_a_warm_cache_and_after_every_restart(engine, make_engine, vocabulary,
                                                                                 prompt):
    whole, *_ = run(engine, vocabulary, generate(prompt, n=2), *(generate(other, id + 2, seed=id)
                                                                for id, other in enumerate(PROMPTS[:4])))
    for index in range(2):
        for alone in (engine, make_engine()):
            outcome, = run(alone, vocabulary, generate(prompt, first_index=index))
            assert (outcome.text(), outcome.tokens()) == (whole.text(index), whole.tokens(index))
    restarted = make_engine()
    ids = whole.tokens()
    for count in range(len(ids)):
        rest, = run(restarted, vocabulary, Resume(generate(prompt), [ids[:count]], []))
        assert ids[:count] + rest.tokens() == ids
        assert whole.text().endswith(rest.text())
        assert rest.done[0].tokens == 12
    for count in range(len(whole.chunks[0]) + 1):
        delivered = whole.chunks[0][:count]
        tokens = [id for chunk in delivered for id in chunk.tokens]
        rest, = run(restarted, vocabulary, Resume(generate(prompt), [tokens], []))
        assert "".join(chunk.text for chunk in delivered) + rest.text() == whole.text()


@pytest.fixture
def daemon(tmp_path, monkeypatch):
    with tempfile.TemporaryDirectory(prefix="g2a-") as folder:
        monkeypatch.setenv("GPT2_ASSIST_RUNTIME", str(Path(folder) / "run"))
        monkeypatch.setenv("GPT2_ASSIST_HOME", str(tmp_path))
        yield
        subprocess.run([sys.executable, "-m", "gpt2_assist.cli", "daemon", "stop"], check=True,
                       stdout=subprocess.DEVNULL)


def test_a_worker_killed_in_mid_stream_changes_nothing(daemon, tiny_model):
    with Client.connect("test") as client, Client.connect("killer") as killer:
        def heard(kills: int, **more) -> tuple[str, list[int], int]:
            text, tokens = "", []
            settings = generate("", max_new_tokens=400, **more).settings
            for message in client.generate(str(tiny_model), "The mod", settings):
                if isinstance(message, Chunk):
                    text, tokens = text + message.text, tokens + message.tokens
                    if kills:
                        kills -= 1
                        os.kill(killer.status()["workers"][0]["pid"], signal.SIGKILL)
                elif isinstance(message, SampleDone):
                    return text, tokens, message.tokens
        for more in ({}, {"mirostat_tau": 3.0, "dry_multiplier": 0.8}):
            undisturbed = heard(0, **more)
            assert undisturbed[2] == 400
            assert heard(1, **more) == undisturbed


def test_stops_are_for_new_text_only(engine, vocabulary):
    for seed in range(100):
        outcome, = run(engine, vocabulary, generate("The model", seed=seed, stop=["model", "odel"]))
        respelled, new = outcome.tokens()[:-12], outcome.tokens()[-12:]
        if respelled and not set(respelled) & set(new):
            break
    else:
        pytest.fail("no sample spelled the word's end by itself")
    assert outcome.done[0] == SampleDone(1, 0, "length", 12)
    again, = run(engine, vocabulary, generate("The model", seed=seed, stop_tokens=respelled))
    assert again.text() == outcome.text()


def test_an_echo_is_the_whole_prompt(engine, vocabulary):
    plain, echoed = run(engine, vocabulary, generate("The mod"), generate("The mod", 2, echo=True))
    assert echoed.text() == "The mod" + plain.text()


def test_a_prompt_that_must_not_be_healed_is_given_whole(engine, vocabulary):
    ids = vocabulary.tokenizer.encode("The model")
    assert vocabulary.prompt("The model", False) == (ids, b"")
    outcome, = run(engine, vocabulary, generate("The model", heal=False))
    assert outcome.finished.prompt_tokens == len(ids)
    assert len(outcome.tokens()) == 12


def test_a_prompt_that_is_one_word_goes_on_from_the_end_of_a_text_before(vocabulary):
    end = vocabulary.tokenizer.end_of_text
    assert vocabulary.prompt("Hello", True) == ([end], b"Hello")
    assert vocabulary.prompt("", True) == vocabulary.prompt("", False) == ([end], b"")


def test_without_an_end_of_text_the_first_token_stays(tiny_model, tmp_path):
    entries = json.loads((tiny_model / "tokenizer.json").read_text(encoding="utf-8"))
    entries["added_tokens"] = []
    (tmp_path / "tokenizer.json").write_text(json.dumps(entries), encoding="utf-8")
    vocabulary = Vocabulary(TextTokenizer.from_folder(tmp_path), Card())
    assert vocabulary.tokenizer.end_of_text is None
    first, *others = vocabulary.tokenizer.encode("Zyx")
    assert others
    kept, spelling = vocabulary.prompt("Zyx", True)
    assert kept == [first] and vocabulary.tokenizer.token_bytes(first) + spelling == b"Zyx"
    assert vocabulary.prompt("Z", True) == (vocabulary.tokenizer.encode("Z"), b"")
    with pytest.raises(UsageError, match="can't be empty"):
        vocabulary.prompt("", True)


def test_what_a_card_puts_before_the_prompt_is_never_taken_back(vocabulary):
    carded = Vocabulary(vocabulary.tokenizer, Card(prompt_prefix="Title:\n"))
    encode = vocabulary.tokenizer.encode
    assert carded.prompt("", True) == (encode("Title:\n"), b"")
    assert carded.prompt("\n", True)[1] in (b"", b"\n")
    assert carded.prompt("Wor", True) == (encode("Title:\n"), b"Wor")
    assert carded.prompt("Wor", True, begins=False) == ([vocabulary.tokenizer.end_of_text], b"Wor")


def test_a_request_for_no_tokens_prefills_and_the_next_one_finds_its_prompt(engine, vocabulary):
    prompt = "A prompt of some length, which is read before anybody asks for more of it"
    ahead = generate(prompt, max_new_tokens=0, n=2)
    outcome, = run(engine, vocabulary, ahead)
    assert outcome.done == {index: SampleDone(1, index, "length", 0) for index in range(2)}
    assert outcome.text() == "" and outcome.tokens() == []
    kept, _ = vocabulary.prompt(prompt, True)
    assert engine.cached_tokens() == len(kept) - 1
    after, = run(engine, vocabulary, generate(prompt))
    assert after.finished.cached_tokens == len(kept) - 1
    again, = run(engine, vocabulary, replace(ahead, id=3))
    assert again.done == {index: SampleDone(3, index, "length", 0) for index in range(2)}
    resumed, = run(engine, vocabulary, Resume(ahead, [None, []], [0]))
    assert resumed.done == {1: SampleDone(1, 1, "length", 0)}
