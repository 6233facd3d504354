"""From a request's settings to the engine's, which know token ids only."""
from dataclasses import fields

from gpt2_assist.daemon.worker.vocabulary import Vocabulary
from gpt2_assist.engine.engine import Sampling
from gpt2_assist.errors import UsageError
from gpt2_assist.ipc.messages import Generation

_SAME = {entry.name for entry in fields(Sampling)} & {entry.name for entry in fields(Generation)} - {
    "logit_bias", "seed", "dry_breakers", "temperatures", "samplers"}


def sampling_of(settings: Generation, seed: int, vocabulary: Vocabulary, stop_tokens: frozenset[int]) -> Sampling:
    """Raises UsageError where no token of the model holds a breaker."""
    broken = spared = frozenset()
    if settings.dry_multiplier > 0:
        for breaker in settings.dry_breakers:
            if not vocabulary.holding(breaker):
                raise UsageError(f"No token of the model holds {breaker[:40]!r} of dry_breakers; name a shorter text.")
        broken = frozenset().union(*map(vocabulary.holding, settings.dry_breakers))
    if settings.xtc_probability > 0:
        spared = stop_tokens | vocabulary.holding("\n")
    return Sampling(
        logit_bias={token: float(bias) for token, bias in settings.logit_bias}, seed=seed,
        temperatures=tuple(settings.temperatures), samplers=tuple(settings.samplers), dry_breakers=broken,
        xtc_spared=spared, **{name: getattr(settings, name) for name in _SAME})
