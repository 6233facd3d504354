"""One step: some rows of tokens through the whole model, in a fixed series of kernels over memory that stays in place.

On a card each series is captured once as a CUDA graph, so that a step is one launch; elsewhere it is run as it is.
R: rows, D: the model's width, A: that of all its heads, V: its vocabulary.
"""
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from gpt2_assist.architectures.description import Decoder
from gpt2_assist.engine.cuda import rows, shapes
from gpt2_assist.engine.cuda.pool import DevicePages
from gpt2_assist.engine.cuda.rows import RowTable
from gpt2_assist.engine.cuda.shapes import CACHE, HEADS, INNER, MIXED, NORM, PARTS, PLAIN, STREAM
from gpt2_assist.engine.cuda.weights import A_LAYER, CardMatrix, Norm, Weights
from gpt2_assist.engine.pages import BLOCK


@dataclass(frozen=True)
class StepRows:
    """Rows of a step, and what is in work for them."""

    count: int
    together: int
    """Rows that have a page table and attention's programs in common: 1 in decoding, 16 in a prefill of one text."""
    splits: int
    """Parts that the rows' keys are cut into at most."""
    fields: torch.Tensor
    pages: torch.Tensor
    queries: torch.Tensor
    """[R, A]; then attention's output."""
    heads: torch.Tensor
    """[R, A and twice the width of keys] in float32: queries, keys and values that are yet to be normed and turned."""
    mixed: torch.Tensor
    """[R, splits of a window, A], with `extremes` [R, splits of a window, heads, 2]."""
    extremes: torch.Tensor
    inner: torch.Tensor
    figures: torch.Tensor
    """[R, 2]: of the norm, see Kernels.measure."""


@dataclass(frozen=True)
class Residual:
    """The residual stream [R, D]: what stands in `x`, and `count` parts of a sum, with its bias, to be added to it.
    `measured`: its norm's figures stand in StepRows.figures."""

    x: torch.Tensor
    parts: torch.Tensor | None = None
    bias: torch.Tensor | None = None
    count: int = 0
    measured: bool = False


@dataclass(frozen=True)
class Scores:
    """What the head leaves for the choice of tokens, and what that leaves for the host."""

    logits: torch.Tensor
    scores: torch.Tensor
    """[R, V]: logits with repetition penalty and bias."""
    figures: torch.Tensor
    """[4, R, blocks]: maxima and sums of scores, and of logits."""
    seen: torch.Tensor
    """int8 [R, V]: which tokens the penalty counts."""
    biases: torch.Tensor
    ids: torch.Tensor
    found: torch.Tensor
    places: torch.Tensor
    """These three: room for the choice."""
    tokens: torch.Tensor
    """int32 [BURST, R]."""
    chances: torch.Tensor
    """float64 [BURST, R, 1 + MOST_BEST]: log-probabilities of the token and of the likeliest ones."""
    best: torch.Tensor
    """int32 [BURST, R, MOST_BEST]."""


class Kernels(Protocol):
    """What a step consists of. plain.py says what each does; launch.py has those that run on a card."""

    def embed(self, rows: StepRows, x: torch.Tensor) -> None: ...
    def measure(self, rows: StepRows, stream: Residual, settled: torch.Tensor | None) -> None: ...
    def keep(self, rows: StepRows, layer: int) -> None: ...
    def attend(self, rows: StepRows, layer: int) -> None: ...
    def combine(self, rows: StepRows) -> None: ...
    def product(self, rows: StepRows, source: Residual | torch.Tensor, left: int, result: int, matrix: CardMatrix,
                out: torch.Tensor, module: int, parts: int = 1, norm: Norm | None = None,
                settled: torch.Tensor | None = None) -> None: ...
    def head(self, rows: StepRows, x: torch.Tensor, norm: Norm, scores: Scores) -> None: ...
    def choose(self, rows: StepRows, scores: Scores) -> None: ...


def kept_apart(config: Decoder) -> bool:
    """Whether queries and keys are normed or turned on their way into the cache, for which a head must be whole."""
    return config.positions == "rotary" or config.head_norms


class Lane:
    """A table of rows on the host and its copy on the device."""

    def __init__(self, count: int, tables: int, weights: Weights, pool: DevicePages, device: str) -> None:
        config = weights.config
        pages = -(-config.n_ctx // BLOCK)
        here = torch.zeros(count * rows.FIELDS + tables * pages, dtype=torch.int32, pin_memory=device == "cuda")
        there = torch.zeros_like(here, device=device)
        self._here, self._there = here, there
        cut = count * rows.FIELDS
        self.table = RowTable(here[:cut].view(count, -1).numpy(), here[cut:].view(tables, -1).numpy(), config.n_ctx,
                              config.vocab_size, pool.capacity)
        self.fields, self.pages = there[:cut].view(count, -1), there[cut:].view(tables, -1)
        self._there.copy_(self._here)

    def upload(self) -> None:
        self._there.copy_(self._here, non_blocking=True)


class Step:
    def __init__(self, weights: Weights, pool: DevicePages, kernels: Kernels, device: str, inside: bool = True) -> None:
        """`inside`: whether a single row's norm is taken within the product behind it, in each of its programs, which
        saves a launch; several rows' are taken before it in any case. It changes no bit."""
        self._weights, self._kernels, self._inside = weights, kernels, inside
        config = self._config = weights.config
        self._apart = kept_apart(config)
        most, width, vocabulary = shapes.MOST_ROWS, config.n_embd, config.vocab_size
        self.buckets = [size for size in shapes.BUCKETS if size < config.n_ctx] + [config.n_ctx]
        self.chunks = [size for size in shapes.CHUNKS if size < config.n_ctx] + [
            size for size in shapes.CHUNKS if size >= config.n_ctx][:1]

        def room(*shape: int, kind: torch.dtype = torch.float32) -> torch.Tensor:
            return torch.zeros(*shape, dtype=kind, device=device)

        def rows_of(lane: Lane, count: int, together: int) -> StepRows:
            splits = -(-config.n_ctx // shapes.KEYS)
            mixed, heads = config.attention_width, config.matrix_shape("qkv")[1] if self._apart else 0
            return StepRows(count, together, splits, lane.fields, lane.pages, room(count, mixed, kind=weights.kind),
                        room(count, heads), room(count, splits, mixed), room(count, splits, config.n_head, 2),
                        room(count, config.n_inner, kind=weights.kind), room(count, 2))

        self.decoding = Lane(most, most, weights, pool, device)
        self.reading = Lane(self.chunks[-1], 1, weights, pool, device)
        self._rows = rows_of(self.decoding, most, 1)
        self._chunk = rows_of(self.reading, self.chunks[-1], shapes.ROW_TILE)
        self._streams = [room(most, width), room(most, width)]
        self._chunk_stream = room(self.chunks[-1], width)
        self._mixed_parts, self._inner_parts = shapes.mixed_parts(config.attention_width), shapes.inner_parts(width)
        self._parts = room(max(self._mixed_parts, self._inner_parts), most, width)
        blocks = -(-vocabulary // shapes.SCORES)
        self.scores = Scores(
            room(most, vocabulary), room(most, vocabulary), room(4, most, blocks),
            room(most, vocabulary, kind=torch.int8), room(most, vocabulary),
            room(most, shapes.NEAR, kind=torch.int32), room(most, shapes.ROOM),
            room(most, shapes.ROOM, kind=torch.int32), room(shapes.BURST, most, kind=torch.int32),
            room(shapes.BURST, most, 1 + rows.MOST_BEST, kind=torch.float64),
            room(shapes.BURST, most, rows.MOST_BEST, kind=torch.int32))
        self._graphs: dict[tuple[int, int], Callable[[], None]] = {}

    def capture(self, progress: Callable[[int, int], None]) -> None:
        """Makes the graphs, where there is a card; `progress` hears how many of how many are made."""
        wanted = [*((count, bucket) for count in shapes.BATCHES for bucket in self.buckets),
                  *((count, 0) for count in self.chunks)]
        for done, (count, bucket) in enumerate(wanted):
            progress(done, len(wanted))
            self._graphs[count, bucket] = self._captured(count, bucket)

    def decode(self, count: int, reach: int, times: int) -> None:
        """Decides the next `times` tokens of the first `count` rows of `decoding`, all at positions below `reach`.

        Raises ValueError for more than there is room for.
        """
        if times > shapes.BURST or reach > self._config.n_ctx:
            raise ValueError("more tokens than a step has room for")
        bucket = next(bucket for bucket in self.buckets if bucket >= reach)
        for _ in range(times):
            self._run(next(batch for batch in shapes.BATCHES if batch >= count), bucket)

    def read(self, count: int) -> None:
        """Keys and values of the first `count` rows of `reading`."""
        self._run(next(chunk for chunk in self.chunks if chunk >= count), 0)

    def _run(self, count: int, bucket: int) -> None:
        (self._graphs.get((count, bucket)) or (lambda: self._series(count, bucket)))()

    def _captured(self, count: int, bucket: int) -> Callable[[], None]:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._series(count, bucket)  # compiles what is new
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            self._series(count, bucket)
        return graph.replay

    def _series(self, count: int, bucket: int) -> None:
        if bucket:
            self._decode(replace(self._rows, count=count, splits=-(-bucket // shapes.KEYS)))
        else:
            self._read(replace(self._chunk, count=count))

    def _decode(self, rows: StepRows) -> None:
        """Products leave parts of sums, which who reads the stream next adds to it."""
        kernels, weights = self._kernels, self._weights
        stream = Residual(self._streams[0])
        kernels.embed(rows, stream.x)
        for number, layer in enumerate(weights.layers):
            module = number * A_LAYER
            stream = self._normed(rows, stream, layer.attention_norm, *self._heads(rows), layer.qkv, module)
            if self._apart:
                kernels.keep(rows, number)
            kernels.attend(rows, number)
            left = MIXED
            if weights.kind == torch.float32:  # else a program would have more numbers than registers
                kernels.combine(rows)
                left = PLAIN
            kernels.product(rows, rows.mixed if left == MIXED else rows.queries, left, PARTS, layer.output,
                            self._parts, module + 1, self._mixed_parts)
            stream = Residual(stream.x, self._parts, layer.output.bias, self._mixed_parts)
            stream = self._normed(rows, stream, layer.inner_norm, INNER, rows.inner, layer.up, module + 2)
            kernels.product(rows, rows.inner, PLAIN, PARTS, layer.down, self._parts, module + 3, self._inner_parts)
            stream = Residual(stream.x, self._parts, layer.down.bias, self._inner_parts)
        kernels.measure(rows, stream, self._other(stream))
        kernels.head(rows, self._other(stream), weights.norm, self.scores)
        kernels.choose(rows, self.scores)

    def _heads(self, rows: StepRows) -> tuple[int, torch.Tensor]:
        """What becomes of queries, keys and values, and where the product leaves them, or the first of them."""
        return (HEADS, rows.heads) if self._apart else (CACHE, rows.queries)

    def _normed(self, rows: StepRows, stream: Residual, norm: Norm, result: int, out: torch.Tensor, matrix: CardMatrix,
                module: int) -> Residual:
        """A product of the normed stream; the stream without parts."""
        settled = self._other(stream) if stream.count else None
        after = Residual(stream.x if settled is None else settled, measured=True)
        if self._inside and rows.count == 1:
            self._kernels.product(rows, stream, NORM, result, matrix, out, module, norm=norm, settled=settled)
        else:
            self._kernels.measure(rows, stream, settled)
            self._kernels.product(rows, after, NORM, result, matrix, out, module, norm=norm)
        return after

    def _other(self, stream: Residual) -> torch.Tensor:
        return self._streams[stream.x is self._streams[0]]

    def _read(self, rows: StepRows) -> None:
        kernels, weights, x = self._kernels, self._weights, self._chunk_stream
        stream = Residual(x, measured=True)
        kernels.embed(rows, x)
        for number, layer in enumerate(weights.layers):
            module = number * A_LAYER
            kernels.measure(rows, stream, None)
            result, out = self._heads(rows)
            kernels.product(rows, stream, NORM, result, layer.qkv, out, module, norm=layer.attention_norm)
            if self._apart:
                kernels.keep(rows, number)
            if number == self._config.n_layer - 1:
                break  # the last layer's keys and values are all that is wanted of it
            kernels.attend(rows, number)
            kernels.combine(rows)
            kernels.product(rows, rows.queries, PLAIN, STREAM, layer.output, x, module + 1, self._mixed_parts)
            kernels.measure(rows, stream, None)
            kernels.product(rows, stream, NORM, INNER, layer.up, rows.inner, module + 2, norm=layer.inner_norm)
            kernels.product(rows, rows.inner, PLAIN, STREAM, layer.down, x, module + 3, self._inner_parts)
