"""The next window, computed while the present one is still in use, so that no token waits when it moves."""
from collections.abc import Sequence

from gpt2_assist.engine.prefix_tree import Branch, PrefixTree
from gpt2_assist.engine.window import window_start

_LEAST, MOST_AHEAD = 64, 96
"""Tokens computed at once: some ten milliseconds at 124M parameters."""
_FOR_EACH = 8
"""Computed for each token that the text grows by. A window moves by a quarter of the context and holds three quarters:
that is ready in time if it is begun when three eighths of the quarter are left. Begun sooner, it would more often be
for nothing; when idle, it is begun a whole quarter before."""
_LONG_STEPS = 32
"""Tokens that two steps may bring, where drafts are right."""


class Ahead:
    """Keys and values of the window that a text of more tokens will have."""

    def __init__(self, tree: PrefixTree, n_ctx: int, adapter: int) -> None:
        self._tree, self._n_ctx, self._adapter = tree, n_ctx, adapter
        self._branch: Branch | None = None
        self._start = 0
        self._grown = 0
        """Length of the text when a part was given last."""

    def next_part(self, tokens: Sequence[int], idle: bool = False) -> tuple[Branch, list[int]] | None:
        """The tokens to compute now for the text of `tokens`, if any; `idle`: nothing else is to be done."""
        stride = max(1, self._n_ctx // 4)
        near = max(stride * 3 // 8, min(stride, _LONG_STEPS))
        start = self._following(len(tokens), stride if idle else near)
        if start is None:
            return None
        if self._branch is None or start != self._start:
            self.close()
            self._branch, self._start = self._tree.acquire(list(tokens[start:-1]), self._adapter), start
        held = self._branch.length
        due = MOST_AHEAD if idle else min(MOST_AHEAD, _FOR_EACH * (len(tokens) - self._grown))
        part = list(tokens[start + held:len(tokens) - 1][:due])
        if not part or (not idle and due < _LEAST):
            return None
        self._grown = len(tokens)
        return self._branch, part

    def close(self) -> None:
        """Lets go of what was computed; it stays in the tree, where the moved window finds it."""
        if self._branch is not None:
            self._tree.release(self._branch)
            self._branch = None

    def _following(self, length: int, distance: int) -> int | None:
        """Where the next window starts, if it comes within so many tokens."""
        soon = window_start(length + distance, self._n_ctx)
        return soon if soon > window_start(length, self._n_ctx) else None
