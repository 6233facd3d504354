"""The next window, computed while the present one is in use: only for texts that may get there, or in idle times."""
import pytest
from engines import CONFIG, fresh, prefilled, random_tokens

from gpt2_assist.engine.engine import NO_LIMIT, Sampling

LENGTH = CONFIG.n_ctx - 20


@pytest.mark.parametrize("most_new, moves", [(8, False), (20, False), (21, True), (NO_LIMIT, True)])
def test_who_ends_before_the_window_moves_leaves_the_next_to_idle_times(most_new, moves):
    engine = fresh("cpu-int8")
    sequence = prefilled(engine, random_tokens(1, LENGTH), Sampling(temperature=0), most_new=most_new)
    for _ in range(8):
        engine.decode([sequence])
    held = engine.cached_tokens()
    assert held > len(sequence.tokens) if moves else held < len(sequence.tokens)
    engine.close(sequence)
    while engine.idle():
        pass
    assert engine.cached_tokens() > len(sequence.tokens)
