"""The inner loops of sorting all suffixes of a sequence in linear time (SA-IS: Nong, Zhang and Chan 2009).

The sequence ends with a 0 that stands nowhere else, so each suffix differs from each other before its end. A suffix is
*small* if it sorts before the one that begins a place later, *large* otherwise; a *peak* is a small one behind a large
one. Once the peaks are sorted, one sweep to the right sorts the large suffixes, and one to the left the small ones. The
peaks are sorted the same way first by their pieces alone, each up to the next peak. What the pieces' names then spell
is a sequence of at most half the length, whose suffixes sort as the peaks do.
"""
from numba import njit

kernel = njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""None of these raises anything or takes memory, so that they run without numba; see compiling.py."""


@kernel
def _is_peak(kinds, place):
    return place > 0 and kinds[place] == 1 and kinds[place - 1] == 0


@kernel
def _to_begins(counts, letters, buckets):
    place = 0
    for letter in range(letters):
        buckets[letter] = place
        place += counts[letter]


@kernel
def _to_ends(counts, letters, buckets):
    place = 0
    for letter in range(letters):
        place += counts[letter]
        buckets[letter] = place


@kernel
def _induce(text, size, letters, kinds, counts, buckets, order):
    """Two sweeps that bring every suffix to its place, from the peaks that stand in `order` among -1."""
    _to_begins(counts, letters, buckets)
    for rank in range(size):
        place = order[rank] - 1
        if place >= 0 and kinds[place] == 0:
            order[buckets[text[place]]] = place
            buckets[text[place]] += 1
    _to_ends(counts, letters, buckets)
    for rank in range(size - 1, -1, -1):
        place = order[rank] - 1
        if place >= 0 and kinds[place] == 1:
            buckets[text[place]] -= 1
            order[buckets[text[place]]] = place


@kernel
def _same_piece(text, kinds, one, other):
    """Whether the pieces of two peaks are equal. The closing 0 is a peak, so neither runs over the end."""
    step = 0
    while text[one + step] == text[other + step] and kinds[one + step] == kinds[other + step]:
        if step > 0 and _is_peak(kinds, one + step):
            return _is_peak(kinds, other + step)
        step += 1
    return False


@kernel
def sort_pieces(text, size, letters, kinds, counts, buckets, order, names, starts, spelled, found):
    """Finds the peaks and names their pieces in the order of the pieces.

    In: text int32 [size] below `letters`, counts zeros int32 [letters], order -1 int32 [size]. Out: kinds uint8 [size]
    (1: small), counts of letters, starts int32 [peaks] from left to right, spelled int32 [peaks] the name of each
    one's piece, found int64 [2]: peaks and different names. Scratch: buckets int32 [letters], order, names int32
    [size // 2 + 1].
    """
    kinds[size - 1] = 1
    counts[text[size - 1]] += 1
    for place in range(size - 2, -1, -1):
        counts[text[place]] += 1
        small = text[place] < text[place + 1] or (text[place] == text[place + 1] and kinds[place + 1] == 1)
        kinds[place] = 1 if small else 0
    _to_ends(counts, letters, buckets)
    for place in range(1, size):
        if _is_peak(kinds, place):
            buckets[text[place]] -= 1
            order[buckets[text[place]]] = place
    _induce(text, size, letters, kinds, counts, buckets, order)
    different, before = 0, -1
    for rank in range(size):
        place = order[rank]
        if _is_peak(kinds, place):
            if before < 0 or not _same_piece(text, kinds, before, place):
                different += 1
            before = place
            names[place // 2] = different - 1  # two peaks never stand side by side
    peaks = 0
    for place in range(1, size):
        if _is_peak(kinds, place):
            starts[peaks] = place
            spelled[peaks] = names[place // 2]
            peaks += 1
    found[0] = peaks
    found[1] = different


@kernel
def sort_suffixes(text, size, letters, kinds, counts, buckets, order, starts, ranked, peaks):
    """order int32 [size], -1 at first, becomes the sorted suffixes; `ranked` [peaks] are the sorted peaks' numbers."""
    _to_ends(counts, letters, buckets)
    for rank in range(peaks - 1, -1, -1):
        place = starts[ranked[rank]]
        buckets[text[place]] -= 1
        order[buckets[text[place]]] = place
    _induce(text, size, letters, kinds, counts, buckets, order)
