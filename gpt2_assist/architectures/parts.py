"""How a file holds a decoder's tensors: under which names, in how many parts, and which way round."""
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import torch

Array = TypeVar("Array", "np.ndarray", "torch.Tensor")


@dataclass(frozen=True)
class Part:
    """One stored tensor, which is the whole of a decoder's or some of its outputs."""

    name: str
    outputs: int
    """The size of the last axis here; the first there if it is transposed."""
    transposed: bool = False
    """Whether it is stored [outputs, inputs]."""
    interleaved: int = 0
    """The number of heads whose halves are stored interleaved, as GGUF does with Llama's queries and keys; 0: none."""

    def stored_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """What a file must hold where the decoder's tensor has that shape."""
        own = (*shape[:-1], self.outputs)
        return own[::-1] if self.transposed else own


def assemble(parts: Sequence[Part], read: Callable[[str], Array],
             beside: Callable[[list[Array]], Array]) -> Array:
    """A decoder's tensor from its parts; a view of what is stored where there is one part. `beside` joins arrays along
    their last axis."""
    arrays = []
    for part in parts:
        array = read(part.name)
        if part.interleaved:
            array = array.reshape(part.interleaved, -1, 2, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)
        arrays.append(array.T if part.transposed and len(array.shape) == 2 else array)
    return arrays[0] if len(arrays) == 1 else beside(arrays)


def take_apart(parts: Sequence[Part], tensor: Array) -> dict[str, Array]:
    """The stored tensors, by name, of a decoder's: views where they can be."""
    taken, first = {}, 0
    for part in parts:
        array = tensor[..., first:first + part.outputs]
        first += part.outputs
        if part.transposed and len(array.shape) == 2:
            array = array.T
        if part.interleaved:
            array = array.reshape(part.interleaved, 2, -1, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)
        taken[part.name] = array
    return taken
