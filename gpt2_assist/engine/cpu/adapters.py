"""Adapters as the kernels read them."""
import numpy as np

from gpt2_assist.architectures.description import MATRICES, Decoder
from gpt2_assist.engine.cpu import plan as step
from gpt2_assist.errors import ModelError
from gpt2_assist.model.adapter import Adapter
from gpt2_assist.model.packing import INPUTS_MULTIPLE, MOST_RANK, TILE, padded


class PackedAdapter:
    """An adapter at one strength. By module: `downs` [blocks of 16 ranks, inputs padded to 64, 16], and `ups` [tiles of
    32 outputs, rank, 32] with scale and strength in them, all padded with zeros; `rows` float32 [width] by token, and
    `given` their addresses."""

    def __init__(self, config: Decoder, adapter: Adapter, strength: float) -> None:
        """Raises ModelError where it doesn't fit the model."""
        adapter.check(config)
        rank = max((len(down) for down, _ in adapter.pairs.values()), default=1)
        if rank > MOST_RANK:
            raise ModelError(f"The adapter's rank is {rank} in all; {MOST_RANK} is the most.")
        factor = np.float32(adapter.shape.scale * strength)
        self.downs: dict[str, np.ndarray] = {}
        self.ups: dict[str, np.ndarray] = {}
        self.rows = {id: np.ascontiguousarray(row, np.float32) for id, row in adapter.rows.items()}
        self.given = {id: row.ctypes.data for id, row in self.rows.items()}
        self._table = np.zeros(step.PAIRS + 2 * step.BESIDE * config.n_layer, np.int64)
        self._table[step.RANK] = rank
        for layer in range(config.n_layer):
            for number, target in enumerate(MATRICES):
                module = f"layers.{layer}.{target}"
                if module in adapter.pairs:
                    down, up = adapter.pairs[module]
                    self.downs[module] = _blocks(_high(down, rank), padded(down.shape[1], INPUTS_MULTIPLE), 16)
                    self.ups[module] = _blocks(up * factor, rank, TILE)
                    place = step.PAIRS + 2 * (step.BESIDE * layer + number)
                    self._table[place] = self.downs[module].ctypes.data
                    self._table[place + 1] = self.ups[module].ctypes.data

    @property
    def bytes(self) -> int:
        return sum(array.nbytes for array in (*self.downs.values(), *self.ups.values()))

    @property
    def address(self) -> int:
        """Of its table; good as long as the adapter lives."""
        return self._table.ctypes.data


def _high(matrix: np.ndarray, rows: int) -> np.ndarray:
    """[up to `rows`, columns] -> [rows, columns], with zeros."""
    return np.pad(matrix, ((0, rows - len(matrix)), (0, 0)))


def _blocks(matrix: np.ndarray, columns: int, size: int) -> np.ndarray:
    """[rows, up to `columns`] -> float32 [blocks of `size` rows, columns, size]."""
    whole = np.zeros((padded(len(matrix), size), columns), np.float32)
    whole[:len(matrix), :matrix.shape[1]] = matrix
    return np.ascontiguousarray(whole.reshape(-1, size, columns).swapaxes(1, 2))
