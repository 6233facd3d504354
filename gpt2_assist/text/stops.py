"""Finds the first of several strings in text that comes in pieces: the automaton of Aho and Corasick (1975)."""
from collections import deque
from functools import lru_cache

_ROOT = 0


class StopAutomaton:
    """A state stands for the longest end of the text so far that begins a stop string."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        """Raises ValueError on an empty stop string, which would match everywhere."""
        if not all(stops):
            raise ValueError("A stop string must not be empty.")
        self._next: list[dict[str, int]] = [{}]
        self.depth = [0]
        """By state: characters of the text that may yet become a stop string."""
        self.matched = [0]
        """By state: length of the longest stop string that ends here, 0 if none does."""
        for stop in stops:
            self._insert(stop)
        self._fall = self._link()

    def _insert(self, stop: str) -> None:
        state = _ROOT
        for character in stop:
            if character not in self._next[state]:
                self._next[state][character] = len(self._next)
                self._next.append({})
                self.depth.append(self.depth[state] + 1)
                self.matched.append(0)
            state = self._next[state][character]
        self.matched[state] = len(stop)

    def _link(self) -> list[int]:
        """By state: the state of its longest proper suffix that also begins a stop string."""
        fall = [_ROOT] * len(self._next)
        waiting = deque(self._next[_ROOT].values())
        while waiting:
            state = waiting.popleft()
            for character, child in self._next[state].items():
                shorter = fall[state]
                while shorter != _ROOT and character not in self._next[shorter]:
                    shorter = fall[shorter]
                fall[child] = self._next[shorter].get(character, _ROOT)
                self.matched[child] = self.matched[child] or self.matched[fall[child]]
                waiting.append(child)
        return fall

    def step(self, state: int, character: str) -> int:
        """The state after one more character; amortised constant time."""
        while state != _ROOT and character not in self._next[state]:
            state = self._fall[state]
        return self._next[state].get(character, _ROOT)


@lru_cache(maxsize=16)
def automaton(stops: tuple[str, ...]) -> StopAutomaton:
    """The automaton of these stop strings; the samples of one request share it."""
    return StopAutomaton(stops)


class StopMatcher:
    """Cuts a text that comes in pieces at its first stop string.

    The first is the one that ends first, and of those that end together the longest: nothing of it is given out.
    """

    def __init__(self, stops: list[str]) -> None:
        self._automaton = automaton(tuple(stops))
        self._state = _ROOT
        self._withheld = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        """What of the text so far is now known not to belong to a stop string and was not given out yet."""
        if self.stopped:
            return ""
        machine = self._automaton
        waiting = self._withheld + text
        for end, character in enumerate(text, len(self._withheld) + 1):
            self._state = machine.step(self._state, character)
            matched = machine.matched[self._state]
            if matched:
                self.stopped = True
                self._withheld = ""
                return waiting[:end - matched]
        safe = len(waiting) - machine.depth[self._state]
        self._withheld = waiting[safe:]
        return waiting[:safe]

    def finish(self) -> str:
        """The rest: the beginning of a stop string that never came."""
        rest, self._withheld = self._withheld, ""
        return rest
