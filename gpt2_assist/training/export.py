"""From a trained model to a model folder that every front end can load."""
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from gpt2_assist.architectures.description import Decoder
from gpt2_assist.model.card import Card, write_card
from gpt2_assist.model.hub_files import write_config, write_tokenizer
from gpt2_assist.model.weights import stored_tensors
from gpt2_assist.privacy import file_mode
from gpt2_assist.text.tokenizer import END_OF_TEXT, TextTokenizer
from gpt2_assist.training.recipe import Recipe


def export_model(config: Decoder, weights: Mapping[str, torch.Tensor], tokenizer: TextTokenizer, card: Card,
                 folder: Path, kind: torch.dtype = torch.bfloat16) -> None:
    """Writes configs, weights (by the decoder's names, as `kind`), the tokenizer and the card, its hashes filled in,
    into `folder`.

    Raises OSError where the disk refuses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        save_file({name: value.to(kind).contiguous() for name, value in stored_tensors(weights, config)},
                  folder / "model.safetensors", metadata={"format": "pt"})
    except SafetensorError as error:  # how it reports a full disk
        raise OSError(str(error)) from None
    (folder / "model.safetensors").chmod(file_mode())
    write_config(config, tokenizer, folder)
    write_tokenizer(tokenizer, folder)
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
              for name in ("config.json", "model.safetensors", "tokenizer.json")}
    write_card(folder, replace(card, hashes=hashes))


def card_of_recipe(recipe: Recipe, figures: dict) -> Card:
    """The card of a model made from nothing by `recipe`; `figures` are what training measured."""
    total = sum(source.weight for source in recipe.sources)
    shares = [f"{source.name} {100 * source.weight / total:.0f} %" for source in recipe.sources]
    return Card(origin=f"trained from nothing by gpt2-assist pretrain, recipe {recipe.name}: {recipe.description}",
                licence="; ".join(f"{source.name}: {source.licence}" for source in recipe.sources),
                data=", ".join(shares),
                prompt_prefix=END_OF_TEXT,
                tokenizer=f"byte-level BPE of {recipe.shape.vocab_size} entries, trained on the same data",
                figures=figures)
