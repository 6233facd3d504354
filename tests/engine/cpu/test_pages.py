"""Pages: aligned, apart from each other, made when wanted, and given back to the system beyond the limit."""
import ctypes

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2_assist.daemon.worker.worker import resident_bytes
from gpt2_assist.engine.cpu.pages import ALIGNMENT, SLAB_BYTES, PagePool

MIB = 1 << 20


def bytes_of(pool: PagePool, page: int) -> np.ndarray:
    memory = (ctypes.c_uint8 * pool.page_bytes).from_address(pool.address(page))
    return np.frombuffer(memory, dtype=np.uint8)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([1, 64, 100, 4096, 3 * MIB, 9 * MIB, 17 * MIB]), st.integers(0, 12),
       st.lists(st.integers(0, 30), max_size=80))
def test_every_page_in_use_is_its_owners_alone(page_bytes, limit, steps):
    """A step is the place of the page to give back; where there is no such place, a page is taken."""
    pool = PagePool(page_bytes, limit * page_bytes)
    mine: list[tuple[int, int]] = []  # page, what is written at both its ends
    for mark, step in enumerate(steps, start=1):
        if step < len(mine):
            page, written = mine.pop(step)
            assert bytes_of(pool, page)[0] == bytes_of(pool, page)[-1] == written
            pool.give(page)
        else:
            page = pool.take()
            bytes_of(pool, page)[[0, -1]] = mark
            mine.append((page, mark))
        addresses = sorted(pool.address(page) for page, _ in mine)
        assert all(address % ALIGNMENT == 0 for address in addresses)
        assert all(after - before >= pool.page_bytes >= page_bytes for before, after in zip(addresses, addresses[1:]))
        assert pool.used == len(mine) <= pool.mapped
        assert pool.full == (pool.used >= pool.limit)
    for page, written in mine:
        assert bytes_of(pool, page)[0] == bytes_of(pool, page)[-1] == written
        pool.give(page)
    assert pool.used == 0 and pool.mapped <= pool.limit


def test_memory_is_mapped_in_slabs_when_wanted_and_no_further_than_the_limit():
    pool = PagePool(MIB, 20 * MIB + 5)
    assert pool.limit == 20 and pool.mapped == 0
    slab = SLAB_BYTES // MIB
    pages = [pool.take()]
    assert pool.mapped == slab == 16
    pages += [pool.take() for _ in range(slab)]
    assert pool.mapped == 20 and not pool.full
    pages += [pool.take() for _ in range(3)]
    assert pool.mapped == 20 and pool.full


def test_who_insists_gets_pages_beyond_the_limit_and_the_system_gets_their_memory_back():
    pool = PagePool(MIB, 3 * MIB)
    pages = [pool.take() for _ in range(10)]
    assert pool.mapped == 10 and pool.full
    for page in reversed(pages):
        pool.give(page)
    assert pool.mapped == 3 and pool.used == 0
    assert len({pool.take() for _ in range(10)}) == 10


def test_memory_within_the_limit_is_kept_for_the_next():
    pool = PagePool(MIB, 20 * MIB)
    pages = [pool.take() for _ in range(21)]
    for page in pages[:16]:
        pool.give(page)
    assert pool.mapped == 21
    pool.give(pages[20])
    assert pool.mapped == 20


def test_with_no_limit_at_all_nothing_is_kept():
    pool = PagePool(100, 0)
    assert pool.full
    page = pool.take()
    pool.give(page)
    assert pool.mapped == 0


def test_a_fresh_page_is_zero_and_a_copy_is_whole():
    pool = PagePool(1000, MIB)
    source, target, other = pool.take(), pool.take(), pool.take()
    assert not bytes_of(pool, target).any()
    bytes_of(pool, source)[:] = np.arange(pool.page_bytes) % 251
    pool.copy(source, target)
    assert (bytes_of(pool, target) == bytes_of(pool, source)).all()
    assert not bytes_of(pool, other).any()


def test_a_page_comes_back_once():
    pool = PagePool(64, MIB)
    page = pool.take()
    pool.give(page)
    with pytest.raises(ValueError, match="not in use"):
        pool.give(page)
    with pytest.raises(KeyError):
        pool.address(page)


def test_a_page_that_the_system_cannot_give_is_a_memory_error_and_changes_nothing():
    pool = PagePool(1 << 60, 0)
    with pytest.raises(MemoryError):
        pool.take()
    assert pool.used == pool.mapped == 0


@pytest.mark.parametrize(("page_bytes", "limit_bytes"), [(0, 10), (-1, 10), (10, -1)])
def test_sizes_that_make_no_sense_are_refused(page_bytes, limit_bytes):
    with pytest.raises(ValueError):
        PagePool(page_bytes, limit_bytes)


def test_touching_ahead_changes_nothing_but_when_memory_is_given():
    pool = PagePool(4096, 100 * 4096)
    kept = [pool.take() for _ in range(3)]
    for page in kept:
        ctypes.memset(pool.address(page), page + 1, 4096)
    touched = 0
    while pool.touch():
        touched += 1
    assert 0 < touched <= 16 and pool.used == 3 and pool.mapped <= pool.limit
    assert all(ctypes.string_at(pool.address(page), 4096) == bytes([page + 1]) * 4096 for page in kept)
    fresh = [pool.take() for _ in range(97)]
    assert len({*fresh, *kept}) == 100 and pool.full and not pool.touch()
    assert all(ctypes.string_at(pool.address(page), 4096) == bytes(4096) for page in fresh)


def test_what_is_not_in_use_goes_back_to_the_system():
    pool = PagePool(MIB, 200 * MIB)
    pages = [pool.take() for _ in range(150)]
    for page in pages:
        bytes_of(pool, page)[:] = page % 251
    full = resident_bytes()
    kept = pages[::50]
    for page in set(pages) - set(kept):
        pool.give(page)
    moved = pool.compact()
    assert full - resident_bytes() > 130 * MIB
    assert sorted(moved) == sorted(kept) and pool.used == 3 and pool.mapped == SLAB_BYTES // MIB
    for page in kept:
        assert (bytes_of(pool, moved[page]) == page % 251).all()
