"""How tokens are chosen: what a sequence's settings say, and which samplers they turn on."""
from dataclasses import dataclass, field
from functools import cached_property

ORDER = ("penalties", "dry", "top_n_sigma", "top_k", "typical_p", "top_p", "min_p", "xtc", "temperature")
"""The samplers in llama.cpp's order, one behind the other; see engine/samplers.py."""
_BIAS = "logit_bias"
_SCORING = frozenset(("penalties", "dry", _BIAS))
"""What changes scores; the others, but for the temperature, take tokens away."""
_PLAIN = ("penalties", _BIAS, "dry", "top_k", "top_p", "min_p")


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; names and meanings as in messages.Generation, but for token ids in place of texts.

    The default of top_k is another: engines filter nothing unless they are told to.
    """

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: dict[int, float] = field(default_factory=dict)
    seed: int = 0
    logprobs: int | None = None
    typical_p: float = 1.0
    top_n_sigma: float = 0.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dynatemp_range: float = 0.0
    dynatemp_exponent: float = 1.0
    temperatures: tuple[float, ...] = ()
    mirostat_tau: float = 0.0
    mirostat_eta: float = 0.1
    samplers: tuple[str, ...] = ORDER
    dry_breakers: frozenset[int] = frozenset()
    """Tokens over which no repetition reaches."""
    xtc_spared: frozenset[int] = frozenset()
    """Tokens that XTC takes from no text: lines' and texts' ends."""

    @cached_property
    def steps(self) -> tuple[str, ...]:
        """The samplers that do something, in order, and among them the bias: behind the penalties where these come
        first, else before all. With mirostat there are no filters."""
        on = {"penalties": self.repetition_penalty != 1, "dry": self.dry_multiplier > 0,
              "top_n_sigma": self.top_n_sigma > 0, "top_k": self.top_k > 0, "typical_p": self.typical_p < 1,
              "top_p": self.top_p < 1, "min_p": self.min_p > 0, "xtc": self.xtc_probability > 0, "temperature": True}
        found = [name for name in self.samplers if on[name]]
        if self.mirostat_tau > 0:
            found = [name for name in found if name in _SCORING or name == "temperature"]
        if self.logit_bias:
            found.insert(int(found[:1] == ["penalties"] == list(self.samplers[:1])), _BIAS)
        return tuple(found)

    @cached_property
    def scoring(self) -> tuple[str, ...]:
        """Those of the steps that change scores: all that counts for a greedy choice."""
        return tuple(name for name in self.steps if name in _SCORING)

    @cached_property
    def filtering(self) -> tuple[str, ...]:
        """The other steps."""
        return tuple(name for name in self.steps if name not in _SCORING)

    @cached_property
    def filtered_hot(self) -> bool | None:
        """Whether filters see chances at the text's temperature, not at 1. None where a card's kernels don't know the
        samplers: others than those of _PLAIN, another order, or a temperature that isn't given."""
        others = [name for name in self.steps if name != "temperature"]
        if (self.mirostat_tau > 0 or self.dynatemp_range > 0
                or others != [name for name in _PLAIN if name in others]):
            return None
        place = self.steps.index("temperature") if len(others) < len(self.steps) else len(self.steps)
        behind = self.steps[place:]
        shares = {name in behind for name in ("top_p", "min_p") if name in others}
        if "dry" in behind or len(shares) > 1:
            return None
        return False not in shares

    def temperature_of(self, number: int) -> float:
        """That of new token `number`: temperatures take turns, as in textgenrnn's interactive mode. 0 is greedy."""
        if "temperature" not in self.samplers:
            return 1.0
        return self.temperatures[number % len(self.temperatures)] if self.temperatures else self.temperature
