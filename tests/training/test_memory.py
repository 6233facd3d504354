"""What a training takes is made to fit the memory that is there."""
import pytest

from gpt2_assist.architectures import gpt2
from gpt2_assist.architectures.description import Decoder
from gpt2_assist.training.finetuning.memory import fitting, needed_bytes
from gpt2_assist.training.finetuning.settings import FinetuneSettings, settled

GPT2 = gpt2.decoder(n_layer=12, n_head=12, n_embd=768, n_ctx=1024, vocab_size=50257)
LARGE = gpt2.decoder(n_layer=36, n_head=20, n_embd=1280, n_ctx=1024, vocab_size=50257)
SMOLLM2 = Decoder("llama", 30, 9, 3, 576, 64, 1536, 8192, 49152, norm="rms", positions="rotary", activation="silu",
                  gated=True, biases=())
GB = 1 << 30


@pytest.mark.parametrize("there, rows, recompute", [(64, 8, False), (26, 8, False), (16, 4, False), (10, 2, False),
                                                    (5, 1, True)])
def test_gpt2_large_takes_half_of_what_is_there(there, rows, recompute):
    asked = FinetuneSettings(batch_tokens=4096)
    chosen = settled(asked, LARGE, 100_000, "cpu")
    fits = fitting(chosen, asked, LARGE, 2, there * GB)
    assert (fits.method, fits.micro_rows, fits.recompute) == ("lora", rows, recompute)
    assert needed_bytes(LARGE, fits, 2) <= there * GB // 2
    assert (fits.rows, fits.context, fits.steps) == (chosen.rows, chosen.context, chosen.steps), "it learns the same"


def test_smollm2_learns_in_small_steps_that_two_cores_can_make():
    chosen = settled(FinetuneSettings(), SMOLLM2, 100_000, "cpu")
    assert (chosen.method, chosen.context, chosen.rows, chosen.rate) == ("lora", 512, 2, pytest.approx(1e-3))
    assert chosen.validate_every * chosen.batch_tokens > 16_384, "it learns from more than it is measured on"
    assert needed_bytes(SMOLLM2, fitting(chosen, FinetuneSettings(), SMOLLM2, 2, 24 * GB), 2) < 2 * GB
    assert settled(FinetuneSettings(method="lora"), LARGE, 100_000, "cpu").rate == pytest.approx(2e-4)


@pytest.mark.parametrize("config, method, rows, recompute, peak", [
    (SMOLLM2, "lora", 2, False, 1799), (SMOLLM2, "lora", 8, False, 5352), (SMOLLM2, "full", 2, False, 4065),
    (GPT2, "lora", 2, False, 1215)])
def test_what_is_needed_is_about_what_was_measured(config, method, rows, recompute, peak):
    """Peaks of a process's own memory in MiB, two threads, rows of 512 tokens, bf16."""
    asked = FinetuneSettings(method=method, micro_rows=rows, batch_tokens=512 * rows, recompute=recompute)
    needed = needed_bytes(config, settled(asked, config, 100_000, "cpu"), 2) / (1 << 20)
    assert 0.85 * peak < needed < 1.25 * peak


def test_what_was_asked_for_stays():
    asked = FinetuneSettings(batch_tokens=4096, micro_rows=6)
    fits = fitting(settled(asked, LARGE, 100_000, "cpu"), asked, LARGE, 2, GB)
    assert fits.micro_rows == 6 and fits.recompute
