"""Memory for keys and values, in pages. Knows sizes and addresses, and nothing of tokens."""
import ctypes
import mmap

ALIGNMENT = 64
"""Bytes: a cache line, and the widest vector that a kernel loads."""

SLAB_BYTES = 16 << 20
"""About how much is asked of the system at once: little to regret when a model is small."""

_PAGES_AHEAD = 8
"""Pages whose memory `touch` sees to: a text grows by no more than that before the next idle moment."""


class PagePool:
    """See pages.Pages. They are made when they are first wanted; fresh ones are zero, later ones hold what they held.
    For one thread."""

    def __init__(self, page_bytes: int, limit_bytes: int) -> None:
        if page_bytes <= 0 or limit_bytes < 0:
            raise ValueError("a page has at least one byte, and a limit is not negative")
        self.page_bytes = -(-page_bytes // ALIGNMENT) * ALIGNMENT
        self.limit = limit_bytes // self.page_bytes
        """Pages."""
        self.mapped = 0
        """Pages that memory is mapped for, in use or free."""
        self._slab_pages = max(1, SLAB_BYTES // self.page_bytes)
        self._slabs: dict[int, _Slab] = {}  # slab s has the pages from s * _slab_pages on
        self._free: list[int] = []
        self._fresh: set[int] = set()  # pages that were never written: the system gives their memory at the first touch
        self._addresses: dict[int, int] = {}  # of the pages in use

    @property
    def used(self) -> int:
        """Pages in use."""
        return len(self._addresses)

    @property
    def full(self) -> bool:
        """Whether one more page in use would pass the limit."""
        return self.used >= self.limit

    def take(self) -> int:
        if not self._free:
            self._map_slab()
        page = self._free.pop()
        self._fresh.discard(page)
        number, place = divmod(page, self._slab_pages)
        slab = self._slabs[number]
        slab.used += 1
        self._addresses[page] = slab.address + place * self.page_bytes
        return page

    def give(self, page: int) -> None:
        if self._addresses.pop(page, None) is None:
            raise ValueError(f"page {page} is not in use")
        self._free.append(page)
        number = page // self._slab_pages
        slab = self._slabs[number]
        slab.used -= 1
        if not slab.used and self.mapped - slab.pages >= self.limit:
            self._unmap_slab(number)

    def address(self, page: int) -> int:
        """Where a page in use begins, a multiple of ALIGNMENT. Raises KeyError for one that is not in use."""
        return self._addresses[page]

    def touch(self) -> bool:
        """Has the system give the memory of one page that will soon be taken, which takes a fraction of a millisecond
        that no token should wait for. False where there is nothing to do."""
        if len(self._free) < _PAGES_AHEAD and self.mapped < self.limit:
            self._map_slab(behind=True)
        for page in reversed(self._free[-_PAGES_AHEAD:]):
            if page in self._fresh:
                self._fresh.discard(page)
                number, place = divmod(page, self._slab_pages)
                ctypes.memset(self._slabs[number].address + place * self.page_bytes, 0, self.page_bytes)
                return True
        return False

    def copy(self, source: int, target: int) -> None:
        ctypes.memmove(self._addresses[target], self._addresses[source], self.page_bytes)

    def compact(self) -> dict[int, int]:
        """Gives all memory but that of the pages in use back to the system. Those get other numbers and addresses; the
        numbers are given by the old ones. Raises MemoryError, and leaves all as it is, where there is no room to move.
        """
        other, moved = PagePool(self.page_bytes, self.limit * self.page_bytes), {}
        for page in sorted(self._addresses):
            moved[page] = other.take()
            ctypes.memmove(other.address(moved[page]), self._addresses[page], self.page_bytes)
        for slab in self._slabs.values():
            slab.memory.close()
        vars(self).update(vars(other))
        return moved

    def _map_slab(self, behind: bool = False) -> None:
        """More free pages, to be taken before the others, or behind them."""
        number = next(number for number in range(len(self._slabs) + 1) if number not in self._slabs)
        slab = _Slab(min(self._slab_pages, max(1, self.limit - self.mapped)), self.page_bytes)
        self._slabs[number] = slab
        self.mapped += slab.pages
        first = number * self._slab_pages
        pages = range(first + slab.pages - 1, first - 1, -1)
        self._free = [*pages, *self._free] if behind else [*self._free, *pages]
        self._fresh.update(pages)

    def _unmap_slab(self, number: int) -> None:
        slab = self._slabs.pop(number)
        self.mapped -= slab.pages
        self._free = [page for page in self._free if page // self._slab_pages != number]
        self._fresh.difference_update(range(number * self._slab_pages, (number + 1) * self._slab_pages))
        slab.memory.close()


class _Slab:
    """Consecutive pages in one mapping."""

    def __init__(self, pages: int, page_bytes: int) -> None:
        self.pages, self.used = pages, 0
        try:
            if hasattr(mmap, "MAP_PRIVATE"):  # shared memory, the default, gets no huge pages
                self.memory = mmap.mmap(-1, pages * page_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            else:
                self.memory = mmap.mmap(-1, pages * page_bytes)
        except OSError as error:
            raise MemoryError(f"the system gives no {pages * page_bytes} bytes for keys and values") from error
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
