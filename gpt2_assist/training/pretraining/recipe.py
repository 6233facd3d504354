"""Recipes: TOML files that say how a model is made from nothing, so that anyone can make it again."""
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from gpt2_assist.errors import DataError
from gpt2_assist.files.text_file import read_text


@dataclass(frozen=True)
class Source:
    """One corpus of a recipe."""

    name: str
    path: str
    """A .txt or .txt.xz whose documents a line `<|endoftext|>` separates, or `stdlib`, the interpreter's library."""
    weight: float
    """Its share of the training tokens; shares are normalised."""
    licence: str


@dataclass(frozen=True)
class Shape:
    """The model's sizes."""

    n_layer: int
    n_head: int
    n_embd: int
    n_ctx: int
    vocab_size: int


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train."""

    tokens: int
    """Training ends after so many tokens."""
    batch_tokens: int
    """Tokens per optimiser step."""
    short_sequence: int
    """Sequences have this length at first, because attention over few positions is cheaper."""
    long_from: float
    """From this share of the training on, sequences have n_ctx tokens."""
    matrix_rate: float
    """Peak learning rate of Muon, for the blocks' matrices."""
    other_rate: float
    """Peak learning rate of AdamW, for embeddings, norms and biases."""
    warmup_steps: int = 50
    final_share: float = 0.0
    """The cosine ends at this share of the peak."""
    max_minutes: float = 0.0
    """If set, the schedule also runs by the clock and ends after so many minutes of training."""
    save_minutes: float = 2.0
    """A kill costs at most so much training."""
    seed: int = 1


@dataclass(frozen=True)
class Recipe:
    name: str
    description: str
    shape: Shape
    schedule: Schedule
    sources: tuple[Source, ...]
    held_out: float = 0.02
    """Share of each source's documents that training never sees."""


def read_recipe(path: Path, corpora: Path | None = None) -> Recipe:
    """The recipe at `path`; relative corpus paths start at `corpora`, or else at its own folder. Raises DataError."""
    try:
        table = tomllib.loads(read_text(path))
        sources = tuple(_source(entry, corpora or path.parent) for entry in table["source"])
        top = {key: value for key, value in table.items() if key not in ("shape", "schedule", "source")}
        recipe = Recipe(shape=Shape(**table["shape"]), schedule=Schedule(**table["schedule"]), sources=sources, **top)
    except OSError as error:
        raise DataError(f"The recipe {path} can't be read: {error.strerror}.") from None
    except KeyError as error:
        raise DataError(f"The recipe {path} lacks the entry {error.args[0]}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError) as error:
        raise DataError(f"The recipe {path} can't be understood: {error}.") from None
    if not recipe.sources:
        raise DataError(f"The recipe {path} names no source.")
    return recipe


def _source(entry: dict, folder: Path) -> Source:
    unknown = set(entry) - {field.name for field in fields(Source)}
    if unknown:
        raise TypeError(f"a source has no entry {sorted(unknown)[0]}")
    source = Source(**entry)
    if source.path != "stdlib":
        source = Source(source.name, str(folder / source.path), source.weight, source.licence)
    return source
