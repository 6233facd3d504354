"""How much a worker keeps of earlier texts, by model and by free memory."""
import pytest
from engines import config_of, fresh, prefilled, random_tokens

from gpt2_assist.architectures import gpt2
from gpt2_assist.engine.cache_size import CONTEXTS, FEWEST, chosen_bytes
from gpt2_assist.engine.engine import Sampling

MINI = gpt2.decoder(6, 4, 256, 1024, 8192)
XL = gpt2.decoder(48, 25, 1600, 1024, 50257)
GB = 1 << 30


@pytest.mark.parametrize(("config", "free", "contexts"), [
    (MINI, 16 * GB, CONTEXTS), (MINI, 0, FEWEST), (XL, 64 * GB, CONTEXTS), (XL, GB, FEWEST), (XL, 8 * GB, 3.41)])
def test_it_is_so_many_contexts(config, free, contexts):
    """A context of the mini takes 6 MB, one of the largest GPT-2 takes 300."""
    context = 2 * 2 * config.n_layer * config.n_embd * config.n_ctx
    assert chosen_bytes(config, free) / context == pytest.approx(contexts, abs=0.01)


@pytest.mark.parametrize("kind", ["cpu-int8", "cpu-int8 Llama", "cpu-bf16 Qwen3"])
def test_so_many_texts_are_kept_whole_also_where_heads_are_narrow_and_the_last_page_not_full(kind):
    config = config_of(kind)
    engine = fresh(kind, chosen_bytes(config, GB))
    texts = [random_tokens(seed, config.n_ctx) for seed in range(CONTEXTS)]
    for text in texts:
        engine.close(prefilled(engine, text, Sampling()))
    assert [engine.open(text, Sampling()).cached_tokens for text in texts] == [config.n_ctx - 1] * CONTEXTS
