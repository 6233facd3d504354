"""Fetches a model from the hub into the store: only what is needed of it, each file checked, all of it or nothing.

The hub's own library is asked for its address, its errors, its session and its statements about a repository; its
cache is not used, because a download has to go on in a later process. Nothing here runs unless the user says `pull`.
"""
import os
import re
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gpt2_assist import config
from gpt2_assist.errors import ModelError, NetworkError, StorageError, UsageError
from gpt2_assist.files.unreadable import SystemRefuses
from gpt2_assist.model.card import CARD_FILE, Card, write_card
from gpt2_assist.model.config_file import read_config
from gpt2_assist.model.download import TIMEOUT_S, RemoteFile, download, on_disk, sha256_of
from gpt2_assist.model.store import publish, writing
from gpt2_assist.text.special_tokens import SPECIAL_TOKEN_FILES

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

_WEIGHTS = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
_INDEX = "model.safetensors.index.json"
_TOKENIZERS = ({"tokenizer.json"}, {"vocab.json", "merges.txt"}, {"encoder.json", "vocab.bpe"})
_SMALL = {"config.json", "added_tokens.json", "chat_template.jinja", "README.md", *SPECIAL_TOKEN_FILES,
          *set().union(*_TOKENIZERS)}
_LICENCE = re.compile(r"licen[cs]e(\.(md|txt))?", re.IGNORECASE)
Progress = Callable[[int, int], None]
"""Called with (bytes there now, bytes in all)."""


@dataclass(frozen=True)
class _Repository:
    id: str
    revision: str
    licence: str
    data: str
    files: list[RemoteFile]


def pull(repository_id: str, revision: str, store_name: str, progress: Progress, prompt_prefix: str = "") -> None:
    """Fetches a repository of the hub, its newest revision where none is named, into the store as `store_name`, where
    it appears once every file is there, checked and loadable. `prompt_prefix` is for its card.

    Interrupted, it leaves what came, and the same call goes on from there. Raises UsageError on a bad name,
    NetworkError where the hub can't be reached, refuses or sends something else than it states, ModelError where the
    repository holds no model that is known here in safetensors, StorageError where the disk is full.
    """
    _keep_to_ourselves()
    with _hub_errors(repository_id):
        _fetch(_ask(repository_id, revision), store_name, progress, prompt_prefix)


def _keep_to_ourselves() -> None:
    """Before the hub's library is imported, which reads these once: no telemetry, and no folder outside our own."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HOME"] = str(config.home() / "hub")


def _headers() -> dict[str, str]:
    from huggingface_hub.utils import build_hf_headers
    return build_hf_headers(library_name="gpt2-assist")


def _ask(repository_id: str, revision: str) -> _Repository:
    from huggingface_hub import HfApi, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    api = HfApi(library_name="gpt2-assist")
    try:
        info = api.model_info(repository_id, revision=revision or None, files_metadata=True, timeout=TIMEOUT_S)
        revision, siblings = str(info.sha), {entry.rfilename: entry for entry in info.siblings or []}
        names = _wanted(repository_id, set(siblings))
        files = [_remote(siblings[name], hf_hub_url(repository_id, name, revision=revision)) for name in names]
    except (HfHubHTTPError, HFValidationError):  # some of them are ValueErrors too
        raise
    except (KeyError, TypeError, ValueError):
        raise NetworkError(f"What answered for {repository_id} is no hub that this program understands; "
                           "check HF_ENDPOINT and whether the network wants a login.") from None
    stated = info.card_data.to_dict() if info.card_data else {}
    return _Repository(repository_id, revision, _words(stated.get("license")), _words(stated.get("datasets")), files)


def _remote(file: "RepoSibling", url: str) -> RemoteFile:
    """Raises ValueError where the hub doesn't say how large the file is."""
    if file.size is None:
        raise ValueError("a file without a size")
    return RemoteFile(file.rfilename, url, int(file.size), file.lfs.sha256 if file.lfs else None,
                      None if file.lfs else file.blob_id)


def _words(stated: object) -> str:
    if isinstance(stated, list):
        stated = ", ".join(map(str, stated))
    return str(stated) if stated else "not stated; see README.md"


def _wanted(repository_id: str, there: set[str]) -> list[str]:
    """The names to fetch, config.json first, weights last."""
    if "config.json" not in there:
        raise ModelError(f"The repository {repository_id} holds no config.json, so it is no model that is known here.")
    shards = {name for name in there if _WEIGHTS.fullmatch(name)}
    if "model.safetensors" in there:
        weights = {"model.safetensors"}
    elif _INDEX in there and shards:
        weights = {_INDEX, *shards}
    elif others := sorted(name for name in there if name.endswith((".bin", ".pt"))):
        raise ModelError(f"The repository {repository_id} has its weights only as {others[0]}, which can carry code; "
                         "download it yourself and run `gpt2-assist models import FOLDER`.")
    else:
        raise ModelError(f"The repository {repository_id} holds no weights as safetensors.")
    if not any(files <= there for files in _TOKENIZERS):
        raise ModelError(f"The repository {repository_id} holds no tokenizer files that are known here.")
    small = {name for name in there if name in _SMALL or _LICENCE.fullmatch(name)}
    return sorted(small, key=lambda name: (name != "config.json", name)) + sorted(weights)


def _fetch(repository: _Repository, store_name: str, progress: Progress, prompt_prefix: str) -> None:
    whose = f".pull-{store_name}-{repository.id.replace('/', '--')}-{repository.revision[:12]}"
    folder = config.models() / whose
    total = sum(file.size for file in repository.files)
    with writing(store_name):
        for older in config.models().glob(f".pull-{store_name}-{repository.id.replace('/', '--')}-*"):
            if older != folder:
                shutil.rmtree(older)
        folder.mkdir(exist_ok=True)
        there = sum(on_disk(file, folder) for file in repository.files)
        free = shutil.disk_usage(folder).free
    if free < total - there:
        raise StorageError(f"The model {store_name} needs {(total - there) / 1e6:.0f} MB more in {config.models()}, "
                           f"but only {free / 1e6:.0f} MB are free there.")

    def advance(step: int) -> None:
        nonlocal there
        there += step
        progress(there, total)

    progress(there, total)
    headers = _headers()
    try:
        for file in repository.files:
            with _disk_errors(store_name):
                download(file, folder, headers, advance)
            if file.name == "config.json":
                read_config(folder)  # refuses other models
        _finish(repository, folder, prompt_prefix)
    except SystemRefuses:
        raise
    except ModelError:
        shutil.rmtree(folder, ignore_errors=True)  # fetching the rest would not make it another model
        raise
    publish(folder, store_name)


def _finish(repository: _Repository, folder: Path, prompt_prefix: str) -> None:
    from gpt2_assist.model.tensors import ModelTensors
    from gpt2_assist.text.tokenizer import TextTokenizer
    sizes = ModelTensors(folder).config
    tokenizer = TextTokenizer.from_folder(folder)
    hashes = {file.name: file.sha256 or sha256_of(folder / file.name) for file in repository.files
              if file.name.endswith(".safetensors")}
    (folder / CARD_FILE).unlink(missing_ok=True)
    write_card(folder, Card(origin=f"{repository.id}@{repository.revision}", licence=repository.licence,
                            data=repository.data, hashes=hashes, prompt_prefix=prompt_prefix or tokenizer.prompt_prefix,
                            figures={"parameters": sizes.parameters()}))


@contextmanager
def _disk_errors(store_name: str) -> Generator[None]:
    """As store.writing, but lets pass the hub library's errors, which are OSErrors too."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
    try:
        yield
    except (HfHubHTTPError, OfflineModeIsEnabled):
        raise
    except OSError as error:
        raise StorageError(f"The model {store_name} can't be written to {config.models()}: {error.strerror or error}. "
                           "What came so far is kept; run the command again to go on.") from None


@contextmanager
def _hub_errors(repository_id: str) -> Generator[None]:
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )
    from huggingface_hub.utils import httpx
    try:
        yield
    except HFValidationError:
        raise UsageError(f"{repository_id!r} can't be a repository of the hub; check the spelling.") from None
    except OfflineModeIsEnabled:
        raise NetworkError("HF_HUB_OFFLINE forbids the network; unset it to fetch a model.") from None
    except GatedRepoError:
        raise NetworkError(f"The repository {repository_id} is gated: ask its owner for access on the hub, "
                           "then set HF_TOKEN to a token of your account.") from None
    except RepositoryNotFoundError:
        raise NetworkError(f"The hub has no repository {repository_id}, or it is private; check the spelling, "
                           "or set HF_TOKEN to a token that may read it.") from None
    except HfHubHTTPError as error:
        raise NetworkError(f"The hub refused {repository_id} with status {error.response.status_code}; "
                           "try again later.") from None
    except httpx.TransportError:
        raise NetworkError(f"The hub at {constants.ENDPOINT} can't be reached; "
                           "check the connection and run the command again.") from None
