"""Tokenizers written down as GGUF's keys come back as they were."""
import json

import numpy as np
import pytest
from text_samples import SAMPLES
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from gpt2_assist.errors import ModelError
from gpt2_assist.text.gguf_keys import gguf_keys
from gpt2_assist.text.gguf_tokens import KEY, gguf_tokens
from gpt2_assist.text.pre_tokenizers import KNOWN
from gpt2_assist.text.special_tokens import SpecialTokens
from gpt2_assist.text.tokenizer import TextTokenizer
from gpt2_assist.training.pretraining.tokenizer_training import train_tokenizer

FIM = {"prefix": "<|pre|>", "suffix": "<|suf|>", "middle": "<|mid|>", "order": "PSM"}


def tokenizer(known=KNOWN[0], **options) -> TextTokenizer:
    stated = json.loads(train_tokenizer(list(SAMPLES.values()), 500).to_str())
    stated["model"]["ignore_merges"] = known.takes_words_whole
    made = Tokenizer.from_str(json.dumps(stated))
    made.pre_tokenizer = known.build()
    made.add_tokens([AddedToken("    ", normalized=False), AddedToken("<|im_end|>", special=True, normalized=False),
                     *(AddedToken(name, special=True) for name in FIM.values() if name.startswith("<"))])
    return TextTokenizer(made, SpecialTokens(499, (499, 501)), **options)


def read_back(keys: dict[str, object]):
    return gguf_tokens({**keys, f"{KEY}token_type": np.array(keys[f"{KEY}token_type"], np.int32)}, 512)


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.names[0])
def test_every_text_gives_the_same_tokens(known):
    first = tokenizer(known)
    back = read_back(gguf_keys(first, 512))
    second = TextTokenizer(back.tokenizer, SpecialTokens(back.begin, back.ends))
    for sample in [*SAMPLES.values(), "a    b<|im_end|>c"]:
        assert first.encode(sample) == second.encode(sample)
        assert first.encode(sample, plain=True) == second.encode(sample, plain=True)
    assert (second.begin_of_text, second.ends) == (499, (499, 501))
    known_here = len(first.ordinary_tokens())
    assert second.ordinary_tokens()[:known_here] == first.ordinary_tokens()
    assert not any(second.ordinary_tokens()[known_here:]) and second.token_bytes(511) == b""


def test_what_the_card_says_comes_back():
    back = read_back(gguf_keys(tokenizer(), 512, "<|endoftext|>", "{{ messages[0] }}", FIM))
    assert (back.prompt_prefix, back.chat_template, back.infill) == ("<|endoftext|>", "{{ messages[0] }}", FIM)
    plain = read_back(gguf_keys(tokenizer(), 512))
    assert (plain.prompt_prefix, plain.chat_template, plain.infill) == ("", "", {})


@pytest.mark.parametrize("template", ["{{ .Prompt }}", "{{if .System}}x{{end}}", "{{- range .Messages }}"])
def test_a_template_in_ollamas_language_is_nothing_for_others(template):
    assert "tokenizer.chat_template" not in gguf_keys(tokenizer(), 512, chat_template=template)


@pytest.mark.parametrize("words", [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=True)])
def test_what_gguf_can_t_say_is_refused(words):
    made = tokenizer()
    made.inner.pre_tokenizer = words
    with pytest.raises(ModelError, match="can't say how the model's tokenizer cuts texts"):
        gguf_keys(made, 512)


def test_a_vocabulary_of_another_kind_is_refused():
    with pytest.raises(ModelError, match="byte-level BPE"):
        TextTokenizer(Tokenizer(models.WordLevel({"a": 0})))
