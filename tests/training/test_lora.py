"""Adapters beside plain torch, and read by peft."""
import re
from dataclasses import replace

import pytest
import torch

from gpt2_assist.architectures.description import MATRICES
from gpt2_assist.errors import ModelError, UsageError
from gpt2_assist.model.adapter import LoraShape, read_adapter
from gpt2_assist.model.config_file import read_config
from gpt2_assist.model.transformer import Transformer
from gpt2_assist.model.weights import load_model, model_of
from gpt2_assist.training.adapted_weights import merged
from gpt2_assist.training.finetuning.lora import LoraMatrix, add_adapter, write_adapter

SHAPE = LoraShape(rank=4, alpha=6.0, targets=MATRICES)
IDS = torch.tensor([[5, 9, 200, 31, 7, 7, 90]])


def adapted(folder, shape: LoraShape = SHAPE) -> Transformer:
    """With an adapter that does something."""
    model = load_model(folder)
    add_adapter(model, shape, seed=3)
    dice = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, LoraMatrix):
                module.up.normal_(0, 0.05, generator=dice)
    return model


def test_a_new_adapter_changes_nothing_and_is_all_that_is_trained(tiny_model):
    plain, model = load_model(tiny_model), load_model(tiny_model)
    add_adapter(model, SHAPE, seed=3)
    assert torch.equal(plain(IDS), model(IDS))
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {f"layers.{layer}.{target}.{part}" for layer in range(2) for target in MATRICES
                       for part in ("down", "up")}


def test_gradients_are_those_of_the_product_added_to_the_weight(tiny_model):
    model, plain = adapted(tiny_model), load_model(tiny_model)
    model(IDS).square().mean().backward()
    for name, module in model.named_modules():
        if isinstance(module, LoraMatrix):
            own = plain.get_submodule(name)
            own.weight.data += SHAPE.scale * module.down.data @ module.up.data
    plain.zero_grad()
    plain(IDS).square().mean().backward()
    for name, module in model.named_modules():
        if isinstance(module, LoraMatrix):
            whole = SHAPE.scale * plain.get_submodule(name).weight.grad
            for mine, other in ((module.down.grad, whole @ module.up.data.t()),
                                (module.up.grad, module.down.data.t() @ whole)):
                torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-4 * other.abs().max().item())


def test_merging_gives_the_same_model_and_half_the_strength_half_the_change(tiny_model, tmp_path):
    model = adapted(tiny_model)
    write_adapter(tmp_path, model, SHAPE, str(tiny_model))
    adapter = read_adapter(tmp_path, read_config(tiny_model))
    assert adapter.shape == SHAPE
    base = load_model(tiny_model).state_dict()
    plain = load_model(tiny_model)
    plain.load_state_dict(merged(base, adapter))
    torch.testing.assert_close(plain(IDS), model(IDS), rtol=1e-4, atol=1e-4)
    name = "layers.1.up.weight"
    whole, half = merged(base, adapter), merged(base, adapter, 0.5)
    torch.testing.assert_close(2 * (half[name] - base[name]), whole[name] - base[name])
    assert all(torch.equal(base[key], value) for key, value in merged(base, adapter, 0.0).items())


def test_peft_reads_what_we_write_and_we_read_what_it_writes(tiny_model, tmp_path):
    peft = pytest.importorskip("peft", reason="needs peft: pip install peft")
    from transformers import GPT2LMHeadModel
    model = adapted(tiny_model)
    write_adapter(tmp_path / "ours", model, SHAPE, str(tiny_model))
    theirs = peft.PeftModel.from_pretrained(GPT2LMHeadModel.from_pretrained(tiny_model, dtype=torch.float32),
                                            tmp_path / "ours").eval()
    with torch.no_grad():
        torch.testing.assert_close(theirs(IDS).logits, model(IDS), rtol=1e-4, atol=1e-4)
    theirs.save_pretrained(tmp_path / "theirs")
    ours, again = (read_adapter(tmp_path / name, model.config) for name in ("ours", "theirs"))
    assert again.shape == SHAPE and again.pairs.keys() == ours.pairs.keys()
    assert all((mine == other).all() for name in ours.pairs for mine, other in zip(ours.pairs[name], again.pairs[name]))


def test_rows_of_tokens_go_with_an_adapter_as_peft_has_them(tiny_model, tmp_path):
    """New ones among them, for which the base has to grow there."""
    base, dice = load_model(tiny_model), torch.Generator().manual_seed(1)
    size = base.config.vocab_size
    rows = {id: torch.randn(base.config.n_embd, generator=dice) / 8 for id in (9, size, size + 1)}
    others = [id for id in range(size) if id not in rows]  # whose scores don't come from the rows
    ids = torch.tensor([[5, 9, size, 31, 7, size + 1, 90]])
    model = load_model(tiny_model)
    add_adapter(model, SHAPE, seed=3, rows=rows)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert "embedding.rows" in trained and "embedding.weight" not in trained
    model(IDS[:, 3:]).square().mean().backward()
    assert (model.embedding.rows.grad == 0).all()
    model(ids).square().mean().backward()
    assert (model.embedding.rows.grad != 0).all(1).all()
    write_adapter(tmp_path / "ours", model, SHAPE, str(tiny_model))
    adapter = read_adapter(tmp_path / "ours", base.config)
    assert all((adapter.rows[id] == row.numpy()).all() for id, row in rows.items()) and len(adapter.rows) == 3
    whole = model_of(replace(base.config, vocab_size=size + 2), merged(base.state_dict(), adapter))
    with torch.no_grad():
        torch.testing.assert_close(whole(ids)[..., others], model(ids)[..., others], rtol=1e-4, atol=1e-4)
    peft = pytest.importorskip("peft", reason="needs peft: pip install peft")
    from transformers import GPT2LMHeadModel
    theirs = GPT2LMHeadModel.from_pretrained(tiny_model, dtype=torch.float32)
    theirs.resize_token_embeddings(size + 2, mean_resizing=False)
    theirs = peft.PeftModel.from_pretrained(theirs, tmp_path / "ours").eval()
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits[..., others], model(ids)[..., others], rtol=1e-4, atol=1e-4)
    theirs.save_pretrained(tmp_path / "theirs", save_embedding_layers=False)
    again = read_adapter(tmp_path / "theirs", base.config)
    assert again.rows.keys() == adapter.rows.keys()
    assert all((again.rows[id] == row).all() for id, row in adapter.rows.items())
    entries = (tmp_path / "ours/adapter_config.json").read_text()
    for wrong in (f"[9, {size}]", f"[9, 9, {size}]", f"[-9, {size}, {size + 1}]", '"9"', "5"):
        said = re.sub(r'"wte": \[[^]]*\]', f'"wte": {wrong}', entries)
        (tmp_path / "ours/adapter_config.json").write_text(said)
        with pytest.raises(ModelError, match="damaged"):
            read_adapter(tmp_path / "ours", base.config)


def test_what_makes_no_sense_is_said_in_a_sentence(tiny_model, tmp_path):
    with pytest.raises(UsageError, match="can't be put at attn.c_nothing"):
        LoraShape(targets=("attn.c_nothing",))
    with pytest.raises(UsageError, match="rank"):
        LoraShape(rank=0)
    with pytest.raises(ModelError, match="is missing"):
        read_adapter(tmp_path, read_config(tiny_model))
    write_adapter(tmp_path, adapted(tiny_model), SHAPE, str(tiny_model))
    sizes = read_config(tiny_model)
    adapter = read_adapter(tmp_path, sizes)
    adapter.check(sizes)
    with pytest.raises(ModelError, match="doesn't fit"):
        adapter.check(replace(sizes, n_embd=12))
    whole = (tmp_path / "adapter_model.safetensors").read_bytes()
    for damaged in (b"", whole[:-1], whole[:100], whole.replace(b"lora_A", b"lora_C", 1)):
        (tmp_path / "adapter_model.safetensors").write_bytes(damaged)
        with pytest.raises(ModelError, match="damaged|is empty"):
            read_adapter(tmp_path, read_config(tiny_model))
