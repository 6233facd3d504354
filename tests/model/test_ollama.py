"""Models of Ollama's own store, found by the names that Ollama gives them, and nothing outside of it."""
import hashlib
import json
from pathlib import Path

import gguf_models
import pytest

from gpt2_assist import config
from gpt2_assist.errors import DataError, ModelError, UsageError
from gpt2_assist.model.gguf_importing import import_from_ollama
from gpt2_assist.model.ollama import find_in_ollama

GO = "{{ if .System }}{{ .System }}{{ end }}{{ .Prompt }}"


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> bytes:
    own = gguf_models.decoder("llama", n_layer=1)
    return gguf_models.write(tmp_path_factory.mktemp("g") / "w.gguf", own, gguf_models.random_parts(own),
                             "Q8_0").read_bytes()


class Store:
    """What Ollama would have put on the disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs").mkdir(parents=True)

    def blob(self, data: bytes, separator: str = "-") -> str:
        digest = hashlib.sha256(data).hexdigest()
        (self.folder / "blobs" / f"sha256{separator}{digest}").write_bytes(data)
        return f"sha256:{digest}"

    def manifest(self, path: str, layers: list[tuple[str, str]]) -> Path:
        manifest = self.folder / "manifests" / path
        manifest.parent.mkdir(parents=True, exist_ok=True)
        manifest.write_text(json.dumps({"schemaVersion": 2, "layers": [
            {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": digest} for kind, digest in layers]}))
        return manifest

    def model(self, path: str, weights: bytes, separator: str = "-") -> None:
        self.manifest(path, [("model", self.blob(weights, separator)), ("template", self.blob(GO.encode())),
                             ("license", self.blob(b"\n  Apache License\nVersion 2.0\n")),
                             ("license", self.blob(b"And another\n")),
                             ("params", self.blob(json.dumps({"stop": ["<|im_end|>", "THE END"]}).encode()))])


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    monkeypatch.setenv("GPT2_ASSIST_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(config, "BUNDLED_MODELS", tmp_path / "none")
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "ollama"))
    return Store(tmp_path / "ollama")


def test_a_model_comes_with_its_licence_and_stop_strings(store, weights):
    store.model("registry.ollama.ai/library/tiny/latest", weights)
    model = import_from_ollama("tiny")
    assert model.name == "tiny" and model.card.origin == "ollama:tiny:latest"
    assert model.card.licence == "Apache License; And another"
    assert (model.path / "LICENSE").read_text() == "\n  Apache License\nVersion 2.0\n\n\nAnd another\n"
    assert model.card.stop_strings == ["THE END"]  # the other is a token that ends a text anyway
    assert model.card.chat_template == gguf_models.TEMPLATE
    digest = hashlib.sha256(weights).hexdigest()
    assert model.card.hashes[f"sha256-{digest}"] == digest


@pytest.mark.parametrize("path, name, called", [
    ("registry.ollama.ai/library/tiny/135m", "tiny:135m", "tiny-135m"),
    ("registry.ollama.ai/somebody/tiny/latest", "somebody/tiny", "tiny"),
    ("registry.ollama.ai/library/tiny/latest", "registry.ollama.ai/library/tiny:latest", "tiny"),
    ("hf.co/Owner/Tiny.GGUF/Q8_0", "hf.co/Owner/Tiny.GGUF:Q8_0", "Tiny.GGUF-Q8_0"),
    ("localhost:5000/me/_tiny/latest", "localhost:5000/me/_tiny", "tiny"),
])
def test_names_mean_what_they_mean_to_ollama(store, weights, path, name, called):
    store.model(path, weights, ":" if "135m" in path else "-")
    assert find_in_ollama(name).store_name == called


def test_the_home_folders_store_is_the_usual_one(store, weights, tmp_path, monkeypatch):
    monkeypatch.delenv("OLLAMA_MODELS")
    monkeypatch.setenv("HOME", str(tmp_path))
    Store(tmp_path / ".ollama/models").model("registry.ollama.ai/library/tiny/latest", weights)
    assert find_in_ollama("tiny").weights.is_relative_to(tmp_path / ".ollama/models/blobs")


def test_a_missing_one_is_told_with_what_there_is(store, weights):
    store.model("registry.ollama.ai/library/tiny/latest", weights)
    store.model("hf.co/a/b/q4", weights)
    with pytest.raises(ModelError, match="holds no other:latest; it holds: hf.co/a/b:q4, tiny:latest.$"):
        find_in_ollama("other")


def test_without_a_store_one_is_told_so(store, tmp_path, monkeypatch):
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "nothing"))
    with pytest.raises(ModelError, match="it holds: none"):
        find_in_ollama("tiny")


@pytest.mark.parametrize("name", [
    "", ":", "..", "../..", "../../../etc/passwd", "/etc/passwd", "a/../b", "a/b/c/d", "tiny:..", "tiny:", ".hidden",
    "tiny:a/b", "a//b", "host:port/a/b", "tiny\0", "tiny:x:y", "a\\..\\b", "~/x", "tiny:latest/..", "%2e%2e/x",
])
def test_no_name_leaves_the_store(store, weights, tmp_path, name):
    store.model("registry.ollama.ai/library/tiny/latest", weights)
    (tmp_path / "passwd").write_text("{}")
    if name == "tiny:":
        assert find_in_ollama(name).name == "tiny:latest"
        return
    with pytest.raises(UsageError, match="can't name a model of Ollama's"):
        find_in_ollama(name)


@pytest.mark.parametrize("manifest, words", [
    ("", "is empty"), ("[]", "no manifest"), ("{}", "no manifest"), ('{"layers": [1]}', "no manifest"),
    ('{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "../../x"}]}', "no manifest"),
    ('{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../x"}]}', "no manifest"),
    ('{"layers": [{"mediaType": 5, "digest": "sha256:%s"}]}' % ("0" * 64), "no manifest"),
    ('{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:%s"}]}' % ("0" * 64),
     "lacks the file"),
    ("[" * 100_000, "fetch the file again"), (" " * 1_000_001, "too long"),
])
def test_a_damaged_manifest_is_told_so(store, manifest, words):
    store.manifest("registry.ollama.ai/library/tiny/latest", []).write_text(manifest)
    with pytest.raises(DataError, match=words):
        find_in_ollama("tiny")


@pytest.mark.parametrize("layers, words", [([], "holds no weights"), (["model", "adapter"], "is an adapter"),
                                           (["model", "model"], "is an adapter")])
def test_what_is_no_whole_model_is_refused(store, layers, words):
    blob = store.blob(b"GGUF")
    store.manifest("registry.ollama.ai/library/tiny/latest", [(kind, blob) for kind in layers])
    with pytest.raises(ModelError, match=words):
        find_in_ollama("tiny")


def test_weights_that_changed_on_the_disk_are_refused(store, weights):
    store.model("registry.ollama.ai/library/tiny/latest", weights)
    path = find_in_ollama("tiny").weights
    path.write_bytes(weights[:-64] + bytes(64))
    with pytest.raises(DataError, match="not the file that it should be"):
        import_from_ollama("tiny")


def test_a_licence_of_gigabytes_is_refused(store, weights):
    blob = store.blob(b"licence")
    store.manifest("registry.ollama.ai/library/tiny/latest", [("model", store.blob(weights)), ("license", blob)])
    with open(store.folder / "blobs" / blob.replace(":", "-"), "r+b") as file:
        file.truncate(10 << 30)
    with pytest.raises(DataError, match="too long"):
        find_in_ollama("tiny")


def test_the_command_imports_it(store, weights):
    store.model("registry.ollama.ai/library/tiny/latest", weights)
    done = gguf_models.assist("models", "import", "ollama:tiny", "--name", "mine", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["origin"] == "ollama:tiny:latest", done.stderr
    done = gguf_models.assist("models", "import", "ollama:none")
    assert done.returncode == ModelError.exit_code and "it holds: tiny:latest" in done.stderr
