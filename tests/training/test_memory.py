"""What a training takes is made to fit the memory that is there."""
import pytest

from gpt2_assist.architectures import gpt2
from gpt2_assist.training.memory import fitting, needed_bytes
from gpt2_assist.training.settings import Settings, settled

LARGE = gpt2.decoder(n_layer=36, n_head=20, n_embd=1280, n_ctx=1024, vocab_size=50257)
GB = 1 << 30


@pytest.mark.parametrize("there, rows, recompute", [(64, 8, False), (24, 8, False), (16, 4, False), (8, 2, False),
                                                    (5, 1, True)])
def test_gpt2_large_takes_half_of_what_is_there(there, rows, recompute):
    asked = Settings()
    chosen = settled(asked, LARGE, 100_000, "cpu")
    fits = fitting(chosen, asked, LARGE, 2, there * GB)
    assert (fits.method, fits.micro_rows, fits.recompute) == ("lora", rows, recompute)
    assert needed_bytes(LARGE, fits, 2) <= there * GB // 2
    assert (fits.rows, fits.context, fits.steps) == (chosen.rows, chosen.context, chosen.steps), "it learns the same"


def test_what_was_asked_for_stays():
    asked = Settings(micro_rows=6)
    fits = fitting(settled(asked, LARGE, 100_000, "cpu"), asked, LARGE, 2, GB)
    assert fits.micro_rows == 6 and fits.recompute
