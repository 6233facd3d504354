"""How far a quantised model strays from its own float32 self, measured once on a text and kept with the model."""
import json
import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np

from gpt2_assist.errors import StorageError
from gpt2_assist.files.whole_file import whole_file
from gpt2_assist.model.card import CARD_FILE, add_figures
from gpt2_assist.model.numpy_forward import all_logits
from gpt2_assist.model.prepared import Prepared, is_ours_to_write
from gpt2_assist.model.tensors import ModelTensors
from gpt2_assist.text.tokenizer import TextTokenizer

LARGEST_KL = 0.02
"""Nats a token. With that, at most one token in ten would be another one at temperature 1 (Pinsker's inequality)."""
LARGEST_RATIO = 1.02
"""Of perplexities."""
TEXT = Path(__file__).with_name("calibration.txt")
"""Prose and code, for measuring models on."""
_MOST_TOKENS = 512
_ROWS = 32
"""Rows of logits that are worked on at once, in float64."""
_MOST_NATS = 700.0
"""A perplexity beyond e to this is none that a float can hold."""


class Measurable(Protocol):
    """The one thing that is asked of an engine here."""

    def all_logits(self, tokens: Sequence[int]) -> np.ndarray:
        """The logits after each token, float32 [T, V]."""


def calibrate(folder: Path, prepared: Prepared, engine: Measurable) -> dict[str, float]:
    """The figures of `prepared`, which `engine` runs: those that were kept, or measured now and kept.

    Raises ModelError where the model's own files are wrong and StorageError where the disk refuses.
    """
    if known := read_figures(prepared):
        return known
    tokens = calibration_tokens(folder, prepared.config.n_ctx)
    figures = measure(all_logits(ModelTensors(folder), tokens), engine.all_logits(tokens), tokens)
    save_figures(folder, prepared, figures)
    return figures


def calibration_tokens(folder: Path, most: int) -> list[int]:
    """The calibration text, prose and code, in the tokens of the model in `folder`, at most `most` of them."""
    tokens = TextTokenizer.from_folder(folder).encode(TEXT.read_text(encoding="utf-8"))
    return tokens[:min(most, _MOST_TOKENS)]


def measure(exact: np.ndarray, logits: np.ndarray, tokens: Sequence[int]) -> dict[str, float]:
    """Logits [T, V] of the exact model and of another after each of T tokens -> what the difference is.

    "kl" is the mean Kullback-Leibler divergence in nats a token, "perplexity_exact" and "perplexity" are those of the
    tokens themselves, "ratio" is the second over the first; "tokens" is T and "vocabulary" V.
    """
    following = np.append(np.asarray(tokens, np.int64)[1:], -1)
    divergence, nats_exact, nats = 0.0, 0.0, 0.0
    for row in range(0, len(tokens), _ROWS):
        part = slice(row, row + _ROWS)
        log_p, log_q = _log_softmax(exact[part]), _log_softmax(logits[part])
        known = np.flatnonzero(following[part] >= 0)  # all rows but the last, whose next token nobody knows
        nats_exact -= float(log_p[known, following[part][known]].sum())
        nats -= float(log_q[known, following[part][known]].sum())
        p = np.exp(log_p)
        log_p -= log_q
        divergence += float(np.einsum("tv,tv->", p, log_p))
    predicted = max(1, len(tokens) - 1)
    return {"kl": divergence / len(tokens), "perplexity_exact": _perplexity(nats_exact / predicted),
            "perplexity": _perplexity(nats / predicted), "ratio": _perplexity((nats - nats_exact) / predicted),
            "tokens": len(tokens), "vocabulary": exact.shape[1]}


def choose(figures: dict[str, float]) -> str:
    """int8, or bf16 where int8 strays too far.

    The ratio counts only where the model knows more of the text than that it consists of its tokens: to a model with
    random weights all text is noise, and so is the ratio, while the divergence says the same of any model.
    """
    if not figures["kl"] <= LARGEST_KL:  # also where it is no number
        return "bf16"
    knows_text = figures["perplexity_exact"] < figures["vocabulary"] / 2
    return "bf16" if knows_text and not figures["ratio"] <= LARGEST_RATIO else "int8"


def save_figures(folder: Path, prepared: Prepared, figures: dict[str, float]) -> None:
    """Keeps the figures beside the prepared weights, and in the model's card where there is one that can be written.

    Raises StorageError where the disk refuses.
    """
    kept = {"format": prepared.figures["format"], "sources": prepared.figures["sources"], "figures": figures}
    path = _figures_file(prepared)
    try:
        with whole_file(path) as file:
            file.write((json.dumps(kept, indent=2) + "\n").encode())
    except OSError as error:
        raise StorageError(f"What was measured of the model can't be written to {path}: "
                           f"{error.strerror or error}.") from None
    if is_ours_to_write(folder) and (folder / CARD_FILE).is_file():
        with suppress(OSError):  # a card that can't be changed is no reason to refuse the model
            add_figures(folder, prepared.precision, figures)


def read_figures(prepared: Prepared) -> dict[str, float] | None:
    """What `save_figures` kept for these very weights, None where there is nothing that fits."""
    try:
        kept = json.loads(_figures_file(prepared).read_text(encoding="utf-8"))
        fits = all(kept[name] == prepared.figures[name] for name in ("format", "sources"))
        figures = {name: kept["figures"][name] for name in ("kl", "perplexity_exact", "perplexity", "ratio", "tokens",
                                                            "vocabulary")}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return figures if fits and all(type(value) in (int, float) for value in figures.values()) else None


def _figures_file(prepared: Prepared) -> Path:
    """Raises ValueError where they are weights of the moment, which no file has."""
    if prepared.path is None:
        raise ValueError("weights of the moment")
    return prepared.path.with_suffix(".json")


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    """[T, V] -> the logarithms of the probabilities, float64."""
    logs = logits.astype(np.float64)
    logs -= logs.max(axis=1, keepdims=True)
    return logs - np.log(np.exp(logs).sum(axis=1, keepdims=True))


def _perplexity(nats: float) -> float:
    return math.exp(max(-_MOST_NATS, min(nats, _MOST_NATS)))
