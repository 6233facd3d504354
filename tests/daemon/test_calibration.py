"""What is measured of quantised weights, what follows from it, and where it is kept."""
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from gpt2_assist.errors import StorageError
from gpt2_assist.loading import calibration
from gpt2_assist.model.card import Card, read_card, write_card
from gpt2_assist.model.numpy_forward import all_logits
from gpt2_assist.model.prepared import open_prepared, prepare
from gpt2_assist.model.tensors import ModelTensors

PREPARED = shutil.ignore_patterns("prepared-*")
"""A daemon of another test may have prepared the shared model already."""


@pytest.fixture
def folder(tiny_model, tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("GPT2_ASSIST_HOME", str(tmp_path / "home"))
    return Path(shutil.copytree(tiny_model, tmp_path / "model", ignore=PREPARED))


class Shaken:
    """Stands in for an engine: the exact logits with noise of a given size."""

    def __init__(self, folder: Path, noise: float) -> None:
        self.weights, self.noise, self.asked = ModelTensors(folder), noise, 0

    def all_logits(self, tokens):
        self.asked += 1
        logits = all_logits(self.weights, tokens)
        noise = np.random.default_rng(0).standard_normal(logits.shape)
        return logits + (self.noise * noise).astype(np.float32)


@pytest.mark.parametrize("rows", [1, 2, 32, 33, 100])
def test_figures_are_those_of_torch(rows):
    random = np.random.default_rng(rows)
    exact, other = (random.standard_normal((rows, 50)).astype(np.float32) * 3 for _ in range(2))
    tokens = random.integers(50, size=rows).tolist()
    figures = calibration.measure(exact, other, tokens)
    p, q = (torch.from_numpy(logits).double().log_softmax(-1) for logits in (exact, other))
    assert figures["kl"] == pytest.approx(float((p.exp() * (p - q)).sum(-1).mean()))
    if rows > 1:
        exact_nats, nats = (float(-logs[range(rows - 1), tokens[1:]].mean()) for logs in (p, q))
        assert figures["perplexity_exact"] == pytest.approx(math.exp(exact_nats))
        assert figures["perplexity"] == pytest.approx(math.exp(nats))
        assert figures["ratio"] == pytest.approx(math.exp(nats - exact_nats))
    assert figures["tokens"] == rows and figures["vocabulary"] == 50


def test_logits_beyond_all_bounds_still_give_figures_that_json_holds():
    exact = np.array([[3e38, -3e38, 0], [0, 1, 2]], np.float32)
    figures = calibration.measure(exact, exact[:, ::-1], [1, 1])
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert calibration.choose(figures) == "bf16"
    assert calibration.measure(exact, exact, [1, 1])["kl"] == 0


GOOD = {"kl": 0.001, "perplexity_exact": 20.0, "perplexity": 20.1, "ratio": 1.005, "tokens": 512, "vocabulary": 400}


@pytest.mark.parametrize("change, chosen", [
    ({}, "int8"), ({"kl": 0.03}, "bf16"), ({"ratio": 1.03}, "bf16"), ({"ratio": 0.9}, "int8"),
    ({"kl": math.nan}, "bf16"), ({"ratio": math.nan}, "bf16"),
    ({"ratio": 1.3, "perplexity_exact": 390.0}, "int8"), ({"kl": 0.03, "perplexity_exact": 390.0}, "bf16"),
])
def test_int8_is_chosen_unless_it_strays(change, chosen):
    assert calibration.choose({**GOOD, **change}) == chosen


def test_the_text_has_more_tokens_than_are_asked_for_and_code_among_them(folder):
    bundled = Path(calibration.__file__).parents[1] / "models" / "mini"
    tokens = calibration.calibration_tokens(bundled, 1024)
    assert len(tokens) == 512
    text = calibration.TextTokenizer.from_folder(bundled).decode(tokens)
    assert "Marta" in text and "@dataclass" in text
    assert len(calibration.calibration_tokens(folder, 64)) == 64


def test_a_model_is_measured_once_and_its_card_tells(folder):
    write_card(folder, Card(origin="here", hashes={"model.safetensors": "0"}, figures={"parameters": 5}))
    prepared, engine = open_prepared(prepare(folder, "int8")), Shaken(folder, 0.01)
    figures = calibration.calibrate(folder, prepared, engine)
    assert 0 < figures["kl"] < 0.001 and figures["tokens"] == 64
    card = read_card(folder)
    assert card.figures == {"parameters": 5, "int8": figures} and card.hashes == {"model.safetensors": "0"}
    assert calibration.calibrate(folder, open_prepared(prepare(folder, "int8")), engine) == figures
    assert engine.asked == 1
    assert calibration.choose(calibration.calibrate(folder, open_prepared(prepare(folder, "int4")),
                                                    Shaken(folder, 1.0))) == "bf16"
    assert read_card(folder).figures.keys() == {"parameters", "int8", "int4"}


def test_other_weights_are_measured_again(folder, other_tiny_model):
    calibration.calibrate(folder, open_prepared(prepare(folder, "int8")), Shaken(folder, 0.01))
    shutil.copyfile(other_tiny_model / "model.safetensors", folder / "model.safetensors")
    prepared = open_prepared(prepare(folder, "int8"))
    assert calibration.read_figures(prepared) is None
    assert not (folder / "card.json").exists(), "a folder without a card gets none"


@pytest.mark.parametrize("content", ["", "[]", "{", '{"format": "1"}', "null"])
def test_damaged_figures_are_none(folder, content):
    prepared = open_prepared(prepare(folder, "int8"))
    calibration.save_figures(folder, prepared, GOOD)
    assert calibration.read_figures(prepared) == GOOD
    (folder / "prepared-int8.json").write_text(content)
    assert calibration.read_figures(prepared) is None


def test_figures_of_another_kind_are_none(folder):
    prepared = open_prepared(prepare(folder, "int8"))
    for wrong in ({**GOOD, "kl": "small"}, {"kl": 0.0}, {**GOOD, "ratio": None}):
        calibration.save_figures(folder, prepared, wrong)
        assert calibration.read_figures(prepared) is None


def test_a_disk_that_refuses_is_said(folder):
    prepared = open_prepared(prepare(folder, "int8"))
    shutil.rmtree(folder)
    with pytest.raises(StorageError, match="can't be written"):
        calibration.save_figures(folder, prepared, GOOD)
