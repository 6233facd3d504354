"""The program that a step walks: a decoder's phases as rows of numbers; see plan.py for what they mean."""
import numpy as np

from gpt2_assist.architectures.description import MATRICES, Decoder
from gpt2_assist.engine.cpu import plan as step
from gpt2_assist.model.packing import INPUTS_MULTIPLE, padded
from gpt2_assist.model.prepared import Prepared, kind_of

_NORMS = {"layer": step.LAYER_NORM, "rms": step.RMS_NORM}
_ACTIVATIONS = {"gelu_tanh": step.GELU_TANH, "gelu": step.GELU, "relu": step.RELU}


class Program:
    """Rows [LENGTH, ROW_SIZE] for prepared weights. `places` are the addresses of the work space's arrays by their
    names in the plan, and INNER and LOGITS; NO_BIAS is that of zeros for the widest matrix."""

    def __init__(self, prepared: Prepared, places: dict[str, int]) -> None:
        self._config, self._arrays, self._places = prepared.config, prepared.arrays, places
        self._kind = step.KINDS[kind_of("layers.0.qkv.weight", prepared.config, prepared.precision)]
        self._rows: list[list[int]] = []
        config = self._config
        for layer in range(config.n_layer):
            self._add_layer(layer)
        table_kind = table_kind_of(prepared)
        self._prepare(table_kind, -1, _NORMS[config.norm], "STREAM", config.n_embd, "norm")
        self._row(OPERATION=step.MULTIPLY, KIND=table_kind, MATRIX=-1, INPUTS=config.n_embd,
                  WEIGHTS=self._address(config.head_name), BIAS=places["NO_BIAS"], OUTPUTS=config.vocab_size,
                  TARGET=places["LOGITS"], ON_WANTED=1)
        self.rows = np.array(self._rows, np.int64)

    def _add_layer(self, layer: int) -> None:
        config, block = self._config, f"layers.{layer}"
        qkv, output, up, down = (len(MATRICES) * layer + number for number in range(len(MATRICES)))
        norm = _NORMS[config.norm]
        self._prepare(self._kind, qkv, norm, "STREAM", config.n_embd, f"{block}.attention_norm")
        self._multiply(layer, "qkv", "QKV")
        norms = [self._address(f"{block}.{name}.weight") if config.head_norms else 0
                 for name in ("query_norm", "key_norm")]
        self._row(OPERATION=step.KEEP, LAYER=layer, QUERY_NORM=norms[0], KEY_NORM=norms[1])
        scale = np.float32(1) / np.float32(config.divisor(layer))
        self._row(OPERATION=step.ATTEND, LAYER=layer, SCALE=int(scale.view(np.uint32)))
        self._prepare(self._kind, output, step.PLAIN, "MIXED", config.attention_width)
        self._multiply(layer, "output", "STREAM", adds=True)
        self._prepare(self._kind, up, norm, "STREAM", config.n_embd, f"{block}.inner_norm")
        self._multiply(layer, "up", "INNER",
                       activation=step.LINEAR if config.gated else _ACTIVATIONS[config.activation])
        self._prepare(self._kind, down, step.GATED if config.gated else step.PLAIN, "INNER", config.n_inner,
                      stride=config.up_width)
        self._multiply(layer, "down", "STREAM", adds=True)

    def _prepare(self, kind: int, matrix: int, how: int, source: str, inputs: int, norm: str = "",
                 stride: int = 0) -> None:
        bias = f"{norm}.bias"
        self._row(OPERATION=step.PREPARE, KIND=kind, MATRIX=matrix, HOW=how, SOURCE=self._places[source], INPUTS=inputs,
                  STRIDE=padded(stride or inputs, INPUTS_MULTIPLE), ON_WANTED=int(matrix < 0),
                  NORM_WEIGHT=self._address(f"{norm}.weight") if norm else 0,
                  NORM_BIAS=self._address(bias) if bias in self._arrays else 0)

    def _multiply(self, layer: int, role: str, target: str, adds: bool = False, activation: int = step.LINEAR) -> None:
        inputs, outputs = self._config.matrix_shape(role)
        name = f"layers.{layer}.{role}"
        self._row(OPERATION=step.MULTIPLY, KIND=self._kind, MATRIX=len(MATRICES) * layer + MATRICES.index(role),
                  INPUTS=inputs, WEIGHTS=self._address(f"{name}.weight"), OUTPUTS=outputs, ADDS=int(adds),
                  BIAS=self._address(f"{name}.bias") if role in self._config.biases else self._places["NO_BIAS"],
                  TARGET=self._places[target], ACTIVATION=activation)

    def _row(self, **fields: int) -> None:
        row = [0] * step.ROW_SIZE
        for name, value in fields.items():
            row[getattr(step, name)] = value
        self._rows.append(row)

    def _address(self, name: str) -> int:
        return self._arrays[name].ctypes.data


def table_kind_of(prepared: Prepared) -> int:
    """The kind of the embedding's and the head's numbers."""
    return step.KINDS[kind_of("embedding.weight", prepared.config, prepared.precision)]


def widest(config: Decoder) -> int:
    """The most outputs of a matrix."""
    return max(config.vocab_size, *(config.matrix_shape(role)[1] for role in MATRICES))
