"""Phrases that must not come in new text: where one begins, whatever tokens it comes in. Case makes no difference."""
import codecs
from collections import deque
from collections.abc import Iterable, Sequence

from gpt2_assist.text.stops import StopAutomaton


class BannedPhrases:
    """One list of phrases. A text holds a phrase if its case-folded form holds the phrase's."""

    def __init__(self, tokens: Sequence[bytes], phrases: Iterable[str]) -> None:
        """`tokens`: by id, what each stands for; empty for those without a text."""
        self.automaton = StopAutomaton(tuple(dict.fromkeys(phrase.casefold() for phrase in phrases)))
        self.held_by = frozenset(id for id, token in enumerate(tokens) if self._within(token))
        """Ids of the tokens that hold a phrase by themselves."""

    def _within(self, token: bytes) -> bool:
        try:
            text = token.decode().casefold()
        except UnicodeDecodeError:  # its first or last character depends on what stands beside it
            return False
        state = 0
        for character in text:
            state = self.automaton.step(state, character)
            if self.automaton.matched[state]:
                return True
        return False


class BannedWatch:
    """One sample's new text, token by token, which can go back as far as `settled`.

    `settled` is the number of tokens at the front that stay, whatever comes: none of what may yet become a phrase began
    in them. It never falls. A phrase that begins before it all the same, because the text went back and on otherwise,
    counts as beginning there.
    """

    def __init__(self, phrases: BannedPhrases) -> None:
        self._automaton = phrases.automaton
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._state = 0
        self._begun = 0
        """The token in which the unfinished character at the end begins."""
        self._origins: deque[int] = deque()
        """Of the last characters, folded: the token in which each begins; those of settled tokens are left out."""
        self._before: deque[tuple] = deque()
        """What was so before each token that isn't settled."""
        self.settled = self.tokens = 0

    def feed(self, data: bytes) -> int | None:
        """One more token. Where a phrase has become whole: the token to go back to, which `rewind` does."""
        place = self.tokens
        unfinished = self._decoder.getstate()
        self._before.append((self._state, unfinished, self._begun))
        self.tokens += 1
        if not unfinished[0]:
            self._begun = place
        origin = self._begun
        for character in self._decoder.decode(data):
            for folded in character.casefold():
                self._state = self._automaton.step(self._state, folded)
                self._origins.append(origin)
                length = self._automaton.matched[self._state]
                if length:
                    return max(self.settled, self._origins[-length]) if length <= len(self._origins) else self.settled
            origin = self._begun = place
        self._settle()
        return None

    def rewind(self, place: int) -> None:
        """Back to before token `place`, which isn't settled."""
        while self.tokens > place:
            self._state, unfinished, self._begun = self._before.pop()
            self.tokens -= 1
        self._decoder.setstate(unfinished)
        while self._origins and self._origins[-1] >= place:
            self._origins.pop()

    def settle_all(self) -> None:
        """Says that the tokens so far stay."""
        self._advance(self.tokens)

    def _settle(self) -> None:
        first = self.tokens
        if self._decoder.getstate()[0]:
            first = self._begun
        depth = self._automaton.depth[self._state]
        if depth:
            first = min(first, self._origins[-depth] if depth <= len(self._origins) else self.settled)
        self._advance(first)

    def _advance(self, first: int) -> None:
        while self.settled < first:
            self.settled += 1
            self._before.popleft()
        while self._origins and self._origins[0] < self.settled:
            self._origins.popleft()
