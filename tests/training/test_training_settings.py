"""What is chosen where nobody says it."""
from dataclasses import replace

import pytest

from gpt2_assist.architectures import gpt2
from gpt2_assist.training.finetuning.settings import FULL, FinetuneSettings, settled

MINI = gpt2.decoder(6, 4, 256, 1024, 8192)


@pytest.mark.parametrize("config, context", [(MINI, 1024), (replace(MINI, n_ctx=256), 256),
                                             (replace(MINI, n_ctx=2048), 1024)])
def test_rows_reach_every_learned_position_that_they_can(config, context):
    chosen = settled(FinetuneSettings(), config, 400_000, "cpu")
    assert (chosen.method, chosen.context) == (FULL, context)
    assert chosen.rows * context == chosen.batch_tokens == 4096


def test_rotated_positions_need_no_long_rows():
    assert settled(FinetuneSettings(), replace(MINI, positions="rotary"), 400_000, "cpu").context == 512


def test_what_is_asked_for_is_taken():
    assert settled(FinetuneSettings(context=300), MINI, 400_000, "cpu").context == 300
