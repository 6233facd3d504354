"""Models that users bring as files: what comes into the store is safetensors, and no code is ever run."""
import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from gpt2_assist import config
from gpt2_assist.errors import AssistError, DataError, ModelError, UsageError
from gpt2_assist.model.card import Card, write_card
from gpt2_assist.model.importing import import_model
from gpt2_assist.model.store import list_models
from gpt2_assist.model.weights import load_weights


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("GPT2_ASSIST_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(config, "BUNDLED_MODELS", tmp_path / "none")


@pytest.fixture
def folder(tiny_model, tmp_path) -> Path:
    shutil.copytree(tiny_model, tmp_path / "brought")
    return tmp_path / "brought"


def as_pickle(folder: Path, name: str = "pytorch_model.bin", change=lambda tensors: tensors) -> Path:
    tensors = {key: value.clone() for key, value in load_file(folder / "model.safetensors").items()}
    (folder / "model.safetensors").unlink()
    torch.save(change(tensors), folder / name)
    return folder / name


def equals(imported: Path, original: Path) -> bool:
    ours, theirs = load_weights(imported)[1], load_weights(original)[1]
    return all(torch.equal(ours[name], theirs[name]) for name in theirs)


def refused(kind: type[AssistError], words: str, *arguments) -> None:
    with pytest.raises(kind, match=words):
        import_model(*arguments)
    assert list_models() == []
    assert not config.models().exists() or list(config.models().iterdir()) == []


@pytest.mark.parametrize("name, change", [
    ("pytorch_model.bin", lambda tensors: {f"transformer.{key}": value for key, value in tensors.items()}),
    ("model.pt", lambda tensors: {"state_dict": tensors}),
], ids=["bin", "pt"])
def test_a_pickle_becomes_safetensors(folder, tiny_model, name, change):
    path = as_pickle(folder, name, change)
    model = import_model(path, "mine")
    assert equals(model.path, tiny_model)
    assert {entry.name for entry in model.path.iterdir()} == {"config.json", "model.safetensors", "tokenizer.json",
                                                              "card.json"}
    assert str(path) in model.card.origin and model.card.hashes.keys() == {"model.safetensors"}


def test_a_folder_is_imported_under_its_own_name(folder, tiny_model):
    as_pickle(folder)
    assert import_model(folder).name == "brought"
    assert equals(config.models() / "brought", tiny_model)
    with pytest.raises(UsageError, match="--name"):
        import_model(folder)


def test_a_folder_of_safetensors_and_a_file_of_it(folder, tiny_model):
    assert equals(import_model(folder, "a").path, tiny_model)
    assert equals(import_model(folder / "model.safetensors", "b").path, tiny_model)
    assert (folder / "model.safetensors").is_file(), "the source stays"


def test_sharded_pickles(folder, tiny_model):
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    for k in range(2):
        torch.save({name: tensors[name].clone() for name in names[k::2]}, folder / f"pytorch_model-{k}.bin")
    index = {"weight_map": {name: f"pytorch_model-{k}.bin" for k in range(2) for name in names[k::2]}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()
    assert equals(import_model(folder).path, tiny_model)
    shutil.rmtree(config.models() / "brought")
    (folder / "pytorch_model-1.bin").unlink()
    refused(DataError, "missing", folder)


def test_a_card_that_came_along_is_kept(folder):
    write_card(folder, Card(origin="a friend", licence="MIT", stop_strings=["<|endoftext|>"], prompt_prefix="<|s|>"))
    card = import_model(folder).card
    assert (card.origin, card.licence, card.stop_strings) == ("a friend", "MIT", ["<|endoftext|>"])
    assert card.prompt_prefix == "<|s|>" and card.hashes


def test_a_tokenizer_from_elsewhere(folder, tmp_path):
    (tmp_path / "tokens").mkdir()
    (folder / "tokenizer.json").rename(tmp_path / "tokens" / "tokenizer.json")
    refused(ModelError, "holds no tokenizer", folder)
    assert (import_model(folder, "mine", tmp_path / "tokens").path / "tokenizer.json").is_file()


class _Code:
    def __reduce__(self):
        return (Path.touch, (Path(_Code.target),))


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_refused_and_not_run(folder, tmp_path, zipped):
    _Code.target = str(tmp_path / "ran")
    path = folder / "pytorch_model.bin"
    (folder / "model.safetensors").unlink()
    if zipped:
        torch.save({"embedding.weight": torch.zeros(1), "more": _Code()}, path)
    else:
        path.write_bytes(pickle.dumps({"embedding.weight": _Code()}, protocol=2))
    refused(DataError, "carries code", folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"no pickle", b"PK\x03\x04 no zip either"])
def test_a_damaged_pickle(folder, content):
    as_pickle(folder).write_bytes(content)
    refused(DataError, "damaged", folder)


def test_something_else_in_a_pickle(folder):
    as_pickle(folder, change=lambda tensors: [1, 2, 3])
    refused(DataError, "something other than a model's weights", folder)


def test_weights_of_another_shape(folder):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "n_embd": 27}))
    refused(ModelError, "has the shape", folder)


def test_another_architecture(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "opt"}))
    refused(ModelError, "opt model", folder)


def test_a_tokenizer_too_large_for_the_model(folder):
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["added_tokens"] += [{**tokenizer["added_tokens"][0], "id": 400, "content": "<|more|>"}]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    refused(ModelError, "401 entries", folder)


def test_paths_that_are_nothing(folder, tmp_path):
    refused(DataError, "nothing at", tmp_path / "absent")
    refused(DataError, "no weights file", folder / "tokenizer.json")
    (folder / "model.safetensors").write_bytes(b"\xff")
    refused(DataError, "damaged", folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    refused(ModelError, "no weights", folder)
