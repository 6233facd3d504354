"""Models in Ollama's own store on the disk, by the names that Ollama gives them."""
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from gpt2_assist.errors import DataError, ModelError, UsageError
from gpt2_assist.files.text_file import read_json, read_text
from gpt2_assist.files.unreadable import not_json, unreadable

PREFIX = "ollama:"
_HOST, _NAMESPACE, _TAG = "registry.ollama.ai", "library", "latest"
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_HOST_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,252}(:\d{1,5})?")
_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
_LAYER = "application/vnd.ollama.image."
_SERVICE = Path("/usr/share/ollama/.ollama/models")
_LONGEST_TEXT = 1_000_000
"""Bytes of a manifest, a licence, a template or parameters."""
_SHOWN = 40
"""Names that a sentence lists at most."""


@dataclass(frozen=True)
class OllamaModel:
    """A model of the store: where its parts lie."""

    name: str
    """As short as Ollama would say it, with its tag."""
    store_name: str
    """What it may be called here."""
    weights: Path
    """A GGUF file."""
    sha256: str
    """Of that file, as its name states it."""
    licences: list[str]
    """Whole texts."""
    template: str
    """Of a chat, in Go's language."""
    stop_strings: list[str]


def find_in_ollama(name: str) -> OllamaModel:
    """The model that `name` ([HOST/][NAMESPACE/]MODEL[:TAG]) means. Raises UsageError where it can't name one,
    ModelError where there is none of that name or it is of a kind that can't be imported, DataError where the store is
    damaged or can't be read."""
    host, namespace, model, tag = _parsed(name)
    shown = _shown(host, namespace, model, tag)
    path = _store() / "manifests" / host / namespace / model / tag
    if not _is_file(path):
        there = _names()
        more = f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
        raise ModelError(f"Ollama's store {_store()} holds no {shown}; it holds: "
                         f"{', '.join(there[:_SHOWN]) or 'none'}{more}.")
    layers = _layers(path)
    if "model" not in layers:
        raise ModelError(f"Ollama's {shown} holds no weights.")
    if "adapter" in layers or len(layers["model"]) > 1:
        raise ModelError(f"Ollama's {shown} is an adapter over other weights; only whole models can be imported.")
    digest = layers["model"][0]
    store_name = re.sub(r"[^A-Za-z0-9._-]+", "-", model if tag == _TAG else f"{model}-{tag}").lstrip("._-")
    return OllamaModel(shown, store_name, _blob(digest), digest, [_text(one) for one in layers.get("license", [])],
                       "".join(map(_text, layers.get("template", []))), _stops(layers.get("params", [])))


def _parsed(name: str) -> tuple[str, str, str, str]:
    """(host, namespace, model, tag), none of which can leave the store."""
    *outer, last = name.split("/")
    model, _, tag = last.partition(":")
    host, namespace = [_HOST, _NAMESPACE, *outer][-2:] if len(outer) != 1 else (_HOST, outer[0])
    parts = (namespace, model, tag or _TAG)
    if len(outer) > 2 or not all(map(_PART.fullmatch, parts)) or not _HOST_PART.fullmatch(host):
        raise UsageError(f"{PREFIX}{name[:100]} can't name a model of Ollama's: write {PREFIX}NAME, {PREFIX}NAME:TAG "
                         f"or {PREFIX}HOST/NAMESPACE/NAME:TAG.")
    return host, *parts


def _shown(host: str, namespace: str, model: str, tag: str) -> str:
    if host != _HOST:
        return f"{host}/{namespace}/{model}:{tag}"
    return f"{model}:{tag}" if namespace == _NAMESPACE else f"{namespace}/{model}:{tag}"


def _store() -> Path:
    """The one that the user set, the user's own, or that of a service of the system."""
    if set_here := os.environ.get("OLLAMA_MODELS"):
        return Path(set_here)
    own = Path.home() / ".ollama" / "models"
    return _SERVICE if not own.is_dir() and _SERVICE.is_dir() else own


def _is_file(path: Path) -> bool:
    """Raises DataError where the system refuses to say so."""
    try:
        return path.is_file()
    except OSError as error:
        raise DataError(str(unreadable(path, error))) from None


def _names() -> list[str]:
    """All that the store holds, as Ollama would say them. Raises DataError where it can't be read."""
    manifests = _store() / "manifests"
    try:
        found = [path for path in manifests.glob("*/*/*/*") if path.is_file()]
        return sorted(_shown(*path.relative_to(manifests).parts) for path in found)
    except OSError as error:
        raise DataError(str(unreadable(manifests, error))) from None


def _layers(path: Path) -> dict[str, list[str]]:
    """The hashes of a manifest's layers, by kind."""
    try:
        if path.stat().st_size > _LONGEST_TEXT:
            raise DataError(f"{path} is too long for a manifest of a model.")
        manifest = read_json(path)
        layers: dict[str, list[str]] = {}
        for layer in manifest["layers"]:
            kind, digest = layer["mediaType"], _DIGEST.fullmatch(layer["digest"])
            if digest is None:
                raise TypeError("no hash")
            layers.setdefault(kind.removeprefix(_LAYER), []).append(digest[1])
        return layers
    except (KeyError, TypeError, AttributeError):
        raise DataError(f"{path} is no manifest of a model.") from None
    except (OSError, ValueError) as error:
        raise DataError(str(not_json(path, error))) from None


def _blob(digest: str) -> Path:
    blobs = _store() / "blobs"
    for name in (f"sha256-{digest}", f"sha256:{digest}"):  # the second is older
        if _is_file(blobs / name):
            return blobs / name
    raise DataError(f"Ollama's store lacks the file {blobs / f'sha256-{digest}'}: fetch the model there again.")


def _text(digest: str) -> str:
    path = _blob(digest)
    try:
        if path.stat().st_size > _LONGEST_TEXT:
            raise DataError(f"{path} is too long for what Ollama's manifest says it to be.")
        return read_text(path)
    except (OSError, ValueError) as error:
        raise DataError(str(unreadable(path, error))) from None


def _stops(digests: list[str]) -> list[str]:
    """The strings at which the model's maker wants it to stop."""
    stops: list[str] = []
    for digest in digests:
        try:
            stated = json.loads(_text(digest)).get("stop", [])
        except (ValueError, AttributeError, RecursionError):
            raise DataError(f"{_blob(digest)} holds no parameters.") from None
        stops += [stop for stop in (stated if isinstance(stated, list) else [stated]) if isinstance(stop, str) and stop]
    return stops
