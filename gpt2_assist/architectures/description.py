"""What a decoder is, as data: its sizes and the choices that architectures differ in, and the tensors that follow.

Tensors are called by their role. A layer's matrices are [inputs, outputs]: `qkv` gives queries, keys and values side by
side, `up` of a gated decoder gates and what they let through side by side. The embedding and a head of its own are
[vocabulary, width].
"""
import math
from dataclasses import dataclass, fields, replace

from gpt2_assist.errors import ModelError

MATRICES = ("qkv", "output", "up", "down")
"""A layer's matrices, in the order in which it uses them."""


@dataclass(frozen=True)
class Decoder:
    """An architecture with its sizes."""

    architecture: str
    """The name of the file beside this one that knows how others write such a decoder down."""
    n_layer: int
    n_head: int
    n_kv_head: int
    """Heads of keys and values; each serves n_head / n_kv_head queries."""
    n_embd: int
    head_width: int
    n_inner: int
    n_ctx: int
    vocab_size: int
    epsilon: float = 1e-5
    """Of the norms."""
    norm: str = "layer"
    """layer, with biases, or rms, without."""
    positions: str = "learned"
    """learned or rotary."""
    rope_theta: float = 10_000.0
    """The base of rotary positions; half a head's numbers are rotated with the other half."""
    activation: str = "gelu_tanh"
    """gelu_tanh (GPT-2's), gelu, relu or silu."""
    gated: bool = False
    """Whether what `up` gives is activated gates and what they are multiplied with."""
    biases: tuple[str, ...] = MATRICES
    """The matrices that have one."""
    head_norms: bool = False
    """Whether each head's query and key go through an RMS norm before they are rotated."""
    tied: bool = True
    """Whether the head is the embedding."""
    scaled: bool = True
    """Whether a score is divided by the square root of the head's width."""
    scaled_by_layer: bool = False
    """Whether it is also divided by the layer's number, from 1 on."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "biases", tuple(self.biases))
        for name in (entry.name for entry in fields(self) if entry.type is int):
            size = getattr(self, name)
            if type(size) is not int or size < 1:
                raise ModelError("The model's configuration holds a size that is no positive whole number: "
                                 f"{name} = {size!r}.")
        if not isinstance(self.epsilon, (int, float)) or not 0 < self.epsilon < 1:
            raise ModelError("The model's configuration holds an epsilon of its norms that is none.")
        if not isinstance(self.rope_theta, (int, float)) or not 1 < self.rope_theta < math.inf:
            raise ModelError("The model's configuration holds a base of rotary positions that is none.")
        if self.n_head % self.n_kv_head:
            raise ModelError(f"The model's {self.n_head} heads can't share {self.n_kv_head} heads of keys and values.")
        if self.positions == "rotary" and self.head_width % 2:
            raise ModelError(f"A head of width {self.head_width} has no two halves to rotate.")

    @property
    def attention_width(self) -> int:
        """Of what the heads mix, all together."""
        return self.n_head * self.head_width

    @property
    def kv_width(self) -> int:
        """Of a position's keys, and of its values."""
        return self.n_kv_head * self.head_width

    @property
    def up_width(self) -> int:
        return self.n_inner * (2 if self.gated else 1)

    def windowed(self, most: int) -> "Decoder":
        """As it is, seeing at most so many tokens at once."""
        return replace(self, n_ctx=min(self.n_ctx, most))

    def divisor(self, layer: int) -> float:
        """What a layer's scores are divided by."""
        divisor = self.head_width ** 0.5 if self.scaled else 1.0
        return divisor * (layer + 1) if self.scaled_by_layer else divisor

    @property
    def matrix_numbers(self) -> int:
        """Numbers in all layers' matrices, which is the work of a token."""
        return self.n_layer * sum(math.prod(self.matrix_shape(role)) for role in MATRICES)

    def matrix_shape(self, role: str) -> tuple[int, int]:
        """(inputs, outputs) of a layer's matrix."""
        return {"qkv": (self.n_embd, self.attention_width + 2 * self.kv_width),
                "output": (self.attention_width, self.n_embd), "up": (self.n_embd, self.up_width),
                "down": (self.n_inner, self.n_embd)}[role]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor, by name, in the order of use."""
        shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (self.vocab_size, self.n_embd)}
        if self.positions == "learned":
            shapes["positions.weight"] = (self.n_ctx, self.n_embd)
        for layer in range(self.n_layer):
            shapes |= self._norm(f"layers.{layer}.attention_norm") | self._matrix(layer, "qkv")
            if self.head_norms:
                shapes |= dict.fromkeys((f"layers.{layer}.query_norm.weight", f"layers.{layer}.key_norm.weight"),
                                        (self.head_width,))
            shapes |= self._matrix(layer, "output") | self._norm(f"layers.{layer}.inner_norm")
            shapes |= self._matrix(layer, "up") | self._matrix(layer, "down")
        return shapes | self._norm("norm") | ({} if self.tied else {"head.weight": (self.vocab_size, self.n_embd)})

    def parameters(self) -> int:
        """Numbers that the model has learned, all together."""
        return sum(math.prod(shape) for shape in self.shapes().values())

    @property
    def head_name(self) -> str:
        """The name of the tensor that the head is."""
        return "embedding.weight" if self.tied else "head.weight"

    def _norm(self, name: str) -> dict[str, tuple[int, ...]]:
        shapes = {f"{name}.weight": (self.n_embd,)}
        return {**shapes, f"{name}.bias": (self.n_embd,)} if self.norm == "layer" else shapes

    def _matrix(self, layer: int, role: str) -> dict[str, tuple[int, ...]]:
        shape = self.matrix_shape(role)
        shapes: dict[str, tuple[int, ...]] = {f"layers.{layer}.{role}.weight": shape}
        return {**shapes, f"layers.{layer}.{role}.bias": shape[1:]} if role in self.biases else shapes
