"""The index of the training data's tokens, in which any sequence of them is found at once, with its file and line.

Arrays, of n tokens with a separator behind each document:

- text: uint16 or uint32 [n], the documents one after the other; the separator is the type's largest value.
- order: int32 [n], the starts of the text's suffixes, sorted.
- heads: int32 [letters + 1], the first rank in `order` of the suffixes that begin with each id or a larger one;
  letters is the largest id of a document and one.
- documents: int32 [documents, 3], where each begins in the text, its file's number, the line of its first token.
- breaks: int32, sorted, for each end of a line the first token that stands behind it.

A folder holds them as numpy files, named by index.json, which is replaced last: readers see an old index or a new one.
"""
import json
import secrets
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from gpt2_assist.errors import DataError, StorageError
from gpt2_assist.files.whole_file import whole_file
from gpt2_assist.originality.suffix_array import suffix_array

_VERSION = 1
_CONTENTS = "index.json"
_TYPES = {"text": ("uint16", "uint32"), "order": ("int32",), "heads": ("int32",), "documents": ("int32",),
          "breaks": ("int32",)}


class CopyIndex:
    """What was learned from, token by token. Made by `build` or `load`."""

    def __init__(self, arrays: dict[str, np.ndarray], paths: list[str]) -> None:
        self.text, self.order, self.heads = arrays["text"], arrays["order"], arrays["heads"]
        self.documents, self.breaks, self.paths = arrays["documents"], arrays["breaks"], paths
        self.letters = len(self.heads) - 1
        self.memory = (self.text.ctypes.data, len(self.text), self.order.ctypes.data, self.heads.ctypes.data,
                       self.letters)
        """What the kernels of matching_kernels.py take first."""

    @classmethod
    def build(cls, documents: Sequence[np.ndarray], sources: Sequence[tuple[str, int]],
              lines: Sequence[np.ndarray] | None = None) -> "CopyIndex":
        """Indexes documents, each an array [tokens] of ids, with the (path, first line) that each comes from.

        `lines` are arrays [tokens], one for each document: how many ends of lines stand in it before each token, which
        is `np.cumsum(ends[ids]) - ends[ids]` where `ends` counts each id's. Without them all of a document is at its
        first line. Raises DataError where there are too many tokens.
        """
        largest = max((int(ids.max()) for ids in documents if len(ids)), default=-1)
        kind = np.dtype(np.uint16 if largest < np.iinfo(np.uint16).max else np.uint32)
        separator = np.array([np.iinfo(kind.type).max], kind)
        starts = np.zeros(len(documents), np.int64)
        starts[1:] = np.cumsum([len(ids) + 1 for ids in documents])[:-1]
        text = np.concatenate([part for ids in documents for part in (np.asarray(ids, kind), separator)] or [separator])
        order = suffix_array(np.minimum(text, largest + 1))  # of small numbers it needs no table
        counts = np.bincount(text[text <= largest], minlength=largest + 1) if largest >= 0 else np.zeros(0)
        heads = np.concatenate([[0], np.cumsum(counts)])
        numbers: dict[str, int] = {}
        table = [(start, numbers.setdefault(path, len(numbers)), line)
                 for start, (path, line) in zip(starts, sources, strict=True)]
        breaks = [np.zeros(0, np.int64)]
        for start, before in zip(starts, lines or (), strict=lines is not None):
            breaks.append(start + np.repeat(np.arange(len(before)), np.diff(before, prepend=0)))
        arrays = {"text": text, "order": order, "heads": heads.astype(np.int32),
                  "documents": np.array(table, np.int32).reshape(-1, 3),
                  "breaks": np.concatenate(breaks).astype(np.int32)}
        return cls(arrays, list(numbers))

    @classmethod
    def load(cls, folder: Path) -> "CopyIndex":
        """The index that `save` wrote, its files mapped read-only.

        Raises DataError where it is missing, damaged or of another version.
        """
        contents = folder / _CONTENTS
        try:
            read = json.loads(contents.read_text(encoding="utf-8"))
            kind, files, paths = read["version"], read["files"], read["paths"]
        except FileNotFoundError:
            raise DataError(f"There is no index of training data in {folder}.") from None
        except OSError as error:
            raise DataError(f"The index of training data {contents} can't be read: {error.strerror}.") from None
        except (ValueError, TypeError, KeyError, RecursionError):
            raise _damaged(contents) from None
        if kind != _VERSION:
            raise DataError(f"The index of training data in {folder} is of another version of gpt2-assist.")
        if not isinstance(files, dict) or not isinstance(paths, list) \
                or not all(isinstance(path, str) for path in paths):
            raise _damaged(contents)
        index = cls({name: _read(folder, contents, files.get(name), name) for name in _TYPES}, paths)
        if not index._coherent():
            raise _damaged(contents)
        return index

    def save(self, folder: Path) -> None:
        """Writes the index into `folder`, which is made where it is missing, whole or not at all.

        Raises StorageError where the disk refuses.
        """
        files, mark = {}, secrets.token_hex(4)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                for name in _TYPES:
                    array = getattr(self, name)
                    with whole_file(folder / f"{name}-{mark}.npy") as file:
                        np.save(file, array, allow_pickle=False)
                    files[name] = {"file": f"{name}-{mark}.npy", "crc32": zlib.crc32(array.data)}
                with whole_file(folder / _CONTENTS) as file:
                    file.write(json.dumps({"version": _VERSION, "files": files, "paths": self.paths}).encode())
            except BaseException:
                _remove(folder.glob(f"*-{mark}.npy"))
                raise
            _remove(path for name in _TYPES for path in folder.glob(f"{name}-*.npy") if mark not in path.name)
        except OSError as error:
            raise StorageError(f"The index of training data can't be written to {folder}: {error.strerror}.") from None

    def place(self, position: int) -> tuple[str, int]:
        """(path, line) of the token at a position of `text`."""
        number = int(np.searchsorted(self.documents[:, 0], position, "right")) - 1
        start, path, line = map(int, self.documents[number])
        first, last = np.searchsorted(self.breaks, start), np.searchsorted(self.breaks, position, "right")
        return self.paths[path], line + int(last - first)

    def document(self, number: int) -> np.ndarray:
        """The ids [tokens] of a document."""
        last = number + 1 == len(self.documents)
        return self.text[self.documents[number, 0]:(len(self.text) if last else self.documents[number + 1, 0]) - 1]

    def _coherent(self) -> bool:
        """Whether the arrays fit each other so far that no reading of them leads outside."""
        if self.documents.shape[1] != 3 or len(self.text) != len(self.order) or not len(self.heads):
            return False
        starts, files = self.documents[:, 0], self.documents[:, 1]
        return bool(
            (np.diff(self.heads) >= 0).all() and self.heads[0] >= 0 and self.heads[-1] <= len(self.text)
            and self.letters <= np.iinfo(self.text.dtype).max and (np.diff(starts) > 0).all()
            and (len(starts) == 0 or starts[0] == 0 and starts[-1] < len(self.text)
                 and files.min() >= 0 and files.max() < len(self.paths)))


def _read(folder: Path, contents: Path, entry: object, name: str) -> np.ndarray:
    """The array that an entry {"file", "crc32"} of the contents describes."""
    if not isinstance(entry, dict):
        raise _damaged(contents)
    file = entry.get("file")
    if not isinstance(file, str) or Path(file).name != file:
        raise _damaged(contents)
    path = folder / file
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"The file {path} of the index of training data is missing.") from None
    except PermissionError as error:
        raise DataError(f"The index of training data {path} can't be read: {error.strerror}.") from None
    except (OSError, ValueError, EOFError, SyntaxError):
        raise _damaged(path) from None
    if not isinstance(array, np.ndarray) or array.ndim != (2 if name == "documents" else 1) \
            or array.dtype not in map(np.dtype, _TYPES[name]) \
            or zlib.crc32(np.ascontiguousarray(array).data) != entry.get("crc32"):
        raise _damaged(path)
    return array.view(np.ndarray)


def _damaged(path: Path) -> DataError:
    return DataError(f"The file {path} of the index of training data is damaged.")


def _remove(paths) -> None:
    for path in paths:
        with suppress(OSError):  # another reader's system may keep it; it is only in the way
            path.unlink()
