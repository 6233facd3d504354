"""Why a model's file can't be read, in one sentence: what the system says, or what lies there in its place."""
import errno
import os
import re
from pathlib import Path

from gpt2_assist.errors import ModelError

_SAYS = {
    errno.EACCES: "may not be read by you: change its permissions",
    errno.EPERM: "may not be read by you: change its permissions",
    errno.EMFILE: "can't be opened, because too many files are open: end some programs, or raise `ulimit -n`",
    errno.ENFILE: "can't be opened, because too many files are open: end some programs",
    errno.ENOMEM: "can't be read, because there is too little memory: end some programs, or choose a smaller model",
    errno.EIO: "can't be read, because its disk fails (input/output error): check the disk",
    errno.ENOENT: "is missing",
    errno.EISDIR: "is a folder",
    errno.ELOOP: "is a link that leads to itself",
}
_POINTERS = (b"version https://git-lfs", b"version https://hawser", b"# xet version", b"/annex/objects/",
             b".git/annex/objects/")
_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype|!--|html|head|body|script|\?xml)", re.IGNORECASE)
_MAGIC = {
    b"PK\x03\x04": "a zip archive, as PyTorch writes its weights: name it .bin and import that",
    b"GGUF": "a GGUF file, which is llama.cpp's: `gpt2-assist models import` converts it",
    b"\x89HDF": "an HDF5 file, which is TensorFlow's",
    b"\x1f\x8b": "packed with gzip: unpack it",
}
_NUMBER = re.compile(r"[(](?:os error )?(\d+)[)]")
_BEGIN = 4096
"""Bytes that are looked at."""
_SHOWN, _LONG = 40, 120
_TEXTS = (".json", ".txt", ".bpe", ".md")
PICKLES = (".bin", ".pt", ".pth")
_UNFINISHED = (".part", ".crdownload", ".incomplete", ".download", ".partial", ".aria2", ".tmp")


class SystemRefuses(ModelError):
    """The file itself may be right."""


def unreadable(path: Path, error: BaseException | None = None) -> ModelError:
    """About a file that should hold weights, and that raised `error`."""
    refusal = _systems_error(path, error)
    if refusal is None:
        reason = f" ({error})" if error is not None and 0 < len(str(error)) < _LONG else ""
        return ModelError(f"{path} " + (stand_in(path) or f"is damaged or cut short{reason}: if it is not still being "
                                        "downloaded, fetch it again") + ".")
    if refusal.errno == errno.ENOENT and path.is_symlink():
        return ModelError(f"{path} is a link to nothing.")
    return SystemRefuses(f"{path} {_SAYS.get(refusal.errno, f'could not be read: {refusal.strerror}')}.")


def not_json(path: Path, error: BaseException) -> ModelError:
    """About a file that should be JSON."""
    if _systems_error(path, error):
        return unreadable(path, error)
    return ModelError(f"{path} {stand_in(path) or f'is no JSON ({error}): fetch it again'}.")


def stand_in(path: Path, name: str = "") -> str:
    """What lies in a file's place, as the end of a sentence; empty where nothing shows that it isn't the file, which
    may have another `name` than its own by now."""
    try:
        with open(path, "rb") as file:
            begin = file.read(_BEGIN)
    except OSError:
        return ""
    if not begin:
        return "is empty: fetch it again"
    if begin.startswith(_POINTERS):
        return "is only a pointer to a file in large-file storage: `git lfs pull` fetches the file itself"
    if _PAGE.match(begin):
        return "is a web page: in place of the file came a login or a notice, so fetch it again"
    if not begin.strip(b"\0") and len(begin) >= 64:
        return "begins with nothing but zeros: it is still being downloaded, or its download broke off"
    suffix = Path(name or path.name).suffix
    if suffix in _TEXTS:
        return ""
    for magic, words in _MAGIC.items():
        if begin.startswith(magic) and suffix not in PICKLES:
            return f"is {words}"
    words = _as_text(begin)
    return f"is a text that begins with {words!r}: fetch the file again" if words else ""


def unfinished(folder: Path) -> Path | None:
    """A file that another program is still downloading into the folder."""
    return next((path for path in sorted(folder.glob("*")) if path.suffix in _UNFINISHED and path.is_file()), None)


def _systems_error(path: Path, error: BaseException | None) -> OSError | None:
    """What the system said, or says when asked again: some libraries' errors keep it to themselves."""
    if isinstance(error, MemoryError):
        return OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    if isinstance(error, OSError) and error.errno:
        return error
    for number in map(int, _NUMBER.findall(str(error))):
        if os.strerror(number) in str(error):
            return OSError(number, os.strerror(number))
    try:
        with open(path, "rb") as file:
            file.read(_BEGIN)
    except OSError as now:
        return now
    return None


def _as_text(begin: bytes) -> str:
    try:
        text = begin.decode()
    except UnicodeDecodeError as error:
        if error.start < len(begin) - 3:  # else a character is cut at the end of what is looked at
            return ""
        text = begin[:error.start].decode()
    return text[:_SHOWN].strip() if all(letter.isprintable() or letter.isspace() for letter in text) else ""
