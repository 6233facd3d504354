"""Weights from every layout that folders have, and what is said about damaged ones."""
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gpt2_assist.errors import ModelError
from gpt2_assist.model.tensors import ModelTensors
from gpt2_assist.model.weights import load_model, load_weights


@pytest.fixture
def folder(tiny_model, tmp_path) -> Path:
    shutil.copytree(tiny_model, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture(params=[load_weights, ModelTensors], ids=["torch", "numpy"])
def reader(request):
    """Both readers say the same of what is wrong."""
    return request.param


def rewrite(folder: Path, change) -> None:
    path = folder / "model.safetensors"
    tensors = {name: value.clone() for name, value in load_file(path).items()}
    path.unlink()
    save_file(change(tensors), path)


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_save_pretrained_and_hub_style_give_the_same_weights(folder, tmp_path):
    from transformers import GPT2LMHeadModel
    config, expected = load_weights(folder)
    theirs = GPT2LMHeadModel.from_pretrained(folder)
    theirs.save_pretrained(tmp_path / "saved")
    with open(tmp_path / "saved" / "model.safetensors", "rb") as file:
        assert b"transformer.h.0." in file.read(100_000)
    assert b"transformer.h.0." not in (folder / "model.safetensors").read_bytes()[:100_000]
    again_config, again = load_weights(tmp_path / "saved")
    assert again_config == config and same(again, expected)
    ids = torch.tensor([[1, 5, 9, 2]])
    with torch.no_grad():
        assert torch.allclose(load_model(tmp_path / "saved")(ids), theirs.eval()(ids).logits, atol=1e-4)


def test_shards_give_the_same_weights(folder, tmp_path):
    from transformers import GPT2LMHeadModel
    GPT2LMHeadModel.from_pretrained(folder).save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert len(list((tmp_path / "shards").glob("model-*.safetensors"))) > 2
    ours = ModelTensors(tmp_path / "shards")
    assert all((ours.read_matrix(name) == value.numpy()).all() for name, value in load_weights(folder)[1].items())
    assert same(load_weights(tmp_path / "shards")[1], load_weights(folder)[1])
    next((tmp_path / "shards").glob("model-00002*")).unlink()
    for reader in (load_weights, ModelTensors):
        with pytest.raises(ModelError, match="model-00002.* is missing"):
            reader(tmp_path / "shards")


def test_masks_and_a_tied_head_are_dropped(folder):
    expected = load_weights(folder)[1]
    expected = {name: value.clone() for name, value in expected.items()}
    rewrite(folder, lambda tensors: {
        **{f"transformer.{name}": value for name, value in tensors.items()},
        "transformer.h.0.attn.bias": torch.ones(1, 1, 64, 64), "transformer.h.1.attn.masked_bias": torch.tensor(-1e4),
        "lm_head.weight": tensors["wte.weight"].clone()})
    assert same(load_weights(folder)[1], expected)
    assert all((ModelTensors(folder).read_matrix(name) == value.numpy()).all() for name, value in expected.items())


def test_the_files_own_precision_is_kept_and_the_model_gets_the_asked_one(folder):
    rewrite(folder, lambda tensors: {name: value.half() for name, value in tensors.items()})
    assert load_weights(folder)[1]["embedding.weight"].dtype == torch.float16
    assert load_model(folder).embedding.weight.dtype == torch.float32
    assert load_model(folder, torch.bfloat16).layers[0].up.weight.dtype == torch.bfloat16


def test_every_parameter_of_a_loaded_model_is_real(folder):
    model = load_model(folder)
    assert all(not value.is_meta for value in [*model.parameters(), *model.buffers()])


@pytest.mark.slow
def test_loading_does_not_pull_in_torchs_symbolic_half(tiny_model):
    program = ("import sys, pathlib; from gpt2_assist.model.weights import load_model; "
               "load_model(pathlib.Path(sys.argv[1])); print('sympy' in sys.modules)")
    said = subprocess.run([sys.executable, "-c", program, str(tiny_model)], cwd=Path(__file__).resolve().parents[2],
                          capture_output=True, text=True, check=True).stdout
    assert said == "False\n", "it costs a second at every start"


def without(name):
    return lambda tensors: {key: value for key, value in tensors.items() if key != name}


@pytest.mark.parametrize("change, words", [
    (without("h.1.mlp.c_fc.bias"), "lack h.1.mlp.c_fc.bias"),
    (lambda tensors: {**tensors, "h.2.ln_1.weight": torch.ones(24)}, "hold h.2.ln_1.weight"),
    (lambda tensors: {**tensors, "h.0.attn.c_attn.weight": torch.ones(72, 24)}, r"shape \[72, 24\]"),
    (lambda tensors: {**tensors, "wte.weight": torch.ones(400, 24, dtype=torch.int8)}, "floating-point"),
    (lambda tensors: {**tensors, "lm_head.weight": torch.ones(400, 24)}, "head differs"),
    (lambda tensors: {**tensors, "lm_head.weight": torch.ones(5, 24)}, "head differs"),
    (lambda tensors: {**tensors, "transformer.ln_f.bias": torch.ones(24)}, "ln_f.bias twice"),
], ids=["missing", "unknown", "shape", "integers", "untied head", "head of another shape", "twice"])
def test_weights_that_do_not_fit_are_refused(folder, reader, change, words):
    rewrite(folder, change)
    with pytest.raises(ModelError, match=words):
        reader(folder)


@pytest.mark.parametrize(("content", "words"), [
    (b"", "is empty"), (b"not safetensors at all", "begins with 'not safetensors at all'"),
    (b"\xff" * 100, "damaged or cut short")])
def test_a_damaged_file_is_said_to_be_damaged(folder, reader, content, words):
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=words):
        reader(folder)


def test_a_cut_file_is_said_to_be_cut(folder, reader):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cut short"):
        reader(folder)


@pytest.mark.parametrize("content, words", [(None, "no config.json"), ("{", "JSON"), ("[]", "JSON object"),
                                            ('{"model_type": "bert"}', "bert"), ('{"n_layer": 2}', "lacks")])
def test_a_config_that_is_none(folder, reader, content, words):
    if content is None:
        (folder / "config.json").unlink()
    else:
        (folder / "config.json").write_text(content)
    with pytest.raises(ModelError, match=words):
        reader(folder)


@pytest.mark.parametrize("index, words", [("{", "is no JSON"), ('{"weight_map": 5}', "damaged"),
                                          (json.dumps({"weight_map": {"a": "../x.safetensors"}}), "outside")])
def test_an_index_that_is_none(folder, reader, index, words):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ModelError, match=words):
        reader(folder)


def test_a_folder_with_only_a_pickle_names_the_import(folder, reader):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="gpt2-assist models import"):
        reader(folder)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(ModelError, match="no weights"):
        reader(folder)
