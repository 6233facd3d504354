"""Samples from a model that is being trained: the engines write them, with the weights that it has at that moment."""
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from gpt2_assist.config import read_settings
from gpt2_assist.engine.cpu.cpu_engine import CpuEngine
from gpt2_assist.engine.engine import Engine, Sampling
from gpt2_assist.engine.torch_engine import TorchEngine
from gpt2_assist.model.prepared import packed
from gpt2_assist.model.transformer import Transformer
from gpt2_assist.training.finetuning.lora import present_adapter
from gpt2_assist.training.finetuning.settings import LORA, FinetuneSettings

_TEMPERATURE, _TOP_K = 0.8, 40
_CACHE_BYTES = 1 << 29


class SampleWriter:
    """Writes with a model as it is now. On the CPU its weights are packed in int8, a byte a parameter for as long as
    the writer lives; on a graphics card they are copied there."""

    def __init__(self, model: Transformer, settings: FinetuneSettings, threads: int) -> None:
        """Raises ModelError where a weight has become infinite or no number."""
        weights = model.state_dict()
        self._engine = _engine(model, weights, settings, threads)
        self._adapter = (self._engine.add_adapter(present_adapter(model, settings.lora))
                         if settings.method == LORA else 0)

    def write(self, prompt: Sequence[int], count: int, seed: int, end: int | None) -> list[int]:
        """Up to `count` new token ids behind the prompt, which may not be empty; `end` ends them."""
        engine, new = self._engine, []
        sequence = engine.open(prompt, Sampling(_TEMPERATURE, _TOP_K, seed=seed), adapter=self._adapter)
        try:
            while len(new) < count and end not in new:
                if engine.ready(sequence):
                    new += [token.id for token in engine.decode([sequence])[0]]
                else:
                    engine.prefill(sequence)
        finally:
            engine.close(sequence)
        return new[:new.index(end) if end in new else count]


def trial(model: Transformer, settings: FinetuneSettings, threads: int, prompt: Sequence[int], count: int,
          end: int | None, texts: int) -> tuple[list[int], float]:
    """(what `SampleWriter.write` gives for the seed 0, about how many seconds so many such texts take)."""
    began = time.monotonic()
    writer = SampleWriter(model, settings, threads)
    ready = time.monotonic()
    new = writer.write(prompt, count, 0, end)
    return new, ready - began + (time.monotonic() - ready) / max(1, len(new)) * texts * count


def _engine(model: Transformer, weights: dict[str, torch.Tensor], settings: FinetuneSettings, threads: int) -> Engine:
    device, config = model.embedding.weight.device.type, model.config.windowed(read_settings().context)
    if device != "cpu":
        return TorchEngine(config, weights, settings.precision, device, _CACHE_BYTES, threads)

    def read(name: str) -> np.ndarray:
        weight = weights[name]
        if settings.method != LORA:
            weight = weight.to(torch.bfloat16)  # as the model of this step is kept and read
        return weight.float().numpy()
    return CpuEngine(replace(packed(model.config, read, "int8"), config=config), _CACHE_BYTES, threads)
