"""What we write is what other programs read, to the end of a text."""
import json

import pytest
import torch
from tokenizers import AddedToken, Tokenizer

from gpt2_assist.model.card import Card
from gpt2_assist.model.importing import import_model
from gpt2_assist.model.weights import load_weights
from gpt2_assist.text.special_tokens import SpecialTokens
from gpt2_assist.text.tokenizer import TextTokenizer
from gpt2_assist.training.export.model_folder import export_model


@pytest.mark.parametrize("end", ["<|endoftext|>", "</s>"])
def test_transformers_ends_where_the_text_ends(tiny_model, tmp_path, end):
    config, weights = load_weights(tiny_model)
    inner = Tokenizer.from_file(str(tiny_model / "tokenizer.json"))
    if end != "<|endoftext|>":
        as_text = json.loads(inner.to_str().replace("<|endoftext|>", end))
        inner = Tokenizer.from_str(json.dumps(as_text))
        inner.add_special_tokens([AddedToken(end, special=True)])
    id = inner.token_to_id(end)
    tokenizer = TextTokenizer(inner, SpecialTokens(id, (id,)))
    weights["embedding.weight"] = weights["embedding.weight"].clone()
    weights["embedding.weight"][id, 0] = 1000  # whatever the text, it ends here
    export_model(config, weights, tokenizer, Card(), tmp_path / "out", torch.float32)
    assert TextTokenizer.from_folder(tmp_path / "out").ends == (id,)
    from transformers import AutoModelForCausalLM, AutoTokenizer
    theirs, model = (kind.from_pretrained(tmp_path / "out") for kind in (AutoTokenizer, AutoModelForCausalLM))
    ids = theirs("def make", return_tensors="pt").input_ids
    assert ids[0].tolist() == tokenizer.encode("def make") and theirs.eos_token_id == id and len(theirs) <= 400
    assert model.generate(ids, max_new_tokens=20, do_sample=False)[0].tolist() == [*ids[0].tolist(), id]
    imported = import_model(tmp_path / "out", f"end{len(end)}")
    assert TextTokenizer.from_folder(imported.path).ends == (id,)
