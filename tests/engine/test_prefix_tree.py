"""The promises of the prefix tree: after whatever happened, a branch's pages hold what belongs to its tokens.

A page is played by 2 x BLOCK numbers. At a position stands a stamp of the whole prefix up to its token, in the second
half its negative; so a test reads back whose content it is. The slow, obvious version is a list of token lists.
"""
import ctypes
from collections import OrderedDict
from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gpt2_assist.engine.cpu.pages import PagePool
from gpt2_assist.engine.pages import BLOCK
from gpt2_assist.engine.prefix_tree import BATCH, Branch, PrefixTree

PAGE_BYTES = 2 * BLOCK * 8


def stamps(tokens: Sequence[int]) -> list[int]:
    """For each token a number that stands for all tokens up to it."""
    found, value = [], 1
    for token in tokens:
        value = (value * 6364136223846793005 + token + 1442695040888963407) % (2**61 - 1)
        found.append(value)
    return found


def page_at(address: int) -> np.ndarray:
    return np.frombuffer((ctypes.c_int64 * (2 * BLOCK)).from_address(int(address)), dtype=np.int64).reshape(2, BLOCK)


def write(branch: Branch, tokens: Sequence[int]) -> None:
    """What a model would do: keys and values of `tokens` into the pages behind the branch's length."""
    for position, stamp in enumerate(stamps([*branch.tokens, *tokens])[branch.length:], start=branch.length):
        page_at(branch.pages[position // BLOCK])[:, position % BLOCK] = stamp, -stamp


def read(branch: Branch) -> list[int]:
    """The stamps that stand in a branch's pages."""
    pages = np.array([page_at(address) for address in branch.pages]).reshape(-1, 2, BLOCK)
    values = pages.transpose(1, 0, 2).reshape(2, -1)[:, :branch.length]
    assert (values[1] == -values[0]).all()
    return values[0].tolist()


def common(a: Sequence[int], b: Sequence[int]) -> int:
    return next((place for place, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


def extend(branch: Branch, tokens: Sequence[int]) -> None:
    branch.reserve(branch.length + len(tokens))
    write(branch, tokens)
    branch.commit(tokens)


def remember(tree: PrefixTree, tokens: Sequence[int]) -> None:
    """A sequence comes and goes."""
    branch = tree.acquire(tokens)
    extend(branch, tokens[branch.length:])
    tree.release(branch)


class World:
    """A tree in use, and beside it what must be true of it."""

    def __init__(self, limit: int) -> None:
        self.pool = PagePool(PAGE_BYTES, limit * PAGE_BYTES)
        self.tree = PrefixTree(self.pool)
        self.live: list[Branch] = []
        self.told: list[list[int]] = []  # every text that ever was committed
        self.doubles: dict[int, set[tuple[int, ...]]] = {}  # by branch: blocks it computed though another had them
        self.evicted = False

    def open(self, text: list[int]) -> None:
        expected = self.tree.shared(text)
        branch = self.tree.acquire(text)
        assert branch.length == expected and branch.tokens == text[:expected]
        self.live.append(branch)
        self.doubles[id(branch)] = set()

    def extend(self, which: int, tokens: list[int], ahead: int) -> None:
        """Computes `tokens` and `ahead` positions of drafts that are refused, whose content is nobody's business."""
        branch = self.live[which]
        pages = branch.pages.tolist()
        branch.reserve(branch.length + len(tokens) + ahead)
        assert len(branch.pages) * BLOCK >= branch.length + len(tokens) + ahead
        write(branch, [*tokens, *[-1] * ahead])
        text = [*branch.tokens, *tokens]
        for end in range(branch.length // BLOCK * BLOCK + BLOCK, len(text) + 1, BLOCK):
            if self.tree.shared(text[:end]) == end:
                self.doubles[id(branch)].add(tuple(text[:end]))
        branch.commit(tokens)
        assert branch.tokens == text and branch.length == len(text)
        assert branch.pages[:len(pages)].tolist() == pages, "an address changed under a live branch"
        assert self.tree.shared(text) == len(text), "what was committed is visible at once"
        self.told.append(text)

    def close(self, which: int) -> None:
        branch = self.live.pop(which)
        text = branch.tokens
        self.tree.release(branch)
        del self.doubles[id(branch)]
        if self.pool.limit > 1000:
            assert self.tree.shared(text) == len(text)

    def shrink(self, count: int) -> None:
        """All sequences end, and earlier texts give their memory back, but for some pages."""
        while self.live:
            self.close(0)
        self.tree.shrink(count, self.pool.compact)
        assert self.pool.used <= count and self.pool.mapped < self.pool.used + self.pool._slab_pages
        self.told = [text[:self.tree.shared(text)] for text in self.told]

    def texts(self) -> list[list[int]]:
        return [[], *self.told[-40:], *(branch.tokens for branch in self.live)]

    def check_contents(self) -> None:
        for branch in self.live:
            assert read(branch) == stamps(branch.tokens)

    def check_sizes(self) -> None:
        needed = {address for branch in self.live for address in branch.pages.tolist()}
        doubled = set().union(*self.doubles.values())
        assert len(needed) <= self.pool.used <= max(self.pool.limit, len(needed) + len(doubled))
        assert self.tree.held_tokens() <= BLOCK * self.pool.used
        prefixes = {tuple(branch.tokens[:end]) for branch in self.live for end in range(1, branch.length + 1)}
        assert self.tree.held_tokens() >= len(prefixes)

    def check_own_pages(self) -> None:
        """Two branches share a page only where it is full, and then all tokens up to its end."""
        owner: dict[int, tuple[int, ...]] = {}
        for number, branch in enumerate(self.live):
            for place, address in enumerate(branch.pages.tolist()):
                end = BLOCK * (place + 1)
                whose = tuple(branch.tokens[:end]) if end <= branch.length else (-1, number, place)
                assert owner.setdefault(address, whose) == whose

    def check_shared(self, text: list[int]) -> None:
        held = self.tree.shared(text)
        assert held >= max((common(branch.tokens, text) for branch in self.live), default=0)
        most = max((common(told, text) for told in self.told), default=0)
        assert held == most if self.pool.limit > 1000 else held <= most

    def check_end(self) -> None:
        """All sequences end; then one that takes all the room leaves nothing of the others: no page has leaked."""
        while self.live:
            self.check_contents()
            self.close(0)
            self.check_sizes()
        assert self.pool.used <= self.pool.limit
        branch = self.tree.acquire([-5])
        branch.reserve(BLOCK * self.pool.limit)
        assert self.pool.used == self.pool.limit and self.tree.held_tokens() == 0
        self.tree.release(branch)
        assert self.pool.used == 0 and self.pool.mapped <= self.pool.limit


LIMITS = st.sampled_from([0, 1, 2, 3, 5, 9, 20, 60, 2000])


@settings(max_examples=40, deadline=None)
@given(LIMITS, st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 3), st.sampled_from([0, 1, 3, 20]))
def test_pages_hold_what_belongs_to_the_tokens_whatever_happened(limit, seed, most_live, vocabulary, ahead):
    world, dice = World(limit), Random(seed)
    for _ in range(120):
        deed = dice.random()
        if deed < 0.01:
            world.shrink(dice.randint(0, 6))
        elif not world.live or deed < 0.3 and len(world.live) < most_live:
            base = dice.choice(world.texts())
            cut = dice.choice([0, len(base), dice.randint(0, len(base)), dice.randint(0, len(base)) // BLOCK * BLOCK])
            world.open(base[:cut] + dice.choices(range(vocabulary), k=dice.choice([0, 0, 1, 5, 40])))
        elif deed < 0.8:
            size = dice.choice([0, 1, 1, 1, 2, 7, 15, 16, 17, 40])
            other = dice.choice(world.texts())
            which = dice.randrange(len(world.live))
            length = world.live[which].length
            tokens = dice.choice([dice.choices(range(vocabulary), k=size), other[length:length + size]])
            world.extend(which, tokens, dice.randint(0, ahead))
        else:
            world.close(dice.randrange(len(world.live)))
        world.check_contents()
        world.check_sizes()
        world.check_own_pages()
        world.check_shared(dice.choice(world.texts()) + [0])
    world.check_end()


SHORT = st.lists(st.integers(0, 1), max_size=3)
PIECE = st.one_of(SHORT, st.integers(0, 35).map(lambda size: [0] * size),
                  st.builds(lambda size, end: [0] * size + end, st.integers(0, 35), SHORT))


class TreeMachine(RuleBasedStateMachine):
    """The same world, driven step by step: what fails is cut down to the few steps that matter."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(5)

    @rule(text=PIECE)
    def open(self, text):
        self.world.open(text)

    @precondition(lambda self: self.world.live)
    @rule(which=st.integers(0, 99), tokens=PIECE, ahead=st.sampled_from([0, 0, 2, 17]))
    def extend(self, which, tokens, ahead):
        self.world.extend(which % len(self.world.live), tokens, ahead)

    @precondition(lambda self: self.world.live)
    @rule(which=st.integers(0, 99))
    def close(self, which):
        self.world.close(which % len(self.world.live))

    @rule(count=st.integers(0, 6))
    def shrink(self, count):
        self.world.shrink(count)

    @rule(text=PIECE)
    def ask(self, text):
        self.world.check_shared(text)

    @invariant()
    def pages_are_right(self):
        self.world.check_contents()
        self.world.check_sizes()
        self.world.check_own_pages()

    def teardown(self):
        self.world.check_end()


TestTreeStepByStep = TreeMachine.TestCase
TestTreeStepByStep.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 6), st.lists(st.integers(0, 8), max_size=60))
def test_what_was_used_least_recently_goes_first(limit, uses):
    """Texts of one block each, beside an ordered dictionary."""
    tree, slow = PrefixTree(PagePool(PAGE_BYTES, limit * PAGE_BYTES)), OrderedDict()
    for name in uses:
        remember(tree, [name] * BLOCK)
        slow[name] = True
        slow.move_to_end(name)
        if len(slow) > limit:
            slow.popitem(last=False)
        assert [name for name in range(9) if tree.shared([name] * BLOCK)] == sorted(slow)
        assert tree.held_tokens() == BLOCK * len(slow)


def test_what_was_copied_from_counts_as_used():
    tree = PrefixTree(PagePool(PAGE_BYTES, 3 * PAGE_BYTES))
    remember(tree, [1] * 10)
    remember(tree, [2] * 10)
    remember(tree, [1] * 5 + [9])
    remember(tree, [3] * 10)
    assert tree.shared([1] * 10) == 10 and tree.shared([2] * 10) == 0


def test_what_holds_all_that_an_ended_sequence_held_counts_as_used():
    tree = PrefixTree(PagePool(PAGE_BYTES, 3 * PAGE_BYTES))
    remember(tree, [1] * 10)
    branch = tree.acquire([1] * 5)
    remember(tree, [2] * 10)
    tree.release(branch)
    remember(tree, [3] * 2 * BLOCK)
    assert tree.shared([1] * 10) == 10 and tree.shared([2] * 10) == 0


def test_a_text_is_evicted_from_its_end_and_a_beginning_that_others_use_stays():
    tree = PrefixTree(PagePool(PAGE_BYTES, 4 * PAGE_BYTES))
    old = list(range(3 * BLOCK))
    remember(tree, old)
    live = tree.acquire(old[:BLOCK])
    live.reserve(3 * BLOCK)
    assert tree.shared(old) == 2 * BLOCK
    live.reserve(4 * BLOCK)
    assert tree.shared(old) == BLOCK
    live.reserve(9 * BLOCK)
    assert tree.shared(old) == BLOCK, "a live branch keeps what it stands on, beyond the limit too"


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 30])
def test_what_is_kept_of_earlier_texts_is_the_last(count):
    pool = PagePool(PAGE_BYTES, 100 * PAGE_BYTES)
    tree = PrefixTree(pool)
    for name in range(9):
        remember(tree, [name] * 2 * BLOCK)
    tree.shrink(count, pool.compact)
    left = [tree.shared([name] * 2 * BLOCK) // BLOCK for name in range(9)]
    assert left == [min(2, max(0, count - 2 * (8 - name))) for name in range(9)]
    for name in range(9):
        branch = tree.acquire([name] * 2 * BLOCK)
        assert read(branch) == stamps([name] * branch.length)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_reuse_is_exact_to_the_token(size, cut, more):
    tree = PrefixTree(PagePool(PAGE_BYTES, 100 * PAGE_BYTES))
    remember(tree, [1] * size)
    text = [1] * cut + [2] * more
    branch = tree.acquire(text)
    assert branch.length == tree.shared(text) == min(size, cut)
    assert read(branch) == stamps(text[:min(size, cut)])


def test_a_text_that_merely_goes_on_takes_its_last_page_over_and_one_that_departs_copies_it():
    pool = PagePool(PAGE_BYTES, 100 * PAGE_BYTES)
    tree = PrefixTree(pool)
    text = list(range(20))
    remember(tree, text)
    first = tree.acquire([*text, 50])
    assert first.length == 20 and pool.used == 2
    second = tree.acquire([*text, 60])
    assert second.length == 20 and pool.used == 3
    assert first.pages[0] == second.pages[0] and first.pages[1] != second.pages[1]
    extend(first, [50, 51])
    extend(second, [60, 61])
    assert read(first) == stamps([*text, 50, 51]) and read(second) == stamps([*text, 60, 61])


def test_with_the_pool_full_an_unused_block_is_cut_where_no_page_is_left_for_its_copy():
    pool = PagePool(PAGE_BYTES, PAGE_BYTES)
    tree = PrefixTree(pool)
    remember(tree, list(range(BLOCK)))
    branch = tree.acquire([0, 1, 2, 99])
    assert branch.tokens == [0, 1, 2] and pool.used == 1 and tree.held_tokens() == 3
    extend(branch, [99])
    assert read(branch) == stamps([0, 1, 2, 99])


def test_eviction_for_a_copy_spares_what_is_copied_and_what_comes_before_it():
    limit = 2 * BATCH  # where two pages are evicted at once
    pool = PagePool(PAGE_BYTES, limit * PAGE_BYTES)
    tree = PrefixTree(pool)
    text = list(range(20))
    remember(tree, text)
    tree.acquire([-5]).reserve(BLOCK * (limit - 2))
    assert pool.full
    branch = tree.acquire([*text[:18], 99])
    assert branch.tokens == text[:18] and pool.used == limit
    extend(branch, [99])
    assert read(branch) == stamps([*text[:18], 99])
    tree.release(branch)
    assert tree.shared([*text[:18], 99]) == 19


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from([0, 1, 7])), min_size=1, max_size=6), st.randoms())
def test_sequences_that_computed_the_same_leave_it_once(texts, dice):
    """Whatever was live at once: in the end every prefix is held once, as far as full blocks go, and no block lies in
    another."""
    pool = PagePool(PAGE_BYTES, 1000 * PAGE_BYTES)
    tree = PrefixTree(pool)
    texts = [[7] * size + [end] * 3 for size, end in texts]
    branches = [tree.acquire(text) for text in texts]
    waiting = [(branch, text) for branch, text in zip(branches, texts)]
    while waiting:
        branch, text = dice.choice(waiting)
        if branch.length < len(text):
            extend(branch, text[branch.length:branch.length + dice.randint(1, 20)])
        else:
            waiting.remove((branch, text))
            tree.release(branch)
    blocks = {tuple(text[:end]) for text in texts for end in range(BLOCK, len(text) + 1, BLOCK)}
    tails = {tuple(text) for text in texts if len(text) % BLOCK}
    open_tails = {tail for tail in tails if not any(
        other != tail and other[:len(tail)] == tail for other in blocks | tails
        if (len(other) - 1) // BLOCK == (len(tail) - 1) // BLOCK)}
    assert pool.used == len(blocks) + len(open_tails)
    assert tree.held_tokens() == BLOCK * len(blocks) + sum(len(tail) % BLOCK for tail in open_tails)


def test_misuse_is_refused_and_harms_nothing():
    tree = PrefixTree(PagePool(PAGE_BYTES, 10 * PAGE_BYTES))
    branch = tree.acquire([1, 2])
    with pytest.raises(ValueError, match="not reserved"):
        branch.commit([1])
    branch.reserve(3)
    with pytest.raises(ValueError, match="not reserved"):
        branch.commit([1] * (BLOCK + 1))
    extend(branch, [1, 2])
    with pytest.raises(ValueError, match="live branches"):
        tree.shrink(0, dict)
    tree.release(branch)
    with pytest.raises(ValueError, match="released"):
        tree.release(branch)
    with pytest.raises(ValueError, match="released"):
        branch.reserve(40)
    with pytest.raises(ValueError, match="not reserved"):
        branch.commit([3])
    assert tree.shared([1, 2, 3]) == tree.held_tokens() == 2


def test_a_branch_that_the_system_has_no_memory_for_can_still_be_released():
    tree = PrefixTree(PagePool(1 << 60, 0))
    branch = tree.acquire([1, 2])
    with pytest.raises(MemoryError):
        branch.reserve(2)
    assert len(branch.pages) == 0
    tree.release(branch)
    assert tree.held_tokens() == 0
