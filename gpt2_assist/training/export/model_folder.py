"""From a trained model to a model folder that every front end can load."""
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from gpt2_assist.architectures.description import Decoder
from gpt2_assist.files.modes import file_mode
from gpt2_assist.model.card import Card, write_card
from gpt2_assist.model.hub_files import write_config, write_tokenizer
from gpt2_assist.model.weights import stored_tensors
from gpt2_assist.text.tokenizer import TextTokenizer


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
