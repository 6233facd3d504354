"""From a model's folder to an engine that is ready for a keystroke. Only workers import it: it needs torch."""
from dataclasses import dataclass

from gpt2_assist.config import Settings
from gpt2_assist.daemon.generation import Vocabulary
from gpt2_assist.engine.engine import Engine, Sampling
from gpt2_assist.engine.torch_engine import TorchEngine
from gpt2_assist.model.store import find_model
from gpt2_assist.model.weights import load_weights
from gpt2_assist.protocol import Load, Loaded
from gpt2_assist.text.tokenizer import TextTokenizer


@dataclass(frozen=True)
class Model:
    """What a worker owns."""

    engine: Engine
    vocabulary: Vocabulary
    parameters: int

    def loaded(self, request: Load) -> Loaded:
        return Loaded(request.id, request.model, self.engine.n_ctx, self.parameters, self.engine.device,
                      self.engine.precision)


def load(request: Load, settings: Settings) -> Model:
    """Reads and warms a model. Raises ModelError or UsageError with a sentence."""
    folder = find_model(request.model)
    vocabulary = Vocabulary(TextTokenizer.from_folder(folder.path), folder.card)
    config, weights = load_weights(folder.path)
    engine = TorchEngine(config, weights, request.precision, request.device, settings.cache_mb << 20, settings.threads)
    warm(engine)
    return Model(engine, vocabulary, sum(weight.numel() for weight in weights.values()))


def warm(engine: Engine) -> None:
    """Runs everything once, so that nothing is set up at the first keystroke."""
    sequence = engine.open([0] * min(8, engine.n_ctx), Sampling(top_k=40))
    while not engine.prefill(sequence):
        pass
    engine.decode([sequence])
    engine.close(sequence)
