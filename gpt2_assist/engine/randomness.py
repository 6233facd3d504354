"""Randomness is counter-based: a function of seed, sample index and token number alone."""
_WORD = (1 << 64) - 1
CHANCE = 1
"""The stream of random numbers that decide whether a sampler acts; stream 0 draws tokens."""


def uniform(seed: int, index: int, number: int, stream: int = 0) -> float:
    """The random number in [0, 1) of a stream for new token `number` of sample `index`.

    The first word that the generator Philox4x64-10 (Salmon et al. 2011) gives with the key (seed, index) and the
    counter (0, 0, stream, number), in numpy's reading, which counts up before it draws.
    """
    word, second, third, fourth = 1, 0, stream, number
    for _ in range(10):
        left, right = word * 0xD2E7470EE14C6C93, third * 0xCA5A826395121157
        word, second = (right >> 64) ^ second ^ seed, right & _WORD
        third, fourth = (left >> 64) ^ fourth ^ index, left & _WORD
        seed, index = (seed + 0x9E3779B97F4A7C15) & _WORD, (index + 0xBB67AE8584CAA73B) & _WORD
    return (word >> 11) * 2.0 ** -53
