import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from gpt2_assist.text.special_tokens import END_OF_TEXT
from gpt2_assist.training.pretraining.tokenizer_training import train_tokenizer
from gpt2_assist.training.token_stream import Batches, encode_documents


@given(st.lists(st.text(max_size=60), max_size=100))
@example([END_OF_TEXT, f"one{END_OF_TEXT}two"])
def test_encoded_documents_decode_to_themselves_parted_where_they_spell_the_separator(documents):
    tokenizer = train_tokenizer(["the cat and the dog and the bird " * 3], 270)
    ids = encode_documents(tokenizer, documents, 1 << 30)
    separator = tokenizer.token_to_id(END_OF_TEXT)
    parts, start = [], 0
    for end in np.flatnonzero(ids == separator):
        parts.append(tokenizer.decode(ids[start:end].tolist()))
        start = end + 1
    assert parts == [part for document in documents for part in document.split(END_OF_TEXT)] and start == len(ids)


def test_each_pass_deals_every_block_once_with_shifted_targets():
    stream = np.arange(10 * 8 + 1, dtype=np.uint16)
    batches = Batches(stream, 8, 16, seed=3)
    for turn in (0, 1):
        seen = []
        for step in range(turn * 5, turn * 5 + 5):
            ids, targets = batches.at(step, 8)
            assert (targets == ids + 1).all() and ids.shape == (2, 8)
            seen += ids[:, 0].tolist()
        assert sorted(seen) == list(range(0, 80, 8))


def test_a_step_has_the_same_tokens_at_every_sequence_length():
    batches = Batches(np.arange(1000, dtype=np.uint16), 16, 64, seed=0)
    for step in range(20):
        long, short = batches.at(step, 16), batches.at(step, 4)
        assert (long[0].ravel() == short[0].ravel()).all() and short[1].shape == (16, 4)
