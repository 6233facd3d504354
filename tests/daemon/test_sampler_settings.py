"""Samplers through a request: what texts in the settings mean in token ids, and a restart in the middle of a text."""
from pathlib import Path

import pytest

from gpt2_assist.daemon.worker.request import Request, Vocabulary
from gpt2_assist.daemon.worker.sampler_settings import sampling_of
from gpt2_assist.daemon.worker.scheduler import Scheduler
from gpt2_assist.engine.torch_engine import TorchEngine
from gpt2_assist.errors import UsageError
from gpt2_assist.ipc.messages import Chunk, Generate, Generation, Resume
from gpt2_assist.model.card import Card
from gpt2_assist.model.weights import load_weights
from gpt2_assist.text.tokenizer import TextTokenizer

SETTINGS = {"dry": {"dry_multiplier": 2.0, "temperature": 0.3}, "xtc": {"xtc_probability": 0.5, "xtc_threshold": 0.02},
            "typical_p": {"typical_p": 0.5}, "top_n_sigma": {"top_n_sigma": 1.0}, "dynatemp": {"dynatemp_range": 0.6},
            "temperatures": {"temperatures": [0.2, 0.5, 1.5]}, "mirostat": {"mirostat_tau": 3.0, "mirostat_eta": 0.5},
            "order": {"samplers": ["temperature", "top_p", "top_k"], "top_p": 0.5}}


@pytest.fixture(scope="module")
def vocabulary(tiny_model: Path) -> Vocabulary:
    return Vocabulary(TextTokenizer.from_folder(tiny_model), Card())


@pytest.fixture(scope="module")
def weights(tiny_model: Path):
    return load_weights(tiny_model)


def served(weights, vocabulary: Vocabulary, message: Generate | Resume) -> list[Chunk]:
    """The chunks of a sample that a new worker makes."""
    heard: list = []
    engine = TorchEngine(*weights, "fp32", "cpu")
    scheduler = Scheduler(engine, heard.append)
    scheduler.add(Request(message, vocabulary, heard.append, engine.n_ctx))
    while scheduler.busy:
        scheduler.step()
    return [message for message in heard if isinstance(message, Chunk)]


@pytest.mark.parametrize("name", SETTINGS)
def test_a_text_that_another_worker_goes_on_with_is_the_same_and_comes_once(weights, vocabulary, name):
    settings = Generation(**{"max_new_tokens": 30, "seed": 5, "top_k": 0} | SETTINGS[name])
    request = Generate(1, "tiny", "The mod", settings)
    whole = served(weights, vocabulary, request)
    plain = served(weights, vocabulary, Generate(1, "tiny", "The mod", Generation(max_new_tokens=30, seed=5, top_k=0)))
    assert text_of(whole) != text_of(plain), "the sampler does something"
    for place in (1, len(whole) // 2, len(whole) - 1):
        delivered = [id for chunk in whole[:place] for id in chunk.tokens]
        rest = served(weights, vocabulary, Resume(request, [delivered], []))
        assert text_of(whole[:place]) + text_of(rest) == text_of(whole)
        assert delivered + [id for chunk in rest for id in chunk.tokens] == [
            id for chunk in whole for id in chunk.tokens]


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def test_breakers_are_the_tokens_that_hold_them_and_xtc_spares_what_ends_lines_and_texts(vocabulary):
    bytes_of = vocabulary.tokenizer.token_bytes
    sampling = sampling_of(Generation(dry_multiplier=1.0, dry_breakers=["\n", "o"], xtc_probability=1.0), 3, vocabulary,
                           frozenset([0]))
    ids = range(vocabulary.tokenizer.vocab_size)
    special = vocabulary.tokenizer.control
    assert sampling.dry_breakers == {id for id in ids if id not in special and set(b"\no") & set(bytes_of(id))}
    assert sampling.xtc_spared == {0} | {id for id in ids if b"\n" in bytes_of(id)}
    assert len(sampling.dry_breakers) > 10
    assert not sampling_of(Generation(), 3, vocabulary, frozenset([0])).xtc_spared


def test_a_breaker_that_no_token_holds_is_refused(vocabulary):
    with pytest.raises(UsageError, match="'no token at all'.*shorter"):
        sampling_of(Generation(dry_multiplier=1.0, dry_breakers=["no token at all"]), 3, vocabulary, frozenset())
