"""How much a worker keeps of earlier texts, by model and by free memory."""
import pytest

from gpt2_assist.architectures import gpt2
from gpt2_assist.engine.cache_size import CONTEXTS, FEWEST, chosen_bytes

MINI = gpt2.decoder(6, 4, 256, 1024, 8192)
XL = gpt2.decoder(48, 25, 1600, 1024, 50257)
GB = 1 << 30


@pytest.mark.parametrize(("config", "free", "contexts"), [
    (MINI, 16 * GB, CONTEXTS), (MINI, 0, FEWEST), (XL, 64 * GB, CONTEXTS), (XL, GB, FEWEST), (XL, 8 * GB, 3.41)])
def test_it_is_so_many_contexts(config, free, contexts):
    """A context of the mini takes 6 MB, one of the largest GPT-2 takes 300."""
    context = 2 * 2 * config.n_layer * config.n_embd * config.n_ctx
    assert chosen_bytes(config, free) / context == pytest.approx(contexts, abs=0.01)
