"""A step's memory: the plan that the kernels read, and every array that they write to but the pages."""
import numpy as np

from gpt2_assist.engine.cpu import plan as step
from gpt2_assist.engine.cpu.adapters import PackedAdapter
from gpt2_assist.engine.cpu.forms import FORM
from gpt2_assist.engine.cpu.program import Program, table_kind_of, widest
from gpt2_assist.engine.cpu.team import Team
from gpt2_assist.engine.pages import BLOCK
from gpt2_assist.model.packing import MOST_RANK, TILE
from gpt2_assist.model.prepared import Prepared
from gpt2_assist.model.rotation import rotation

LARGEST_STEP = 128
"""Rows of one step."""
LARGEST_WANTED = 64
"""Rows of one step whose logits can be asked for."""
_FEW = 16
_LINE = 64
_IN_THE_PROGRAM = ("INNER", "LOGITS", "NO_BIAS")
"""Addresses that the plan has no place for."""


class StepWorkspace:
    """Runs steps over one model. Everything that the kernels trust is checked here."""

    def __init__(self, prepared: Prepared, threads: int, cores: list[int]) -> None:
        config = self._config = prepared.config
        self._kept: list[np.ndarray] = [*prepared.arrays.values()]  # plan and program hold only addresses
        self._plan = plan = np.zeros(step.PLAN_SIZE, np.int64)
        width = _padded(max(config.n_embd, config.attention_width), 64)
        inner = _padded(max(config.n_inner, config.attention_width, config.n_embd), 64)
        rows = _padded(LARGEST_STEP, max(FORM.rows))
        head = _padded(config.head_width, 64)
        scratch = 4 * max(max(FORM.rows) * TILE, width, inner, (2 * step.TOGETHER_ROWS + 1) * head)
        scores = step.TOGETHER_ROWS * 4 * _padded(config.n_ctx, BLOCK)
        qkv = _padded(config.matrix_shape("qkv")[1], 64)
        floats = 1 if prepared.precision in ("int8", "int4") else 4
        vocabulary = _padded(config.vocab_size, 64)
        self._logits = self._array(LARGEST_WANTED * vocabulary, np.float32).reshape(LARGEST_WANTED, vocabulary)
        self._tokens, self._given, self._places, self._adapters, self._wanted, self._row_pages = (
            self._array(LARGEST_STEP, np.int64) for _ in range(6))
        self._segments = self._array(LARGEST_STEP * step.SEGMENT_SIZE, np.int64).reshape(LARGEST_STEP, -1)
        pages = -(-config.n_ctx // BLOCK)
        self._pages = self._array(LARGEST_STEP * pages, np.int64).reshape(LARGEST_STEP, pages)
        turns = np.zeros(0, np.float32)
        if config.positions == "rotary":
            turns = rotation(config.head_width, config.rope_theta, config.n_ctx)
            self._kept.append(turns)
        sizes = {"STREAM": 4 * rows * width, "MIXED": 4 * rows * width, "QKV": 4 * rows * qkv,
                 "INNER": 4 * (rows * _padded(config.up_width, 64) + 64),  # gates are read up to a multiple of 64
                 "DATA": floats * rows * inner, "FIRST": 4 * rows * inner // 32, "SCALES": 4 * rows * inner // 32,
                 "MIDDLE": 4 * rows * MOST_RANK, "SCRATCH": threads * _padded(scratch, _LINE),
                 "SCORES": threads * _padded(scores, _LINE), "SYNC": 8 * step.SYNC_SIZE,
                 "NO_BIAS": 4 * _padded(widest(config), 64)}
        places = {name: self._array(size, np.uint8).ctypes.data for name, size in sizes.items()}
        places |= {"LOGITS": self._logits.ctypes.data, "TOKENS": self._tokens.ctypes.data,
                   "GIVEN": self._given.ctypes.data,
                   "PLACES": self._places.ctypes.data, "ADAPTERS": self._adapters.ctypes.data,
                   "WANTED": self._wanted.ctypes.data, "ROW_PAGES": self._row_pages.ctypes.data,
                   "SEGMENT": self._segments.ctypes.data}
        program = Program(prepared, places).rows
        numbers = {"LENGTH": len(program), "HEADS": config.n_head, "KV_HEADS": config.n_kv_head,
                   "HEAD_WIDTH": config.head_width, "WIDTH": config.n_embd, "TABLE_KIND": table_kind_of(prepared),
                   "THREADS": threads, "EMBEDDING": prepared.arrays["embedding.weight"].ctypes.data,
                   "TURNS": turns.ctypes.data if turns.size else 0,
                   "SCRATCH_BYTES": _padded(scratch, _LINE), "SCORES_BYTES": _padded(scores, _LINE)}
        if config.positions == "learned":
            numbers["POSITIONS"] = prepared.arrays["positions.weight"].ctypes.data
        for name, value in {**places, **numbers}.items():
            if name not in _IN_THE_PROGRAM:
                plan[getattr(step, name)] = value
        self.team = Team(plan, program, config.epsilon, threads, self._kept, cores)

    def run(self, parts: list[tuple[list[int], int, np.ndarray, PackedAdapter | None]], wanted) -> np.ndarray:
        """Each part: new tokens, the first one's position, the page addresses of its sequence, and its adapter.

        Gives the logits [len(wanted), V] of the rows `wanted`, in this order, valid until the next run.
        """
        row = 0
        for number, (tokens, start, pages, adapter) in enumerate(parts):
            end = start + len(tokens)
            needed = -(-end // BLOCK)
            if not 0 <= start < end <= self._config.n_ctx or needed > len(pages) or row + len(tokens) > LARGEST_STEP:
                raise AssertionError("A step was asked for that does not fit.")
            given = adapter.given if adapter else {}
            known = [0 if token in given else token for token in tokens] if given else tokens
            if min(known) < 0 or max(known) >= self._config.vocab_size:
                raise AssertionError("A step was asked for a token that there is not.")
            self._tokens[row:row + len(tokens)] = known
            self._given[row:row + len(tokens)] = [given.get(token, 0) for token in tokens] if given else 0
            self._places[row:row + len(tokens)] = range(start, end)
            self._adapters[row:row + len(tokens)] = adapter.address if adapter else 0
            self._pages[number, :needed] = pages[:needed]
            address = self._pages[number].ctypes.data
            self._row_pages[row:row + len(tokens)] = address
            self._segments[number] = row, len(tokens), start, address
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
