"""Samples of a training are what the kept model of that step writes when it is served."""
import pytest
import torch

from gpt2_assist.engine.cpu.cpu_engine import CpuEngine
from gpt2_assist.engine.engine import Sampling
from gpt2_assist.errors import ModelError
from gpt2_assist.model.adapter import read_adapter
from gpt2_assist.model.card import Card
from gpt2_assist.model.prepared import open_prepared, prepare
from gpt2_assist.model.store import find_model
from gpt2_assist.training.export.model_folder import export_model
from gpt2_assist.training.finetuning.base import Base
from gpt2_assist.training.finetuning.lora import write_adapter
from gpt2_assist.training.finetuning.settings import FinetuneSettings
from gpt2_assist.training.finetuning.writing import SampleWriter, trial

PROMPT, COUNT = [5, 6, 7], 90
"""More than the tiny model's window of 64."""


def learned(folder, settings: FinetuneSettings):
    """A model that has moved away from its base."""
    base = Base.of(find_model(str(folder)))
    model = base.tunable(settings, "cpu")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad and parameter.dim() == 2:
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return base, model


def served(engine: CpuEngine, seed: int, adapter: int = 0) -> list[int]:
    sequence = engine.open(PROMPT, Sampling(0.8, 40, seed=seed), adapter=adapter)
    new: list[int] = []
    while len(new) < COUNT:
        if engine.ready(sequence):
            new += [token.id for token in engine.decode([sequence])[0]]
        else:
            engine.prefill(sequence)
    return new[:COUNT]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_whole_models_samples_are_those_of_the_model_that_is_kept(tiny_model, tmp_path, threads):
    settings = FinetuneSettings(method="full")
    base, model = learned(tiny_model, settings)
    writer = SampleWriter(model, settings, threads)
    samples = [writer.write(PROMPT, COUNT, seed, None) for seed in range(3)]
    export_model(base.config, dict(model.state_dict()), base.tokenizer, Card(), tmp_path / "kept")
    kept = CpuEngine(open_prepared(prepare(tmp_path / "kept", "int8")), 1 << 26, 1)
    assert samples == [served(kept, seed) for seed in range(3)] and samples[0] != samples[1]
    end = samples[0][20]
    assert writer.write(PROMPT, COUNT, 0, end) == samples[0][:samples[0].index(end)]
    with torch.no_grad():
        model.layers[0].up.weight += 0.1
    assert SampleWriter(model, settings, threads).write(PROMPT, COUNT, 0, None) != samples[0], "weights of that moment"


def test_an_adapters_samples_are_those_of_the_adapter_beside_its_base(tiny_model, tmp_path):
    settings = FinetuneSettings(method="lora", precision="fp32")
    _, model = learned(tiny_model, settings)
    samples = [SampleWriter(model, settings, 2).write(PROMPT, COUNT, seed, None) for seed in range(2)]
    write_adapter(tmp_path / "kept", model, settings.lora, str(tiny_model))
    base = CpuEngine(open_prepared(prepare(tiny_model, "int8")), 1 << 26, 1)
    number = base.add_adapter(read_adapter(tmp_path / "kept", base.config))
    assert samples == [served(base, seed, number) for seed in range(2)]
    assert samples[0] != served(base, 0), "the adapter takes part"


def test_a_model_that_has_lost_its_numbers_writes_nothing(tiny_model):
    settings = FinetuneSettings(method="full")
    _, model = learned(tiny_model, settings)
    text, seconds = trial(model, settings, 1, PROMPT, COUNT, None, 2)
    assert text == SampleWriter(model, settings, 1).write(PROMPT, COUNT, 0, None) and seconds > 0
    with torch.no_grad():
        model.layers[1].qkv.weight[0, 0] = float("nan")
    with pytest.raises(ModelError, match="no number"):
        SampleWriter(model, settings, 1)
