"""Reads many damaged copies of a GGUF file, as import does but for the writing, in little memory; a program of its own.

    python damaged_gguf.py FILE COUNT SEED

Prints how many were read, and how many refused for each reason. What goes wrong otherwise ends it with a traceback.
"""
import random
import re
import resource
import struct
import sys
from collections import Counter
from pathlib import Path

import gguf_models  # noqa: F401 (all libraries are there before memory is limited)
from gguf import GGUFReader

from gpt2_assist.errors import DataError, ModelError
from gpt2_assist.model.gguf_model import read_gguf
from gpt2_assist.text.tokenizer import TextTokenizer

SPARE = 48 << 20
"""Bytes that may be taken besides what the libraries have, for files of a few thousand."""
WILD = (0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 31, 32, 33, 255, 256, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
        1 << 32, 1 << 40, (1 << 61) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 32, (1 << 64) - 1)


Places = list[tuple[int, int]]
"""(place, bytes) of numbers in a file."""


def fields(path: Path) -> list[Places]:
    """The counts, lengths, types, dimensions, offsets and values of each key and tensor."""
    reader = GGUFReader(path)
    base = reader.data.__array_interface__["data"][0]
    found = []
    for field in (*reader.fields.values(), *(tensor.field for tensor in reader.tensors)):
        places = {(part.__array_interface__["data"][0] - base, part.nbytes) for part in field.parts
                  if part.dtype.itemsize > 1 or len(part) == 1}
        found.append(sorted((place, size) for place, size in places
                            if 0 <= place < reader.data_offset and size in (1, 4, 8)))
    return [places for places in found if places]


def damaged(data: bytes, numbers: list[Places], rng: random.Random) -> bytes:
    """A copy with one to three faults."""
    data, kind = bytearray(data), rng.random()
    if kind < 0.1:
        return bytes(data[:rng.randrange(len(data))])
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        anywhere = (rng.randrange(len(data)), rng.choice((1, 4, 8)))
        place, size = rng.choice(rng.choice(numbers)) if kind < 0.8 else anywhere
        old = int.from_bytes(data[place:place + size], "little")
        new = rng.choice((rng.choice(WILD), old + rng.choice((-32, -1, 1, 32)), old ^ 1 << rng.randrange(8 * size),
                          len(data), rng.getrandbits(8 * size)))
        data[place:place + size] = struct.pack("<Q", new % (1 << 64))[:size]
    if kind > 0.97:  # a piece again, elsewhere
        start, to = rng.randrange(len(data)), rng.randrange(len(data))
        data[to:to] = data[start:start + rng.randrange(300)]
    return bytes(data)


def read(path: Path) -> None:
    """All that import does before it writes."""
    model = read_gguf(path)
    layout = model.layout()
    for name, tensor in model.tensors():
        assert layout[name] == (tensor.dtype, tensor.shape)
    model.card()
    assert model.tokens.files()
    TextTokenizer(model.tokens.tokenizer).encode("the end <|im_end|> 12 é")


def main() -> None:
    whole, count, rng = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    data, numbers = whole.read_bytes(), fields(whole)
    read(whole)
    now = int(re.search(r"VmSize:\s*(\d+) kB", Path("/proc/self/status").read_text())[1]) << 10
    resource.setrlimit(resource.RLIMIT_AS, (now + SPARE, now + SPARE))
    outcomes: Counter[str] = Counter()
    copy = whole.with_name("damaged.gguf")
    for _ in range(count):
        copy.write_bytes(damaged(data, numbers, rng))
        try:
            read(copy)
            outcomes["read"] += 1
        except (DataError, ModelError) as error:
            assert len(str(error)) < 600 and str(error).endswith("."), error
            if "little memory" in str(error):
                raise
            outcomes[re.sub(r"'.*'|\d[\d,]*|\[.*\]|blk\S+|/\S+", "…", str(error))[:90]] += 1
    for reason, times in outcomes.most_common():
        print(f"{times:7} {reason}")


if __name__ == "__main__":
    main()
