"""Keys and values on the card, in pages."""
import torch

from gpt2_assist.architectures.description import Decoder
from gpt2_assist.engine.pages import BLOCK
from gpt2_assist.errors import ModelError


def page_bytes(config: Decoder, kind: torch.dtype) -> int:
    return 2 * config.n_layer * config.kv_width * BLOCK * kind.itemsize


class DevicePages:
    """See pages.Pages. All lie in `data` [pages, layers, 2, heads of keys, BLOCK, width of a head]; a page's address is
    its number. What was never written is anything. For one thread."""

    def __init__(self, config: Decoder, kind: torch.dtype, limit: int, capacity: int, device: str) -> None:
        """`limit`: pages up to which earlier texts are kept; `capacity`: how many there are."""
        self.limit, self.capacity = limit, capacity
        self.data = torch.empty(capacity, config.n_layer, 2, config.n_kv_head, BLOCK, config.head_width,
                                dtype=kind, device=device)
        self._free = list(range(capacity - 1, -1, -1))
        self._used: set[int] = set()

    @property
    def used(self) -> int:
        return len(self._used)

    @property
    def full(self) -> bool:
        return self.used >= self.limit

    def take(self) -> int:
        """Raises ModelError where open texts have all of them."""
        if not self._free:
            raise ModelError("The graphics card's memory holds no more texts at once; wait until another has ended.")
        page = self._free.pop()
        self._used.add(page)
        return page

    def give(self, page: int) -> None:
        if page not in self._used:
            raise ValueError(f"page {page} is not in use")
        self._used.remove(page)
        self._free.append(page)

    def address(self, page: int) -> int:
        if page not in self._used:
            raise KeyError(page)
        return page

    def copy(self, source: int, target: int) -> None:
        self.data[target] = self.data[source]
