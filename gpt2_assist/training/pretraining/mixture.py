"""From a recipe's sources to a tokenizer, a training stream and held-out documents."""
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from gpt2_assist.training.pretraining.corpora import read_documents, split_documents
from gpt2_assist.training.pretraining.recipe import Recipe
from gpt2_assist.training.pretraining.tokenizer_training import train_tokenizer
from gpt2_assist.training.token_stream import encode_documents, write_stream

_TOKENIZER_SAMPLE_BYTES = 24_000_000


def prepare(recipe: Recipe, folder: Path, say: Callable[[str], None]) -> tuple[Tokenizer, np.ndarray]:
    """(tokenizer, stream), made in `folder` at the first call and read from there at later ones."""
    tokenizer_path, stream_path = folder / "tokenizer.json", folder / "stream.npy"
    if not stream_path.exists():
        say("reading the corpora")
        documents = training_documents(recipe)
        say("training the tokenizer")
        tokenizer = train_tokenizer(_sample(recipe, documents), recipe.shape.vocab_size)
        tokenizer.save(str(tokenizer_path))
        say("encoding the corpora")
        write_stream(stream_path, encode_mixture(recipe, documents, tokenizer))
    return Tokenizer.from_file(str(tokenizer_path)), np.load(stream_path, mmap_mode="r")


def training_documents(recipe: Recipe) -> dict[str, list[str]]:
    """The documents of each source that training may see."""
    return {source.name: split_documents(read_documents(source.path), recipe.held_out)[0]
            for source in recipe.sources}


def held_out_documents(recipe: Recipe) -> dict[str, list[str]]:
    """The documents of each source that training never saw."""
    return {source.name: split_documents(read_documents(source.path), recipe.held_out)[1]
            for source in recipe.sources}


def _shares(recipe: Recipe) -> dict[str, float]:
    total = sum(source.weight for source in recipe.sources)
    return {source.name: source.weight / total for source in recipe.sources}


def _shuffled(documents: list[str], seed: int) -> list[str]:
    copy = list(documents)
    random.Random(seed).shuffle(copy)
    return copy


def _sample(recipe: Recipe, documents: dict[str, list[str]]) -> list[str]:
    """Slices of documents for the tokenizer, each source by its share."""
    texts = []
    for name, share in _shares(recipe).items():
        room = share * _TOKENIZER_SAMPLE_BYTES
        for document in _shuffled(documents[name], recipe.schedule.seed):
            slice_ = document[:20_000]
            texts.append(slice_)
            room -= len(slice_)
            if room <= 0:
                break
    return texts


def encode_mixture(recipe: Recipe, documents: dict[str, list[str]], tokenizer: Tokenizer) -> np.ndarray:
    """Each source gives its share of the recipe's tokens; a source too small for it is used as it is."""
    parts = []
    for name, share in _shares(recipe).items():
        wanted = int(share * recipe.schedule.tokens)
        parts.append(encode_documents(tokenizer, _chapters(documents[name], recipe.schedule.seed), wanted))
    return np.concatenate(parts)


def _chapters(documents: list[str], seed: int) -> list[str]:
    """Long documents are cut at line ends into pieces, so that a small share still draws on every one of them."""
    pieces = []
    for document in documents:
        while len(document) > 60_000:
            cut = document.find("\n", 50_000)
            if cut < 0 or cut > 60_000:
                break
            pieces.append(document[:cut])
            document = document[cut + 1:]
        pieces.append(document)
    return _shuffled(pieces, seed)
