"""`gpt2-assist pretrain RECIPE`: from a recipe to a model's folder; stopped at any moment, it goes on where it was."""
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from gpt2_assist.architectures import gpt2
from gpt2_assist.errors import DataError
from gpt2_assist.model.card import Card
from gpt2_assist.model.transformer import Transformer
from gpt2_assist.text.tokenizer import END_OF_TEXT, TextTokenizer
from gpt2_assist.training.export.model_folder import export_model
from gpt2_assist.training.pretraining.evaluate import bits_per_byte
from gpt2_assist.training.pretraining.loop import Training
from gpt2_assist.training.pretraining.mixture import held_out_documents, prepare
from gpt2_assist.training.pretraining.recipe import Recipe
from gpt2_assist.training.token_stream import encode_documents

_VALIDATE_EVERY_S = 600.0
_SAMPLE_BYTES = 100_000


def pretrain(recipe: Recipe, folder: Path, threads: int, say: Callable[[str], None],
             stop: Callable[[], bool] = lambda: False) -> bool:
    """Trains the recipe's model in `folder` (made if need be) and exports it to `folder/model`.

    False if `stop()` ended the training early; then nothing is exported. Raises DataError on unusable corpora.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer, stream = prepare(recipe, folder, say)
    shape = recipe.shape
    config = gpt2.decoder(shape.n_layer, shape.n_head, shape.n_embd, shape.n_ctx, tokenizer.get_vocab_size())
    if len(stream) <= config.n_ctx:
        raise DataError(f"The corpora give only {len(stream)} tokens, less than one context of {config.n_ctx}.")
    model = Transformer(config)
    model.initialise(torch.Generator().manual_seed(recipe.schedule.seed))
    training = Training(model, stream, recipe.schedule, folder / "checkpoint.safetensors", threads, torch.bfloat16)
    held_out = held_out_documents(recipe)
    last_validation = training.seconds
    with open(folder / "log.jsonl", "a", encoding="utf-8") as log:
        for report in training.steps(stop=stop):
            entry = {"step": report.step, "tokens": report.tokens, "loss": round(report.loss, 4),
                     "seconds": round(report.seconds, 1)}
            if report.step % 20 == 0:
                say(f"step {report.step}  {100 * report.progress:.1f} %  {report.tokens / 1e6:.2f}M tokens  "
                    f"loss {report.loss:.3f}  {report.tokens / report.seconds:.0f} tok/s")
            if report.seconds - last_validation > _VALIDATE_EVERY_S:
                last_validation = report.seconds
                entry["bits_per_byte"] = measure(model, tokenizer, held_out, 20_000)
                say(f"held-out bits per byte: {entry['bits_per_byte']}")
            log.write(json.dumps(entry) + "\n")
            log.flush()
    if training.progress < 1:
        return False
    say("measuring on held-out documents")
    _export(recipe, training, tokenizer, held_out, folder)
    return True


def _export(recipe: Recipe, training: Training, tokenizer: Tokenizer, held_out: dict[str, list[str]],
            folder: Path) -> None:
    model = training.model
    for parameter in model.parameters():  # what is measured is what is written
        parameter.data = parameter.data.to(torch.bfloat16).float()
    figures = {"parameters": sum(parameter.numel() for parameter in model.parameters()),
               "tokens_seen": training.tokens, "training_minutes": round(training.seconds / 60),
               "bits_per_byte": measure(model, tokenizer, held_out)}
    export_model(model.config, model.state_dict(), TextTokenizer.from_folder(folder), _card(recipe, figures),
                 folder / "model")


def measure(model: Transformer, tokenizer: Tokenizer, held_out: dict[str, list[str]],
            sample_bytes: int = _SAMPLE_BYTES) -> dict[str, float]:
    """Bits per byte of each source, on about `sample_bytes` of its held-out documents."""
    figures = {}
    for name, documents in held_out.items():
        sample = held_out_sample(documents, sample_bytes)
        ids = [encode_documents(tokenizer, [text], 1 << 40) for text in sample]
        figures[name] = round(bits_per_byte(model, ids, [len(text.encode()) for text in sample]), 4)
    figures["mean"] = round(float(np.mean(list(figures.values()))), 4)
    return figures


def held_out_sample(documents: list[str], sample_bytes: int) -> list[str]:
    """The beginnings of held-out documents, evenly, together about `sample_bytes`."""
    share = max(2_000, sample_bytes // max(1, len(documents)))
    sample, size = [], 0
    for document in documents:
        text = document[:share]
        sample.append(text)
        size += len(text)
        if size >= sample_bytes:
            break
    return sample


def _card(recipe: Recipe, figures: dict) -> Card:
    """The card of a model made from nothing by `recipe`; `figures` are what training measured."""
    total = sum(source.weight for source in recipe.sources)
    shares = [f"{source.name} {100 * source.weight / total:.0f} %" for source in recipe.sources]
    return Card(origin=f"trained from nothing by gpt2-assist pretrain, recipe {recipe.name}: {recipe.description}",
                licence="; ".join(f"{source.name}: {source.licence}" for source in recipe.sources),
                data=", ".join(shares),
                prompt_prefix=END_OF_TEXT,
                tokenizer=f"byte-level BPE of {recipe.shape.vocab_size} entries, trained on the same data",
                figures=figures)
