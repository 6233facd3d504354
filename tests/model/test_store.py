"""Names, cards and removal: what the store promises without looking at weights."""
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gpt2_assist import config
from gpt2_assist.errors import ModelError, StorageError, UsageError
from gpt2_assist.model import store
from gpt2_assist.model.card import Card, read_card, write_card


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("GPT2_ASSIST_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(config, "BUNDLED_MODELS", tmp_path / "bundled")
    folder = tmp_path / "bundled" / "mini"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")


def fill(name: str, card: Card | None = None) -> Path:
    with store.new_model(name) as folder:
        (folder / "config.json").write_text("{}")
        if card:
            write_card(folder, card)
    return config.models() / name


def test_models_are_found_by_name_and_by_folder(tmp_path):
    fill("mine", Card(origin="here", stop_strings=["\n\n"], prompt_prefix="> "))
    assert store.find_model("mine").card.stop_strings == ["\n\n"]
    assert store.find_model("mini").bundled
    outside = tmp_path / "outside"
    shutil.copytree(config.models() / "mine", outside)
    found = store.find_model(str(outside))
    assert found.name == str(outside.resolve()) and found.path == outside.resolve()
    assert [model.name for model in store.list_models()] == ["mini", "mine"]


def test_a_name_means_the_same_to_a_process_that_works_elsewhere(tmp_path, monkeypatch):
    """A store's name before a folder's, a folder of the present one by its bare name too."""
    fill("mine")
    work = tmp_path / "work"
    for name in ("mini", "mine", "bare", "deep/er", "späte Dörfer"):
        shutil.copytree(config.models() / "mine", work / name)
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(tmp_path))
    names = ["mini", "mine", "bare", "./mini", "deep/er", "../work/bare", "~/work/bare", "bare/", "späte Dörfer",
             str(work / "bare")]
    here = {name: store.find_model(name).path for name in names}
    anywhere = {name: store.named_anywhere(name) for name in names}
    unknown = {name: store.named_anywhere(name) for name in ("absent", "./absent", "~/absent", "absent@0.5", "")}
    monkeypatch.chdir(tmp_path / "home")
    assert {name: store.find_model(name).path for name in anywhere.values()} == {
        anywhere[name]: path for name, path in here.items()}
    assert anywhere["mini"] == "mini" and anywhere["bare"] == str(work / "bare")
    assert unknown == {"absent": "absent", "./absent": str(work / "absent"), "~/absent": str(tmp_path / "absent"),
                       "absent@0.5": "absent@0.5", "": ""}


def test_a_relative_folder_becomes_absolute_because_the_daemon_lives_elsewhere(tmp_path, monkeypatch):
    fill("mine")
    shutil.copytree(config.models() / "mine", tmp_path / "work" / "local")
    monkeypatch.chdir(tmp_path / "work")
    for name in ("./local", "local"):
        assert store.find_model(name).name == str((tmp_path / "work" / "local").resolve())


@pytest.mark.parametrize("name", ["nothing", "", "../mini", "a/b", "x" * 5000, "new\nline", "nul\0", "~no-such-user/x"])
def test_an_unknown_model_names_those_that_there_are(name):
    fill("mine")
    with pytest.raises(ModelError, match="mine, mini") as caught:
        store.find_model(name)
    assert "`gpt2-assist pull` lists" in str(caught.value)


def test_a_folder_that_is_no_model_is_said_to_be_one(tmp_path):
    with pytest.raises(ModelError, match="no config.json"):
        store.find_model(str(tmp_path))


def test_removal(tmp_path):
    fill("mine")
    store.remove_model("mine")
    assert [model.name for model in store.list_models()] == ["mini"]
    assert list(config.models().iterdir()) == []
    for name in ("mine", "..", "", ".", "../bundled/mini"):
        with pytest.raises(ModelError, match="no model"):
            store.remove_model(name)
    with pytest.raises(ModelError, match="came with the program"):
        store.remove_model("mini")
    assert store.find_model("mini").bundled


def test_what_fails_on_the_way_leaves_nothing():
    with pytest.raises(RuntimeError):
        with store.new_model("half") as folder:
            (folder / "config.json").write_text("{}")
            assert [model.name for model in store.list_models()] == ["mini"], "not before it is whole"
            raise RuntimeError
    assert list(config.models().iterdir()) == []


@pytest.mark.parametrize("name", ["mine", "mini", "a/b", "..", ".hidden", "", "-x", "run@5"])
def test_a_taken_or_impossible_name_is_refused(name):
    fill("mine")
    with pytest.raises(UsageError):
        with store.new_model(name):
            raise AssertionError("must not come so far")


def test_a_store_that_can_not_be_written(tmp_path):
    (tmp_path / "home").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="can't be written"):
        fill("mine")


def test_a_card_is_kept_as_it_was(tmp_path):
    card = Card("a", "b", "c", "d", ["<|end|>"], "<|start|>", {"f": "0"}, {"tokens": 5, "bits_per_byte": {"x": 1.5}})
    write_card(tmp_path, card)
    assert read_card(tmp_path) == card
    assert read_card(tmp_path / "none") == Card()


@pytest.mark.parametrize("content", ["{", "[]", '{"unknown": 1}', '{"stop_strings": "x"}', '{"stop_strings": [""]}',
                                     '{"stop_strings": [1]}', '{"prompt_prefix": null}'])
def test_a_damaged_card_is_said_to_be_damaged(tmp_path, content):
    (tmp_path / "card.json").write_text(content)
    with pytest.raises(ModelError, match="card.json"):
        read_card(tmp_path)


def test_clients_import_neither_torch_nor_numpy_nor_the_hubs_library():
    heavy = "{'torch', 'numpy', 'huggingface_hub', 'tokenizers', 'tqdm', 'asyncio'}"
    program = ("import sys, gpt2_assist.commands.models, gpt2_assist.model.hub, gpt2_assist.model.store, "
               "gpt2_assist.text.stream, json; "
               f"print(json.dumps(sorted({heavy} & set(sys.modules))))")
    root = Path(__file__).resolve().parents[2]
    said = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True).stdout
    assert json.loads(said) == []
