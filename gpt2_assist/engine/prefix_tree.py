"""Which pages hold the keys and values of which tokens: texts that begin alike share them.

A radix tree over token ids, cut into blocks: a node at depth d holds the positions from BLOCK * d on of a window.
Knows token ids and pages, and nothing of what is in them. For one thread.
"""
import heapq
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from gpt2_assist.engine.pages import BLOCK, Pages

BATCH = 32
"""When a page is wanted and none is left, this part of the limit is evicted at once: finding what is least recently
used looks at every node."""


class _Node:
    """One block: 1 to BLOCK tokens and the page of their keys and values. Only a full one has children."""

    __slots__ = ("parent", "tokens", "page", "blocks", "starts", "users", "used")

    def __init__(self, parent: "_Node | None", tokens: list[int], page: int) -> None:
        self.parent: _Node = self if parent is None else parent  # a root is its own
        self.tokens, self.page = tokens, page
        self.blocks: dict[tuple[int, ...], _Node] = {}  # the full children
        self.starts: dict[int, list[_Node]] = {}  # all children, by their first token
        self.users = 0  # live branches that end here; one that ends below holds this node by its child
        self.used = 0  # time of the last use, by the tree's clock

    @property
    def idle(self) -> bool:
        return not self.users and not self.starts

    def link(self) -> None:
        self.parent.starts.setdefault(self.tokens[0], []).append(self)

    def unlink(self) -> None:
        siblings = self.parent.starts[self.tokens[0]]
        siblings.remove(self)
        if not siblings:
            del self.parent.starts[self.tokens[0]]
        block = tuple(self.tokens)
        if self.parent.blocks.get(block) is self:
            del self.parent.blocks[block]

    def siblings(self) -> list["_Node"]:
        """Those that begin with the same token."""
        return [node for node in self.parent.starts[self.tokens[0]] if node is not self]

    def covers(self, other: "_Node") -> bool:
        return self.tokens[:len(other.tokens)] == other.tokens


class Branch:
    """The pages of one live sequence. Made by `PrefixTree.acquire`, ended by `PrefixTree.release`."""

    def __init__(self, tree: "PrefixTree", path: list[_Node], tokens: list[int]) -> None:
        self.tokens = tokens
        """Those whose keys and values are held, from the window's start on."""
        self.pages = np.array([tree._pool.address(node.page) for node in path[1:]], dtype=np.int64)
        """Addresses [blocks]: position p of the window is in page p // BLOCK. `reserve` puts a longer array in its
        place; an address stays what it is as long as the branch lives."""
        self.live = True
        self._tree, self._path = tree, path
        self._spare: deque[int] = deque()  # reserved pages behind the last node
        self._doubles: list[int] = []  # pages of ours in whose place another branch's were put into the tree
        path[-1].users += 1

    @property
    def length(self) -> int:
        """Tokens held."""
        return len(self.tokens)

    def reserve(self, count: int) -> None:
        """Makes sure that there are pages for the positions below `count`; nobody else sees the new ones.

        Raises MemoryError when the system has no more, ValueError after the branch's release.
        """
        if not self.live:
            raise ValueError("the branch has been released")
        missing = -(-count // BLOCK) - len(self.pages)
        if missing <= 0:
            return
        pool = self._tree._pool
        self._tree._make_room(missing)
        for _ in range(missing):
            self._spare.append(pool.take())
            self.pages = np.append(self.pages, pool.address(self._spare[-1]))

    def commit(self, tokens: Sequence[int]) -> None:
        """The keys and values of `tokens` stand in the pages behind `length`: from now on others can share them.

        Raises ValueError where no page was reserved.
        """
        if self.length + len(tokens) > BLOCK * len(self.pages):
            raise ValueError("tokens are committed to pages that were not reserved")
        begin = 0
        while begin < len(tokens):
            filled = self.length % BLOCK
            piece = list(tokens[begin:begin + BLOCK - filled])
            if filled:
                self._path[-1].tokens += piece
            else:
                self._begin_block(piece)
            self.tokens += piece
            self._tree._held += len(piece)
            begin += len(piece)
            if self.length % BLOCK == 0:
                self._end_block()

    def _begin_block(self, tokens: list[int]) -> None:
        tip = self._path[-1]
        tip.users -= 1
        node = self._tree._insert(tip, tokens, self._spare.popleft())
        node.users = 1
        self._path.append(node)

    def _end_block(self) -> None:
        node = self._path[-1]
        twin = node.parent.blocks.setdefault(tuple(node.tokens), node)
        if twin is node:
            self._tree._drop_covered(node)
            return
        # The twin holds the same bits. Our page leaves the tree but not the branch: its address may be in use.
        self._tree._remove(node)
        self._doubles.append(node.page)
        twin.users += 1
        self._path[-1] = twin


class PrefixTree:
    """Keys and values of live and of earlier sequences, in one pool; the earlier ones go when a page is wanted and the
    pool is full, least recently used first. Where live sequences alone need more, the pool passes its limit.

    Reuse is exact to the token. Full blocks are shared; one that is shared in part is copied, so that nobody writes
    where another reads.
    """

    def __init__(self, pool: Pages) -> None:
        self._pool = pool
        self._roots: dict[int, _Node] = {}  # by adapter
        self._nodes: dict[int, _Node] = {}  # by page
        self._clock = 0
        self._held = 0
        self._live = 0  # branches

    def held_tokens(self) -> int:
        """Tokens whose keys and values are held, a block that several sequences share counted once."""
        return self._held

    def shared(self, tokens: Sequence[int], adapter: int = 0) -> int:
        """How many tokens at the beginning of `tokens` are held."""
        path, _, common = self._find(tokens, adapter)
        return BLOCK * (len(path) - 1) + common

    def acquire(self, tokens: Sequence[int], adapter: int = 0) -> Branch:
        """A branch for a sequence that begins with `tokens`. It holds as many of them as are shared, by sequences with
        the same adapter: with another one the same tokens have other keys and values.

        Raises MemoryError when the system has no page left for a copy.
        """
        path, near, common = self._find(tokens, adapter)
        held = list(tokens[:BLOCK * (len(path) - 1) + common])
        if near is not None:
            self._touch([near])
            path.append(self._own(near, common))
        self._live += 1
        return Branch(self, path, held)

    def release(self, branch: Branch) -> None:
        """The sequence has ended. What it committed stays until it is evicted; its other pages are free.

        Raises ValueError for a branch that was released before.
        """
        if not branch.live:
            raise ValueError("the branch has been released")
        branch.live = False
        self._live -= 1
        for page in (*branch._spare, *branch._doubles):
            self._pool.give(page)
        branch.pages = branch.pages[:0]
        self._touch(branch._path)
        tip = branch._path[-1]
        tip.users -= 1
        if 0 < len(tip.tokens) < BLOCK:
            self._settle(tip)
        self._make_room(0)

    def shrink(self, count: int, compact: Callable[[], dict[int, int]]) -> None:
        """Keeps the `count` pages that were used last and has the pool give back the memory of all others: `compact`
        gives the pages' new numbers by the old ones. For times without live branches, which know their pages'
        addresses: raises ValueError where there are some."""
        if self._live:
            raise ValueError("there are live branches")
        self._evict(self._pool.used - count)
        moved = compact()
        for page, node in self._nodes.items():
            node.page = moved[page]
        self._nodes = {node.page: node for node in self._nodes.values()}

    def _find(self, tokens: Sequence[int], adapter: int) -> tuple[list[_Node], _Node | None, int]:
        """The path of full blocks that `tokens` begin with, from the root on; then the node that has most in common
        with what follows, and how many tokens."""
        if adapter not in self._roots:
            self._roots[adapter] = _Node(None, [], -1)
            self._roots[adapter].users = 1  # never idle
        path = [self._roots[adapter]]
        block = tuple(tokens[:BLOCK])
        while (child := path[-1].blocks.get(block)) is not None:
            path.append(child)
            block = tuple(tokens[BLOCK * (len(path) - 1):BLOCK * len(path)])
        best, most = None, 0
        for node in path[-1].starts.get(block[0], ()) if block else ():
            common = _common(node.tokens, block)
            if common > most:
                best, most = node, common
        return path, best, most

    def _own(self, near: _Node, common: int) -> _Node:
        """A node with the first `common` tokens of `near` that one branch alone may write to."""
        if near.idle and common == len(near.tokens):
            return near
        near.users += 1  # not to be evicted for the sake of its copy
        self._make_room(1)
        near.users -= 1
        if near.idle and self._pool.full:
            return self._cut(near, common)
        page = self._pool.take()
        self._pool.copy(near.page, page)
        self._held += common
        return self._insert(near.parent, near.tokens[:common], page)

    def _cut(self, node: _Node, count: int) -> _Node:
        node.unlink()
        self._held -= len(node.tokens) - count
        node.tokens = node.tokens[:count]
        node.link()
        return node

    def _insert(self, parent: _Node, tokens: list[int], page: int) -> _Node:
        node = self._nodes[page] = _Node(parent, tokens, page)
        node.link()
        return node

    def _remove(self, node: _Node) -> None:
        """Takes a childless node out of the tree; its page is the caller's."""
        node.unlink()
        del self._nodes[node.page]
        self._held -= len(node.tokens)

    def _drop(self, node: _Node) -> None:
        self._remove(node)
        self._pool.give(node.page)

    def _drop_covered(self, node: _Node) -> None:
        """Drops idle siblings that hold nothing that `node` does not hold."""
        for sibling in node.siblings():
            if sibling.idle and node.covers(sibling):
                self._drop(sibling)

    def _settle(self, tip: _Node) -> None:
        """Keeps the last block of a released branch, unless another holds as much."""
        covering = next((sibling for sibling in tip.siblings() if sibling.covers(tip)), None)
        if covering is None:
            self._drop_covered(tip)
        else:
            covering.used = tip.used
            self._drop(tip)

    def _touch(self, nodes: list[_Node]) -> None:
        self._clock += 1
        for node in nodes:
            node.used = self._clock

    def _make_room(self, count: int) -> None:
        """Evicts until `count` pages more fit the limit, or nothing is left that could go."""
        excess = self._pool.used + count - self._pool.limit
        if excess <= 0:
            return
        self._evict(max(excess, self._pool.limit // BATCH) if count else excess)

    def _evict(self, wanted: int) -> None:
        """Evicts so many pages, least recently used first, or as many as can go."""
        oldest = [(node.used, page) for page, node in self._nodes.items() if node.idle]
        heapq.heapify(oldest)
        while oldest and wanted > 0:
            node = self._nodes[heapq.heappop(oldest)[1]]
            self._drop(node)
            wanted -= 1
            if node.parent.idle:
                heapq.heappush(oldest, (node.parent.used, node.parent.page))


def _common(held: list[int], block: tuple[int, ...]) -> int:
    """How many tokens at their beginning two blocks have in common."""
    limit = min(len(held), len(block))
    return next((place for place in range(limit) if held[place] != block[place]), limit)
