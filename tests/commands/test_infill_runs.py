"""`finetune --infill`: a model that was never taught to fill in is, and says so; whole runs of either method."""
import subprocess
import sys
from pathlib import Path

import pytest

import gpt2_assist
from gpt2_assist.errors import UsageError
from gpt2_assist.model.store import find_model
from gpt2_assist.runs import find_run
from gpt2_assist.text.infill import NEW
from gpt2_assist.training.export.merging import export_gguf, merge_run

QUICK = {"steps": 8, "context": 48, "batch_tokens": 192, "learning_rate": 1e-3, "patience": 0, "validate_every": 4,
         "quiet": True}
AROUND = {"prefix": "def area(wid", "suffix": "\n    return width * height\n", "length": 10, "seed": 3,
          "include_prefix": False}


@pytest.fixture(scope="module")
def code(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("code")
    for number in range(12):
        lines = [f"def area_{line}(width, height):\n    return width * height + {number + line}\n" for line in range(6)]
        (folder / f"{number}.py").write_text("\n\n".join([*lines, "MARK = '<|fim_middle|><|endoftext|>'\n"]), "utf-8")
    return folder


@pytest.fixture(scope="module")
def taught(code, tiny_model) -> dict[str, str]:
    """A run of each method, by name."""
    for method in ("full", "lora"):
        gpt2_assist.finetune(code, tiny_model, f"infill-{method}", method=method, infill=True, **QUICK)
    return {method: f"infill-{method}" for method in ("full", "lora")}


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_run_fills_in_and_its_card_says_how(taught, tiny_model, method):
    with pytest.raises(UsageError.__mro__[1], match="--infill"):
        gpt2_assist.generate(model_name=tiny_model, **AROUND)
    card = find_model(taught[method]).card
    assert card.infill == {**NEW, "order": "SPM", "begin": "<|endoftext|>"}
    texts = [gpt2_assist.generate(taught[method], **{**AROUND, **more})[0]
             for more in ({}, {"suffix": "\n\n\nimport json\n"}, {"suffix": None})]
    assert len(set(texts)) == 3 and not any("<|" in text for text in texts)
    run = find_run(taught[method])
    measured = [entry for entry in run.curve() if "infill" in entry]
    assert len(measured) == 2 and run.best()["infill_before"] > 0
    shown = subprocess.run([sys.executable, "-m", "gpt2_assist.cli", "runs", "show", run.name], capture_output=True)
    assert b"infill " in shown.stdout


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", pytest.param("full", marks=pytest.mark.slow)])
def test_it_stays_taught_when_it_is_merged_exported_or_trained_further(taught, code, method, tmp_path):
    name = taught[method]
    merged = merge_run(name, f"{name}-merged", 1.0)
    exact = {**AROUND, "temperature": 0.0}
    text = gpt2_assist.generate(name, **exact)
    assert gpt2_assist.generate(merged.name, **exact) == text
    assert merged.card.infill == find_model(name).card.infill
    export_gguf(name, tmp_path / "run.gguf")
    assert (tmp_path / "run.gguf").stat().st_size > 10_000
    further = f"{name}-further"
    gpt2_assist.finetune(code, name, further, method="lora", infill=True, **{**QUICK, "steps": 4})
    assert find_model(further).card.infill == merged.card.infill
    assert gpt2_assist.generate(further, **AROUND)[0] is not None
    plain = f"{name}-plain"
    gpt2_assist.finetune(code, name, plain, method="lora", **{**QUICK, "steps": 4})
    assert find_model(plain).card.infill == merged.card.infill
    assert gpt2_assist.generate(plain, **AROUND)[0] is not None


def test_it_goes_on_as_it_was_begun(taught, code, tiny_model):
    run = find_run(taught["lora"])
    gpt2_assist.finetune(run_name=run.name, restore_from="latest", steps=10, quiet=True)
    assert run.saved_step == 10 and "infill" in run.curve()[-1]
    with pytest.raises(UsageError, match="infill can't change"):
        gpt2_assist.finetune(run_name=run.name, restore_from="latest", infill=False, steps=12, quiet=True)
    assert gpt2_assist.generate(run.name, **AROUND)[0]
