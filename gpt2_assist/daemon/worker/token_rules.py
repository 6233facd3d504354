"""What may come next in the samples of one request: the engine's TokenRules, from what a text's words ask for."""
from collections.abc import Callable, Sequence

import numpy as np

from gpt2_assist.text.healing import Healing

Refused = Callable[[Sequence[int]], np.ndarray]
"""From a sample's new tokens to the ids that it can't have next."""


class RequestRules:
    """See engine.TokenRules. The first new tokens spell `spelling` again, `likely` as the tokenizer would; `refused`
    says what is refused throughout, None nothing."""

    def __init__(self, healing: Healing, spelling: bytes, likely: Sequence[int], refused: Refused | None) -> None:
        self._healing, self._spelling, self._likely, self._refused = healing, spelling, likely, refused
        self._known: dict[bytes, np.ndarray] = {}

    def allowed(self, new: Sequence[int]) -> np.ndarray | None:
        rest = self._rest(new)
        if rest and rest not in self._known:
            self._known[rest] = self._healing.allowed(rest)
        return self._known[rest] if rest else None

    def refused(self, new: Sequence[int]) -> np.ndarray | None:
        return self._refused(new) if self._refused else None

    def likely(self, new: Sequence[int]) -> Sequence[int]:
        return () if new else self._likely

    def over(self, new: Sequence[int]) -> bool:
        return self._refused is None and not self._rest(new)

    def _rest(self, new: Sequence[int]) -> bytes:
        """What is left to spell after these new tokens."""
        rest = self._spelling
        for id in new:
            if not rest:
                break
            rest = rest[len(self._healing.bytes_of(id)):]
        return rest
