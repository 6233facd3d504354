"""Launches of the fused kernels: grids, sizes of blocks, warps."""
import torch
import triton
import triton.language as tl

from gpt2_assist.engine.cuda import choice, fused, shapes
from gpt2_assist.engine.cuda.pool import DevicePages
from gpt2_assist.engine.cuda.shapes import MIXED, NORM, PARTS, PLAIN
from gpt2_assist.engine.cuda.step import Residual, Scores, StepRows
from gpt2_assist.engine.cuda.weights import A_LAYER, AdapterTable, CardMatrix, Norm, Weights

_COLUMNS, _CHUNK_COLUMNS = (64, 32, 16), 64
"""Columns of a product that a program takes, in decoding the most with which there are enough programs, and in a
prefill. How many changes no bit."""
_PROGRAMS = 120
_OPTIONS = {"num_warps": 4, "enable_fp_fusion": False}
_STAGES = {"fp32": 2, "mixed": 2, "prefill": 3, "parts": 3, "norm": 6, "plain": 8}
"""Loads under way at a time: many where they are small, fewer where the stream comes in parts, in prefills and in fp32,
so that they have room in the 99 KB of a small card's processor."""
_CHOICE_WARPS = 8


class Fused:
    """See step.Kernels."""

    def __init__(self, weights: Weights, adapters: AdapterTable, pool: DevicePages) -> None:
        self._weights, self._adapters, self._pool = weights, adapters, pool.data
        config = self._config = weights.config
        self._kind = tl.bfloat16 if weights.kind == torch.bfloat16 else tl.float32
        self._page_size = self._pool[0].numel()
        self._splits_up = triton.next_power_of_2(-(-config.n_ctx // shapes.KEYS))
        self._head_block = max(16, triton.next_power_of_2(config.head_width))

    def embed(self, rows: StepRows, x: torch.Tensor) -> None:
        tokens, width = self._weights.tokens, self._config.n_embd
        fused.embed[(rows.count,)](rows.fields, tokens.weight, tokens.scales, self._weights.places, x, width,
                                   triton.next_power_of_2(width), **_OPTIONS)

    def measure(self, rows: StepRows, stream: Residual, settled: torch.Tensor | None) -> None:
        config = self._config
        fused.measure[(rows.count,)](rows.fields, stream.x, stream.parts, stream.bias, settled, rows.figures,
                                     config.epsilon, config.n_embd, stream.count, config.norm == "rms", **_OPTIONS)

    def keep(self, rows: StepRows, layer: int) -> None:
        config, weights = self._config, self._weights
        query_norm, key_norm = weights.layers[layer].head_norms or (None, None)
        fused.keep[(rows.count, config.n_head + 2 * config.n_kv_head)](
            rows.fields, rows.pages, self._stride(rows), rows.heads, weights.turns, query_norm, key_norm,
            config.epsilon, rows.queries, self._pool, layer, self._page_size, config.n_head, config.n_kv_head,
            config.head_width, self._kind, **{**_OPTIONS, "num_warps": 1})

    def attend(self, rows: StepRows, layer: int) -> None:
        config = self._config
        grid = (-(-rows.count // rows.together), config.n_head, rows.splits)
        fused.attend[grid](rows.fields, rows.pages, self._stride(rows), rows.together, rows.queries, self._pool, layer,
                           self._page_size, 1 / config.divisor(layer), rows.mixed, rows.extremes, config.n_head,
                           config.n_kv_head, config.head_width, rows.mixed.shape[1], self._head_block, self._kind,
                           **_OPTIONS)

    def product(self, rows: StepRows, source: Residual | torch.Tensor, left: int, result: int, matrix: CardMatrix,
                out: torch.Tensor, module: int, parts: int = 1, norm: Norm | None = None,
                settled: torch.Tensor | None = None) -> None:
        config, stream = self._config, source if isinstance(source, Residual) else Residual(source)
        reading = rows.together > 1
        columns, inputs = matrix.weight.shape
        programs = columns * (parts if result == PARTS else 1)
        block_n = _CHUNK_COLUMNS if reading else next((size for size in _COLUMNS if programs // size >= _PROGRAMS),
                                                      _COLUMNS[-1])
        block_m = shapes.CHUNK_TILE if reading else shapes.ROW_TILE
        block_k = shapes.WIDE_INPUTS if left == MIXED else shapes.INPUTS
        cut = shapes.WIDE_INPUTS if source is rows.queries else block_k
        grid = (-(-columns // block_n), -(-rows.count // block_m), parts if result == PARTS else 1)
        norm_weight, norm_bias = norm or (None, None)
        figures = rows.figures if stream.measured else None
        inside = left == NORM and figures is None or left == MIXED
        count = rows.count if inside else len(rows.queries)  # else for any number the same code
        fused.product[grid](
            rows.fields, rows.pages, self._stride(rows), stream.x, stream.parts, stream.bias, settled, figures,
            rows.extremes, norm_weight, norm_bias, config.epsilon, matrix.weight, matrix.scales,
            matrix.bias, self._adapters.addresses, self._adapters.ranks, module, out, self._pool, module // A_LAYER,
            self._page_size, inputs, columns, left, result, self._kind, count, stream.count, parts,
            config.n_head, config.n_kv_head, config.head_width, rows.mixed.shape[1], self._splits_up,
            config.norm == "rms", config.activation, config.gated, self._adapters.modules, block_m, block_n, block_k,
            cut, num_stages=self._stages(left, reading, stream.count), **_OPTIONS)

    def combine(self, rows: StepRows) -> None:
        config, width = self._config, self._config.attention_width
        fused.combine[(rows.count,)](rows.fields, rows.mixed, rows.extremes, rows.queries, width, config.n_head,
                                     rows.mixed.shape[1], self._splits_up, triton.next_power_of_2(width), self._kind,
                                     **_OPTIONS)

    def head(self, rows: StepRows, x: torch.Tensor, norm: Norm, scores: Scores) -> None:
        matrix = self._weights.head
        columns, inputs = matrix.weight.shape
        fused.head[(scores.figures.shape[2],)](
            rows.fields, x, rows.figures, *norm, matrix.weight, matrix.scales, scores.seen, scores.biases,
            scores.logits, scores.scores, *scores.figures, inputs, columns, self._kind, shapes.MOST_ROWS,
            shapes.ROW_TILE, shapes.SCORES, shapes.INPUTS, num_stages=self._stages(NORM, False, 0), **_OPTIONS)

    def choose(self, rows: StepRows, scores: Scores) -> None:
        blocks = scores.figures.shape[2]
        choice.choose[(rows.count,)](
            rows.fields, scores.logits, scores.scores, *scores.figures, scores.seen, scores.ids, scores.found,
            scores.places, scores.tokens, scores.chances, scores.best, self._config.vocab_size,
            triton.next_power_of_2(blocks), blocks, **{**_OPTIONS, "num_warps": _CHOICE_WARPS})

    def _stages(self, left: int, reading: bool, parts: int) -> int:
        if self._kind == tl.float32:
            return _STAGES["fp32"]
        if left == MIXED:
            return _STAGES["mixed"]
        return _STAGES["prefill" if reading else "plain" if left == PLAIN else "parts" if parts else "norm"]

    def _stride(self, rows: StepRows) -> int:
        """Between the page tables of groups of rows that attention takes together."""
        return rows.pages.shape[1] if rows.together == 1 else 0
