"""Drafts without a draft model: what followed the same words before, in this text or in another that was seen.

Token ids only. A draft is a guess that the engine verifies, so nothing here changes a text: it costs time or saves it.
Place: the number of a token within an index; 0 stands for "nowhere", as no n-gram is followed by token 0.
"""
from array import array
from collections import deque
from collections.abc import Sequence

from gpt2_assist.engine.window import window_start

COSTS = (1.0, 1.06, 1.1, 1.2, 1.35, 1.5, 1.6, 1.7)
"""Time of a step with 1, 2, ... rows, relative to a step with one, where the engine has not measured its own."""

_OWN_ORDERS = (2, 3, 4)
_SHARED_ORDERS = (3, 4)
_LONGEST = 4
_END = -1
_TEXT_ROOM = 4096
_TEXTS = 16
_VOLUMES = 4
_KNOWN_RUN = 16

_FAR = 16
_LEVEL = (0, 0, 0, 1, 2, 2, 3, 3, *[4] * 8, 5)
"""By matched tokens, up to `_FAR`: the class whose acceptance is estimated together."""
_OWN_PRIOR = (0.15, 0.3, 0.4, 0.6, 0.8, 0.9)
_SHARED_PRIOR = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
_FAST, _SLOW = 1 / 8, 1 / 64
_MARGIN = 1.02
_LOSS = 1.0
_SHORTEST_PAUSE, _LONGEST_PAUSE = 16, 512
_HITS_TO_RESUME = 4


class GramIndex:
    """Up to `room` token ids in a row, and for every n-gram where its latest occurrence went on.

    Hashing with linear probing in flat arrays takes about 40 bytes a token, where dictionaries would take 300. What an
    entry replaced is kept, so that `cut` undoes appending exactly, newest first, which leaves no gap in a probe.
    """

    def __init__(self, orders: Sequence[int], room: int) -> None:
        """`orders`: the lengths n, rising."""
        self.tokens = array("i")
        self.orders, self.room = tuple(orders), room
        self._mask = (1 << (2 * room - 1).bit_length()) - 1
        self._slots = [array("i", bytes(4 * (self._mask + 1))) for _ in self.orders]
        self._replaced = [array("i") for _ in self.orders]

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def full(self) -> bool:
        return len(self.tokens) >= self.room

    def append(self, token: int) -> None:
        """One more token, not negative, of the text at the end; not when full."""
        tokens = self.tokens
        place = len(tokens)
        for n, slots, replaced in zip(self.orders, self._slots, self._replaced):
            if place >= n:
                slot = self._slot(slots, tokens[place - n:place])
                replaced.append(slots[slot])
                slots[slot] = place
            else:
                replaced.append(0)
        tokens.append(token)

    def end_text(self) -> None:
        """No n-gram is found across this point, and `following` stops here. Not to be cut away."""
        self.tokens.append(_END)
        for replaced in self._replaced:
            replaced.append(0)

    def cut(self, length: int) -> None:
        """Back to the first `length` tokens, as if the others had never been appended."""
        tokens = self.tokens
        while len(tokens) > length:
            tokens.pop()
            place = len(tokens)
            for n, slots, replaced in zip(self.orders, self._slots, self._replaced):
                before = replaced.pop()
                if place >= n:
                    slots[self._slot(slots, tokens[place - n:place])] = before

    def copy(self) -> "GramIndex":
        other = object.__new__(GramIndex)
        other.tokens = self.tokens[:]
        other.orders, other.room, other._mask = self.orders, self.room, self._mask
        other._slots = [slots[:] for slots in self._slots]
        other._replaced = [replaced[:] for replaced in self._replaced]
        return other

    def longest(self, ending: array) -> tuple[int, int]:
        """(n, place): behind the latest occurrence of the longest n-gram at the end of `ending`, or (0, 0)."""
        best = 0, 0
        for n, slots in zip(self.orders, self._slots):
            place = slots[self._slot(slots, ending[-n:])] if n <= len(ending) else 0
            if not place:
                break  # a longer n-gram would hold this one
            best = n, place
        return best

    def following(self, place: int, count: int) -> list[int]:
        """Up to `count` tokens from `place` on, to the end of their text."""
        found = self.tokens[place:place + count].tolist()
        return found[:found.index(_END)] if _END in found else found

    def matched(self, place: int, ending: array) -> int:
        """How many tokens before `place` equal the end of `ending`, at most `_FAR`."""
        tokens, length = self.tokens, 0
        most = min(_FAR, place, len(ending))
        while length < most and tokens[place - 1 - length] == ending[-1 - length]:
            length += 1
        return length

    def _slot(self, slots: array, gram: array) -> int:
        """Where the entry of `gram` is or would be."""
        tokens, mask, n = self.tokens, self._mask, len(gram)
        slot = hash(gram.tobytes()) & mask
        while (place := slots[slot]) and tokens[place - n:place] != gram:
            slot = (slot + 1) & mask
        return slot


class KnownText:
    """The recent part of one text with its index. Lent to one drafter at a time while `live`."""

    def __init__(self) -> None:
        self.index = GramIndex(_OWN_ORDERS, _TEXT_ROOM)
        self.stored = 0
        """So many of its tokens, from the first, has the history taken in."""
        self.live = True

    def copy(self) -> "KnownText":
        other = object.__new__(KnownText)
        other.index, other.stored, other.live = self.index.copy(), self.stored, True
        return other

    def cut(self, length: int) -> None:
        self.index.cut(length)
        self.stored = min(self.stored, length)


class History:
    """Token ids of the texts that the worker has seen, new tokens too, for drafts of all sequences.

    Holds at most `capacity` tokens in volumes, the oldest of which goes as a whole, and beside them the last few texts
    with an index of their own, so that a text that comes again, longer or with another end, costs what is new in it:
    10 MB in all at 1 << 18. Runs of tokens that the volumes would have foretold are not stored again: the latest
    occurrence is the latest that was news.
    """

    def __init__(self, capacity: int = 1 << 18) -> None:
        self._volume_room = max(_LONGEST + 2, capacity // _VOLUMES)
        self.volumes: deque[GramIndex] = deque(maxlen=_VOLUMES)
        """Newest first."""
        self.rates = [*_OWN_PRIOR, *_SHARED_PRIOR]
        """Share of tokens foretold rightly, by class of match, over all sequences: where a drafter starts from."""
        self._texts: list[KnownText] = []

    def __len__(self) -> int:
        """Tokens stored in the volumes."""
        return sum(map(len, self.volumes))

    def add(self, tokens: Sequence[int]) -> None:
        """Takes in a text that nobody drafts for, all of it."""
        text = self.open(tokens)
        if not text.stored:
            self._store(array("i", tokens[:len(tokens) - len(text.index)]), 0)
        self.close(text)

    def open(self, tokens: Sequence[int]) -> KnownText:
        """The text that ends with `tokens`, for one user until `close`.

        Where a text of late has the same beginning, only the rest is indexed.
        """
        recent = array("i", tokens[window_start(len(tokens), _TEXT_ROOM):])
        common, text = 0, None
        for known in reversed(self._texts):
            shared = _common(known.index.tokens, recent)
            if shared > common and 2 * shared >= len(known.index):
                common, text = shared, known
        if text is None:
            text = KnownText()
        elif text.live:
            text = text.copy()
        else:
            self._texts.remove(text)
        text.live = True
        text.cut(common)
        for token in recent[common:]:
            text.index.append(token)
        self._texts.append(text)
        del self._texts[:-_TEXTS]
        return text

    def append(self, text: KnownText, token: int) -> None:
        """One more token of an open text. `text.index` may be another afterwards: a full one loses its older part."""
        if text.index.full:
            self._store_rest(text)
            recent, text.index = text.index.tokens, GramIndex(_OWN_ORDERS, _TEXT_ROOM)
            for kept in recent[_TEXT_ROOM // 4:]:
                text.index.append(kept)
            text.stored = len(text.index)
        text.index.append(token)

    def close(self, text: KnownText) -> None:
        """Stores what is new and keeps the text for the next that begins like it."""
        self._store_rest(text)
        text.live = False

    def longest(self, ending: array) -> tuple[int, GramIndex | None, int]:
        """(n, volume, place): as GramIndex.longest, of equal n the latest that was stored; n is 3, 4 or 0."""
        best = 0, None, 0
        for volume in self.volumes:
            n, place = volume.longest(ending)
            if n > best[0]:
                best = n, volume, place
            if n == _LONGEST:
                break
        return best

    def observe(self, level: int, foretold: bool) -> None:
        self.rates[level] += (foretold - self.rates[level]) * _SLOW

    def _store_rest(self, text: KnownText) -> None:
        self._store(text.index.tokens, text.stored)
        text.stored = len(text.index)

    def _store(self, tokens: array, start: int) -> None:
        """Takes in tokens[start:], less the runs that are known, each stretch with the n-gram before it."""
        known_run, storing = _KNOWN_RUN, False
        first = min(len(tokens), max(start, _LONGEST))
        if start < first and not (first < len(tokens) and self._known(tokens, first)):
            known_run, first = 0, start
        for place in range(first, len(tokens)):
            known_run = known_run + 1 if self._known(tokens, place) else 0
            if known_run < _KNOWN_RUN:
                self._put(tokens, place, storing)
            storing = known_run < _KNOWN_RUN

    def _known(self, tokens: array, place: int) -> bool:
        """Whether the volumes foretell this token from the longest n-gram before it."""
        if place < _LONGEST:
            return False
        n, volume, found = self.longest(tokens[place - _LONGEST:place])
        return n == _LONGEST and volume is not None and volume.tokens[found] == tokens[place]

    def _put(self, tokens: array, place: int, storing: bool) -> None:
        """Stores one token; `storing`: the one before it was the last to be stored."""
        before = tokens[max(0, place - _LONGEST):place]
        volume = self.volumes[0] if self.volumes else None
        if volume is None or len(volume) + _LONGEST + 2 > self._volume_room:
            volume, storing = GramIndex(_SHARED_ORDERS, self._volume_room), False
            self.volumes.appendleft(volume)
        if not storing and not (len(before) == _LONGEST and volume.tokens[-_LONGEST:] == before):
            volume.end_text()
            for token in before:
                volume.append(token)
        volume.append(tokens[place])


class Drafter:
    """Drafts for one sequence: `draft`, then `extend` by what came of it and `verified`, and at its end `close`.

    It follows the place where the text's last 4, 3 or 2 tokens went on before, the longest first, in its own text
    rather than in another, as long as that place foretells the text. Every token of the text, drafted or not, shows
    for free whether the draft would have been right; the estimates of that, by length of match, decide how much to
    draft. Should drafts cost more than they save all the same, it pauses for a number of tokens that doubles each time.
    """

    def __init__(self, history: History, tokens: Sequence[int], costs: Sequence[float] = COSTS) -> None:
        """`costs`: time of steps with 1, 2, ... rows, in any unit; may be replaced between steps as a batch changes."""
        self.costs = costs
        self._history = history
        self._text = history.open(tokens)
        self._rates = list(history.rates)
        self._source: GramIndex | None = None
        self._place = self._length = self._hits = 0
        self._balance, self._pause, self._waiting = 0.0, _SHORTEST_PAUSE, 0
        self._find()

    def draft(self, limit: int) -> list[int]:
        """The next tokens as they may well be, at most `limit`: as many as should save the most time, often none."""
        most = min(limit, len(self.costs) - 1)
        if self._source is None or self._waiting or most <= 0:
            return []
        guess = self._guess(self._source, most)
        best, best_speed = 0, _MARGIN / self.costs[0]
        reached = expected = 1.0
        for drafted in range(1, len(guess) + 1):
            reached *= self._rates[self._level(self._length + drafted - 1)]
            expected += reached
            if expected / self.costs[drafted] > best_speed:
                best, best_speed = drafted, expected / self.costs[drafted]
        return guess[:best]

    def extend(self, tokens: Sequence[int]) -> None:
        """Tokens that the text went on with, however they were found."""
        for token in tokens:
            self._waiting = max(0, self._waiting - 1)
            self._follow(token)
            self._history.append(self._text, token)
            if self._length < _LONGEST:
                self._find()

    def verified(self, drafted: int, accepted: int) -> None:
        """How a step went that checked `drafted` tokens, of which the first `accepted` were right."""
        if not drafted:
            return
        one = self.costs[0]
        spent = self.costs[min(drafted, len(self.costs) - 1)] - one
        self._balance = min(_LOSS, self._balance + accepted - spent / one)
        if self._balance > 0:
            self._pause = _SHORTEST_PAUSE
        elif self._balance < -_LOSS:
            self._waiting, self._pause = self._pause, min(2 * self._pause, _LONGEST_PAUSE)
            self._balance, self._hits = 0.0, 0

    def close(self) -> None:
        """Hands the text to the history. The drafter is of no use afterwards."""
        self._history.close(self._text)

    def _guess(self, source: GramIndex, count: int) -> list[int]:
        guess = source.following(self._place, count)
        if source is self._text.index:
            period = len(source) - self._place
            while len(guess) < count:
                guess.append(guess[-period])
        return guess

    def _follow(self, token: int) -> None:
        """Notes whether the followed place foretells `token`, and leaves it where not."""
        foretold = self._source.following(self._place, 1) if self._source is not None else []
        if foretold:
            level = self._level(self._length)
            right = foretold[0] == token
            self._rates[level] += (right - self._rates[level]) * _FAST
            self._history.observe(level, right)
            if right:
                self._place, self._length, self._hits = self._place + 1, self._length + 1, self._hits + 1
                if self._hits >= _HITS_TO_RESUME:
                    self._waiting = 0
                return
        self._source, self._length, self._hits = None, 0, 0

    def _find(self) -> None:
        """Looks for a longer match than the present one."""
        own = self._text.index
        ending = own.tokens[-_LONGEST:]
        source = own
        n, place = own.longest(ending)
        if n < _LONGEST:
            shared, volume, there = self._history.longest(ending)
            if shared > n and volume is not None:
                n, source, place = shared, volume, there
        if n > self._length:
            self._source, self._place = source, place
            self._length = source.matched(place, own.tokens)

    def _level(self, length: int) -> int:
        base = 0 if self._source is self._text.index else len(_OWN_PRIOR)
        return base + _LEVEL[min(length, _FAR)]


def _common(a: array, b: array) -> int:
    """Length of the common beginning, by comparing blocks, ever smaller ones after the first difference."""
    end, block, length = min(len(a), len(b)), 1024, 0
    while block:
        if length + block <= end and a[length:length + block] == b[length:length + block]:
            length += block
        else:
            block //= 2
    return length
