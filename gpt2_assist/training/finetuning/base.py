"""What a run is trained from."""
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from gpt2_assist.architectures.description import Decoder
from gpt2_assist.errors import ModelError
from gpt2_assist.model.card import Card, read_card
from gpt2_assist.model.config_file import read_config
from gpt2_assist.model.store import ModelFolder
from gpt2_assist.model.transformer import Transformer
from gpt2_assist.model.weights import model_of
from gpt2_assist.runs import Run, runs_folder
from gpt2_assist.text.tokenizer import TextTokenizer
from gpt2_assist.training.adapted_weights import with_rows
from gpt2_assist.training.export.merging import whole_weights
from gpt2_assist.training.export.model_folder import export_model
from gpt2_assist.training.finetuning.infill_pieces import Lesson
from gpt2_assist.training.finetuning.lora import add_adapter
from gpt2_assist.training.finetuning.settings import FULL, LORA, FinetuneSettings


@dataclass(frozen=True)
class Base:
    folder: ModelFolder
    config: Decoder
    tokenizer: TextTokenizer
    lesson: Lesson | None = None
    """How it is taught to fill in, if it is."""

    @classmethod
    def of(cls, folder: ModelFolder, infill: bool = False) -> "Base":
        """`infill`: whether it is to be taught that. Raises ModelError where it is damaged, or can't be trained
        further."""
        tokenizer = TextTokenizer.from_folder(folder.tokenizer)
        if tokenizer.end_of_text is None:
            raise ModelError(f"The model {folder.name} has no token for a text's end, so it can't be fine-tuned.")
        config = read_config(folder.path)
        if not infill:
            return cls(folder, config, tokenizer)
        config, weights = whole_weights(folder)
        return cls(folder, config, tokenizer, Lesson.of(tokenizer, folder.card.infill, weights["embedding.weight"]))

    def kept_for(self, run: Run) -> "Base":
        """The base as the run will find it again: what is another run's goes when that one is trained further, and an
        adapter becomes one with its model. Raises OSError where the disk refuses."""
        folder, own = self.folder, run.folder / "base"
        if folder.adapter:
            self.write(own, folder.card)
        elif folder.path.resolve().is_relative_to(runs_folder().resolve()):
            shutil.copytree(folder.path, own, copy_function=_link)
        else:
            return self
        return Base.of(ModelFolder(folder.name, own, read_card(own)), self.lesson is not None)

    def write(self, folder: Path, card: Card) -> None:
        """Makes a model's folder of it, an adapter in its weights. Raises OSError where the disk refuses."""
        config, weights = whole_weights(self.folder)
        export_model(config, weights, TextTokenizer.from_folder(self.folder.tokenizer), card, folder,
                     next(iter(weights.values())).dtype)

    def tunable(self, settings: FinetuneSettings, device: str) -> Transformer:
        """A model to be trained, with a new adapter where the method wants one."""
        config, weights = whole_weights(self.folder)
        rows = self.lesson.rows(weights["embedding.weight"], settings.seed) if self.lesson else {}
        if settings.method == FULL:
            weights = with_rows(weights, rows)
            config = replace(config, vocab_size=len(weights["embedding.weight"]))
        model = model_of(config, weights)
        if settings.method == LORA:
            if settings.precision == "bf16":  # in which the products run anyway
                for name, parameter in model.named_parameters():
                    if parameter.dim() == 2 and name != "positions.weight":
                        parameter.data = parameter.data.to(torch.bfloat16)
            add_adapter(model, settings.lora, settings.seed, rows)
        else:
            for parameter in model.parameters():  # they are mapped from the base's file, some of them transposed
                parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)  # as AdamW's moments
                parameter.requires_grad_(True)
        return model.to(device)


def _link(source: str, target: str) -> None:
    """The same file under another name; a copy where the file system has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
