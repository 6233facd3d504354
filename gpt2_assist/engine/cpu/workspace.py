"""A step's memory: the plan that the kernels read, and every array that they write to but the pages."""
import numpy as np

from gpt2_assist.engine.cpu import plan as step
from gpt2_assist.engine.cpu.adapters import PackedAdapter
from gpt2_assist.engine.cpu.forms import FORM
from gpt2_assist.engine.cpu.team import Team
from gpt2_assist.engine.pages import BLOCK
from gpt2_assist.model.adapter import MOST_RANK
from gpt2_assist.model.packing import TILE
from gpt2_assist.model.prepared import Prepared

LARGEST_STEP = 128
"""Rows of one step."""
LARGEST_WANTED = 64
"""Rows of one step whose logits can be asked for."""
_FEW = 16
_LINE = 64
_LAYER_TENSORS = ("ln_1.weight", "ln_1.bias", "attn.c_attn.weight", "attn.c_attn.bias", "attn.c_proj.weight",
                  "attn.c_proj.bias", "ln_2.weight", "ln_2.bias", "mlp.c_fc.weight", "mlp.c_fc.bias",
                  "mlp.c_proj.weight", "mlp.c_proj.bias")
"""In the order of step.LN_1_WEIGHT and so on."""


class Workspace:
    """Runs steps over one model. Everything that the kernels trust is checked here."""

    def __init__(self, prepared: Prepared, threads: int, cores: list[int]) -> None:
        config = self._config = prepared.config
        self._kept: list[np.ndarray] = [*prepared.arrays.values()]  # the plan holds only addresses
        self._plan = plan = np.zeros(step.PLAN_SIZE, np.int64)
        kind = step.KINDS[prepared.precision]
        head_kind = step.KINDS["int8"] if prepared.precision == "int4" else kind
        width, inner = _padded(config.n_embd, 64), _padded(4 * config.n_embd, 64)
        for place, value in ((step.LAYERS, config.n_layer), (step.HEADS, config.n_head), (step.WIDTH, config.n_embd),
                             (step.HEAD_WIDTH, config.n_embd // config.n_head), (step.VOCABULARY, config.vocab_size),
                             (step.KIND, kind), (step.HEAD_KIND, head_kind), (step.THREADS, threads)):
            plan[place] = value
        for place, name in ((step.HEAD, "wte.weight"), (step.POSITIONS, "wpe.weight"),
                            (step.NORM_WEIGHT, "ln_f.weight"), (step.NORM_BIAS, "ln_f.bias")):
            plan[place] = prepared.arrays[name].ctypes.data
        layers = np.array([[prepared.arrays[f"h.{layer}.{name}"].ctypes.data for name in _LAYER_TENSORS]
                           for layer in range(config.n_layer)], np.int64)
        rows = _padded(LARGEST_STEP, max(FORM.rows))
        scratch = 4 * max(max(FORM.rows) * TILE, width,
                          (2 * step.TOGETHER_ROWS + 1) * _padded(config.n_embd // config.n_head, 16))
        scores = step.TOGETHER_ROWS * 4 * _padded(config.n_ctx, BLOCK)
        vocabulary = _padded(config.vocab_size, 64)
        floats = 1 if kind < step.KINDS["bf16"] else 4
        for place, size in ((step.NO_BIAS, 4 * vocabulary), (step.STREAM, 4 * rows * width),
                            (step.MIXED, 4 * rows * width), (step.QKV, 4 * rows * _padded(3 * config.n_embd, 64)),
                            (step.INNER, 4 * rows * inner), (step.DATA, floats * rows * inner),
                            (step.FIRST, 4 * rows * inner // 32), (step.SCALES, 4 * rows * inner // 32),
                            (step.MIDDLE, 4 * rows * MOST_RANK),
                            (step.SCRATCH, threads * _padded(scratch, _LINE)),
                            (step.SCORES, threads * _padded(scores, _LINE)), (step.SYNC, 8 * step.SYNC_SIZE)):
            plan[place] = self._array(size, np.uint8).ctypes.data
        plan[step.SCRATCH_BYTES], plan[step.SCORES_BYTES] = _padded(scratch, _LINE), _padded(scores, _LINE)
        self._logits = self._array(LARGEST_WANTED * vocabulary, np.float32).reshape(LARGEST_WANTED, vocabulary)
        self._tokens, self._places, self._adapters, self._wanted = (
            self._array(LARGEST_STEP, np.int64) for _ in range(4))
        self._segments = self._array(LARGEST_STEP * step.SEGMENT_SIZE, np.int64).reshape(LARGEST_STEP, -1)
        pages = -(-config.n_ctx // BLOCK)
        self._pages = self._array(LARGEST_STEP * pages, np.int64).reshape(LARGEST_STEP, pages)
        for place, array in ((step.LOGITS, self._logits), (step.TOKENS, self._tokens), (step.PLACES, self._places),
                             (step.ADAPTERS, self._adapters), (step.WANTED, self._wanted),
                             (step.SEGMENT, self._segments)):
            plan[place] = array.ctypes.data
        self.team = Team(plan, layers, config.layer_norm_epsilon, threads, self._kept, cores)

    def run(self, parts: list[tuple[list[int], int, list[int], PackedAdapter | None]], wanted) -> np.ndarray:
        """Each part: new tokens, the first one's position, the page addresses of its sequence, and its adapter.

        Gives the logits [len(wanted), V] of the rows `wanted`, in this order, valid until the next run.
        """
        row = 0
        for number, (tokens, start, pages, adapter) in enumerate(parts):
            end = start + len(tokens)
            needed = -(-end // BLOCK)
            if not 0 <= start < end <= self._config.n_ctx or needed > len(pages) or row + len(tokens) > LARGEST_STEP:
                raise AssertionError("A step was asked for that does not fit.")
            if min(tokens) < 0 or max(tokens) >= self._config.vocab_size:
                raise AssertionError("A step was asked for a token that there is not.")
            self._tokens[row:row + len(tokens)] = tokens
            self._places[row:row + len(tokens)] = range(start, end)
            self._adapters[row:row + len(tokens)] = adapter.address if adapter else 0
            self._pages[number, :needed] = pages[:needed]
            self._segments[number] = row, len(tokens), start, self._pages[number].ctypes.data
            row += len(tokens)
        count = len(wanted)
        self._wanted[:count] = wanted
        plan = self._plan
        plan[step.ROWS], plan[step.TOGETHER], plan[step.SEGMENTS] = row, _together(row), len(parts)
        plan[step.ADAPTED] = any(adapter for _, _, _, adapter in parts)
        plan[step.WANTED_COUNT], plan[step.WANTED_TOGETHER] = count, _together(count)
        self.team.run(row)
        return self._logits[:count, :self._config.vocab_size]

    def _array(self, size: int, kind: type) -> np.ndarray:
        """Zeros that begin at a cache line, kept as long as the plan."""
        room = np.zeros(size * np.dtype(kind).itemsize + _LINE, np.uint8)
        self._kept.append(room)
        return room[-room.ctypes.data % _LINE:][:size * np.dtype(kind).itemsize].view(kind)


def _together(count: int) -> int:
    """How many rows the products take at once. Those of the most rows suit many; few rows wait for the memory, and the
    other products ask ahead for weights."""
    choices = FORM.rows[:-1] if count <= _FEW and len(FORM.rows) > 2 else FORM.rows
    return next((rows for rows in choices if rows >= count), max(choices))


def _padded(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple
