"""Reads corpora as documents and parts them into training and held-out ones."""
import hashlib
import lzma
import math
import sysconfig
from pathlib import Path

from gpt2_assist.errors import DataError
from gpt2_assist.text.special_tokens import END_OF_TEXT


def read_documents(path: str) -> list[str]:
    """The documents of a corpus: `stdlib`, or a text file whose documents a line `<|endoftext|>` separates."""
    if path == "stdlib":
        return _standard_library()
    try:
        with (lzma.open if path.endswith(".xz") else open)(path, "rb") as file:
            text = file.read().decode("utf-8")
    except OSError as error:
        raise DataError(f"The corpus {path} can't be read: {error.strerror or error}.") from None
    except (UnicodeDecodeError, lzma.LZMAError, EOFError):
        raise DataError(f"The corpus {path} holds no UTF-8 text or is damaged.") from None
    documents = [part.strip("\n") for part in text.split(f"\n{END_OF_TEXT}\n")]
    documents = [document.removesuffix(END_OF_TEXT) for document in documents]
    return [document for document in documents if document.strip()]


def _standard_library() -> list[str]:
    root = Path(sysconfig.get_path("stdlib"))
    documents = []
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root).parts
        if parts[0] in ("site-packages", "dist-packages") or "idlelib" in parts or "test" in parts:
            continue
        try:
            documents.append(file.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            continue  # a few test data files are in other encodings on purpose
    return [document for document in documents if document.strip()]


def split_documents(documents: list[str], held_out: float) -> tuple[list[str], list[str]]:
    """(training, held-out). The choice depends on each document's content alone, so it survives reordering."""
    ranked = sorted(documents, key=lambda document: hashlib.sha256(document.encode()).digest())
    count = math.ceil(held_out * len(ranked)) if len(ranked) > 1 else 0
    return ranked[count:], ranked[:count]
