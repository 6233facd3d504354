"""What every engine does, the torch one and the CPU one in each of its precisions."""
import numpy as np
import pytest
from engines import (
    CONFIG,
    KINDS,
    adapters,
    config_of,
    fresh,
    generate,
    logits_of,
    model,
    name_of,
    over_architectures,
    prefilled,
    random_tokens,
    some_slow,
)

from gpt2_assist.engine.engine import Sampling
from gpt2_assist.engine.reference import reference_generate, reference_logits
from gpt2_assist.errors import ModelError, UsageError
from gpt2_assist.model.adapter import Adapter
from gpt2_assist.model.transformer import Transformer
from gpt2_assist.training.adapted_weights import merged

TOLERANCE = {"torch-fp32": 1e-5, "torch-bf16": 0.03, "cpu-fp32": 0.01, "cpu-bf16": 0.03, "cpu-int8": 0.08,
             "cpu-int4": 0.5, "cuda-fp32": 1e-5, "cuda-bf16": 0.03, "cuda-int8": 0.08, "card-fp32": 1e-4,
             "card-bf16": 0.03, "card-int8": 0.08}
"""Of the logits' root mean square; the CPU engine keeps keys and values in bfloat16."""
ALL = over_architectures(KINDS)


def near(found: np.ndarray, exact: np.ndarray, kind: str) -> bool:
    difference = found - exact
    return np.sqrt((difference ** 2).mean()) < TOLERANCE[kind.split()[0]] * np.sqrt((exact ** 2).mean())


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("length", [1, 63, 64, 65, 149, 150, 151, 400])
def test_its_logits_are_the_references_within_its_precision(kind, length):
    tokens = random_tokens(length, length)
    exact = reference_logits(model(name_of(kind)), tokens).numpy()
    assert near(logits_of(fresh(kind), tokens), exact, kind)


@pytest.mark.parametrize("sampling", [Sampling(temperature=0), Sampling(seed=3, top_k=20),
                                      Sampling(seed=4, top_p=0.9, repetition_penalty=1.3)])
@pytest.mark.parametrize("length", [1, 63, 64, 65, 149, 150, 151, 400])
@pytest.mark.parametrize("kind", over_architectures(["torch-fp32"]))
def test_in_fp32_it_generates_what_the_reference_does_also_past_the_context(kind, sampling, length):
    prompt = random_tokens(length, length)
    expected = [token.id for token in reference_generate(model(name_of(kind)), prompt, sampling, 60)]
    assert generate(fresh(kind), prompt, sampling, 60) == expected


@pytest.mark.parametrize("kind", ALL)
def test_a_shared_beginning_is_not_computed_again(kind):
    engine, prompt = fresh(kind), random_tokens(4, 100)
    engine.close(prefilled(engine, prompt, Sampling()))
    assert engine.open(prompt + [1, 2], Sampling()).cached_tokens == 99
    assert engine.open(prompt[:50] + [(prompt[50] + 1) % CONFIG.vocab_size] + prompt[50:],
                       Sampling()).cached_tokens == 50
    assert engine.open([(prompt[0] + 1) % CONFIG.vocab_size, *prompt], Sampling()).cached_tokens == 0


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("number", [0, 1])
def test_with_an_adapter_its_logits_are_those_of_the_model_that_has_it_in_its_weights(kind, number):
    tokens, engine, whole = random_tokens(9, 100), fresh(kind), Transformer(config_of(kind)).eval()
    plain, adapter = model(name_of(kind)), adapters(name_of(kind))[number]
    for strength in (1.0, 0.5):
        whole.load_state_dict(merged(dict(plain.state_dict()), adapter, strength))
        exact = reference_logits(whole, tokens).numpy()
        assert near(logits_of(engine, tokens, engine.add_adapter(adapter, strength)), exact, kind)
        assert np.abs(exact - reference_logits(plain, tokens).numpy()).max() > 0.2
    assert np.array_equal(logits_of(engine, tokens, engine.add_adapter(adapter, 0.0)),
                          logits_of(engine, tokens))


@pytest.mark.parametrize("kind", ALL)
def test_what_one_adapter_computed_is_no_other_ones_cache(kind):
    engine, prompt = fresh(kind), random_tokens(4, 100)
    engine.close(prefilled(engine, prompt, Sampling(), adapter=1))
    held = [engine.open([*prompt, 1], Sampling(), adapter=adapter).cached_tokens for adapter in (0, 1, 2)]
    assert held == [0, 99, 0]
    engine.drop_adapter(1)
    assert logits_of(engine, prompt, 2).tolist() == logits_of(fresh(kind), prompt, 2).tolist()


@pytest.mark.parametrize("kind", some_slow(KINDS))
def test_an_adapter_of_another_model_is_refused(kind):
    (down, up), *_ = adapters()[0].pairs.values()
    for pairs in ({"layers.0.qkv": (down[:, 1:], up)}, {"layers.0.qkv": (down, up[1:])},
                  {"layers.7.qkv": (down, up)}, {"layers.0.attention_norm": (down, up)}):
        with pytest.raises(ModelError, match="doesn't fit"):
            fresh(kind).add_adapter(Adapter(adapters()[0].shape, pairs))


@pytest.mark.parametrize("kind", over_architectures(KINDS, slow=("cuda",)))
def test_the_cache_stays_within_its_bytes_and_never_drops_a_live_sequence(kind):
    config = config_of(kind)
    if kind.startswith("cpu"):
        a_number, width = 2, config.n_kv_head * 16
    else:
        a_number, width = 4 if kind.startswith("torch") or "fp32" in kind else 2, config.kv_width
    engine = fresh(kind, cache_bytes=304 * 2 * config.n_layer * width * a_number)
    prompt = random_tokens(50, 128)
    live = prefilled(engine, prompt, Sampling(temperature=0))
    for seed in range(10):
        engine.close(prefilled(engine, random_tokens(seed, 100), Sampling()))
        assert engine.cached_tokens() <= 304
    engine.decode([live])
    assert live.tokens[-1] == generate(fresh(kind), prompt, Sampling(temperature=0), 1)[0]


@pytest.mark.parametrize("kind", some_slow(KINDS, slow=("cuda", "torch")))
def test_what_earlier_texts_took_is_given_back_but_for_the_last_and_changes_nothing(kind):
    engine = fresh(kind)
    texts = [random_tokens(seed, 3 * CONFIG.n_ctx // 4) for seed in range(8)]
    for text in texts:
        engine.close(prefilled(engine, text, Sampling()))
    before = engine.cached_tokens()
    engine.shrink()
    assert kind.startswith("cuda") or engine.cached_tokens() < before // 2
    last = engine.open([*texts[-1], 3], Sampling(temperature=0))
    assert last.cached_tokens == len(texts[-1]) - 1
    engine.close(last)
    for text in texts:
        assert generate(engine, text, Sampling(temperature=0), 5) == generate(
            fresh(kind), text, Sampling(temperature=0), 5)


@pytest.mark.parametrize("kind", ALL)
def test_log_probabilities_are_the_models_own(kind):
    prompt = random_tokens(6, 20)
    engine = fresh(kind)
    sequence = prefilled(engine, prompt, Sampling(temperature=3.0, logit_bias={7: 50.0}, logprobs=4))
    logits = np.asarray(engine.logits(sequence)).astype(np.float64)
    expected = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
    (token, *_), = engine.decode([sequence])
    assert token.id == 7 and token.logprob == pytest.approx(expected[7], abs=1e-6)
    ids = np.argsort(-expected, kind="stable")[:4]
    assert [id for id, _ in token.best] == ids.tolist()
    assert [value for _, value in token.best] == pytest.approx(expected[ids].tolist(), abs=1e-6)


@pytest.mark.parametrize("kind", some_slow(KINDS))
def test_what_no_model_could_continue_is_refused(kind):
    for prompt in ([], [CONFIG.vocab_size], [-1]):
        with pytest.raises(UsageError):
            fresh(kind).open(prompt, Sampling())


class Rules:
    """The first tokens are of these, the others even."""

    REFUSED = frozenset(range(11, 211, 2))

    def __init__(self, allowed: tuple[list[int], ...], guess: tuple[int, ...] | list[int] = ()) -> None:
        self._allowed, self._guess = allowed, guess

    def allowed(self, new):
        return np.array(self._allowed[len(new)]) if len(new) < len(self._allowed) else None

    def refused(self, new):
        return np.array(sorted(self.REFUSED))

    def likely(self, new):
        return [] if new else self._guess

    def over(self, new):
        return False


@pytest.mark.parametrize("kind", some_slow(KINDS))
def test_only_allowed_tokens_come_and_one_at_a_time(kind):
    engine, allowed = fresh(kind, speculate=True), ([3], [7, 9, 200], [0])
    sequence = prefilled(engine, [5, 6] * 20, Sampling(seed=1), rules=Rules(allowed))
    for ids in allowed:
        (token,), = engine.decode([sequence])
        assert token.id in ids


@pytest.mark.parametrize("kind", some_slow(KINDS))
def test_what_is_likely_comes_no_otherwise_than_token_by_token_and_what_is_refused_never(kind):
    allowed, prompt = ([3], [7, 9, 200], [0, 4]), [5, 6] * 20
    texts = []
    for guess in ([], [3, 9, 0], [3, 7, 4], [3, 200]):
        engine = fresh(kind, speculate=True)
        sequence = prefilled(engine, prompt, Sampling(seed=2, temperature=3.0), rules=Rules(allowed, guess))
        while len(sequence.tokens) < len(prompt) + 12:
            engine.decode([sequence])
        texts.append(sequence.tokens[len(prompt):][:12])
    assert all(text == texts[0] for text in texts) and not Rules.REFUSED & set(texts[0])
