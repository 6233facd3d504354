"""From runs to what other programs read: plain models, folders for transformers, GGUF files for llama.cpp."""
import shutil
from dataclasses import replace
from pathlib import Path

from gpt2_assist.errors import StorageError, UsageError
from gpt2_assist.model.card import read_card
from gpt2_assist.model.store import ModelFolder, find_model, new_model, writing
from gpt2_assist.model.weights import load_weights
from gpt2_assist.runs import find_run
from gpt2_assist.training.export import export_model
from gpt2_assist.training.lora import WEIGHTS, merged, read_adapter


def merge_run(name: str, model: str, strength: float) -> ModelFolder:
    """Puts a run's best into the store as the model `model`; of an adapter so much as `strength` says.

    Raises UsageError where the name is taken or a run without an adapter should be weakened, ModelError where files are
    missing or damaged, StorageError where the disk refuses.
    """
    run = find_run(name)
    source = find_model(name)
    if (run.folder / "adapter" / WEIGHTS).is_file():
        base = find_model(run.state()["base_path"])
        config, weights = load_weights(base.path)
        weights = merged(weights, *read_adapter(run.folder / "adapter"), strength)
    elif strength != 1.0:
        raise UsageError(f"The run {name} changed the whole model and has no adapter whose strength could be set.")
    else:
        config, weights = load_weights(source.path)
    card = replace(source.card, origin=f"{source.card.origin}, merged at strength {strength:g}", hashes={})
    with new_model(model) as folder:
        with writing(model):
            export_model(config, weights, run.tokenizer, card, folder, next(iter(weights.values())).dtype)
    return find_model(model)


def export_folder(name: str, target: Path) -> None:
    """Writes a model as transformers reads it: config, weights, tokenizer.

    Raises StorageError where the disk refuses or something is there already.
    """
    source = find_model(name)
    config, weights = load_weights(source.path)
    if target.exists():
        raise StorageError(f"{target} is there already; give another folder.")
    try:
        export_model(config, {f"transformer.{key}": value for key, value in weights.items()},
                     source.path / "tokenizer.json", read_card(source.path), target,
                     next(iter(weights.values())).dtype)
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise StorageError(f"{target} can't be written: {error.strerror or error}.") from None


def export_gguf(name: str, target: Path) -> None:
    """Writes a model as llama.cpp reads it, in fp32. Raises UsageError where the package gguf is missing, StorageError
    where the disk refuses or something is there already."""
    from gpt2_assist.model.gguf_file import write_gguf
    source = find_model(name)
    if target.exists():
        raise StorageError(f"{target} is there already; give another name.")
    part = target.with_name(f".{target.name}.part")
    try:
        write_gguf(source.path, part)
        part.replace(target)
    except OSError as error:
        raise StorageError(f"{target} can't be written: {error.strerror or error}.") from None
    finally:
        part.unlink(missing_ok=True)
