"""From runs to what other programs read: plain models, folders for transformers, GGUF files for llama.cpp."""
import os
import shutil
from dataclasses import replace
from pathlib import Path

import torch

from gpt2_assist.architectures.description import Decoder
from gpt2_assist.errors import StorageError
from gpt2_assist.files.modes import as_asked
from gpt2_assist.files.output_file import OutputFile
from gpt2_assist.model.adapter import read_adapter
from gpt2_assist.model.card import Card
from gpt2_assist.model.store import ModelFolder, find_model, new_model, writing
from gpt2_assist.model.weights import load_weights
from gpt2_assist.text.tokenizer import TextTokenizer
from gpt2_assist.training.adapted_weights import merged
from gpt2_assist.training.export.model_folder import export_model


def whole_weights(model: ModelFolder) -> tuple[Decoder, dict[str, torch.Tensor]]:
    """As load_weights, with the model's adapter in them, in the base's kind of numbers, if it has one.

    Raises ModelError where files are missing or damaged.
    """
    config, weights = load_weights(model.path)
    if model.adapter:
        weights = merged(weights, read_adapter(model.adapter, config), model.strength)
    return replace(config, vocab_size=len(weights["embedding.weight"])), weights


def merge_run(name: str, model: str, strength: float) -> ModelFolder:
    """Puts a run's best into the store as the model `model`; of an adapter so much as `strength` says.

    Raises UsageError where the name is taken or a run without an adapter should be weakened, ModelError where files are
    missing or damaged, StorageError where the disk refuses.
    """
    source = find_model(name if strength == 1.0 else f"{name}@{strength:g}")
    card = replace(source.card, origin=f"{source.card.origin}, merged at strength {source.strength:g}", hashes={})
    with new_model(model) as folder:
        with writing(model):
            _write(source, card, folder)
    return find_model(model)


def _write(source: ModelFolder, card: Card, folder: Path) -> None:
    config, weights = whole_weights(source)
    export_model(config, weights, TextTokenizer.from_folder(source.tokenizer), card, folder,
                 next(iter(weights.values())).dtype)


def export_folder(name: str, target: Path) -> None:
    """Writes a model as transformers reads it: config, weights, tokenizer.

    Raises StorageError where the disk refuses or something is there already.
    """
    source = find_model(name)
    if target.exists():
        raise StorageError(f"{target} is there already; give another folder.")
    target = Path(os.path.realpath(target))
    try:
        with as_asked():
            _write(source, source.card, target)
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise StorageError(f"{target} can't be written: {error.strerror or error}.") from None


def export_gguf(name: str, target: Path) -> None:
    """Writes a model as llama.cpp reads it, in fp32. Raises ModelError where GGUF can't say what it is, StorageError
    where the disk refuses or something is there already."""
    from gpt2_assist.model.gguf_file import write_gguf
    source = find_model(name)
    if target.exists():
        raise StorageError(f"{target} is there already; give another name.")
    place = OutputFile(target).path
    part = place.with_name(f".{place.name}.part")
    try:
        with as_asked():
            write_gguf(source, *whole_weights(source), part)
        part.replace(place)
    except OSError as error:
        raise StorageError(f"{target} can't be written: {error.strerror or error}.") from None
    finally:
        part.unlink(missing_ok=True)
