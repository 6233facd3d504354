"""One file over HTTP: resumed where it stopped, also by a later process, and checked against its stated hash."""
import hashlib
import os
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gpt2_assist.errors import NetworkError
from gpt2_assist.files.unreadable import stand_in

TIMEOUT_S = 30.0
_RETRIES = 5
"""Attempts in a row that bring no byte before the download gives up; it can be resumed later."""
_FIRST_WAIT_S = 0.1
_PART = ".part"


@dataclass(frozen=True)
class RemoteFile:
    """A file as the hub states it."""

    name: str
    url: str
    size: int
    sha256: str | None
    """Stated for files in large-file storage, which weights are."""
    git_sha1: str | None
    """Git's own hash of the others."""


def on_disk(file: RemoteFile, folder: Path) -> int:
    """Bytes of the file that need not be fetched again."""
    for path in (folder / file.name, folder / (file.name + _PART)):
        if path.is_file():
            return path.stat().st_size
    return 0


def download(file: RemoteFile, folder: Path, headers: dict[str, str], advance: Callable[[int], None]) -> None:
    """Brings `file` into `folder`; `advance` hears of every change in the bytes that are there.

    Until the file is whole and checked, it is called NAME.part. Raises NetworkError where the hub can't be reached
    or sends something else than it states, OSError where the disk refuses, and the hub library's errors on a refusal.
    """
    if (folder / file.name).is_file():
        return
    part = folder / (file.name + _PART)
    with open(part, "ab") as output:
        if output.tell() > file.size:
            advance(-output.tell())
            output.truncate(0)
        _fill(file, output, headers, advance)
        output.flush()
        os.fsync(output.fileno())
    if not _is_right(file, part):
        words = stand_in(part, file.name)
        advance(-part.stat().st_size)
        part.unlink()
        raise NetworkError(f"What came as {file.name} {words or 'is not what the hub states: its hash differs'}. "
                           "It was deleted; run the command again.")
    part.replace(folder / file.name)


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_right(file: RemoteFile, path: Path) -> bool:
    if path.stat().st_size != file.size:
        return False
    if file.sha256:
        return sha256_of(path) == file.sha256
    if file.git_sha1:
        digest = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
        digest.update(path.read_bytes())
        return digest.hexdigest() == file.git_sha1
    return True


def _fill(file: RemoteFile, output, headers: dict[str, str], advance: Callable[[int], None]) -> None:
    from huggingface_hub.utils import httpx
    failures = 0
    while output.tell() < file.size:
        before = output.tell()
        try:
            with _request(file, before, headers) as response:
                if before and response.status_code != 206:  # a server without ranges sends the whole file again
                    advance(-before)
                    output.truncate(0)
                for chunk in response.iter_bytes():
                    output.write(chunk)
                    advance(len(chunk))
                    if output.tell() > file.size:
                        return
            trouble = "the connection ended early"
        except httpx.TransportError as error:
            trouble = str(error) or type(error).__name__
        output.flush()
        failures = 0 if output.tell() > before else failures + 1
        if failures > _RETRIES:
            raise NetworkError(f"The download of {file.name} stopped ({trouble}); "
                               "run the command again and it goes on from there.")
        if output.tell() < file.size:
            time.sleep(_FIRST_WAIT_S * 2 ** failures)


@contextmanager
def _request(file: RemoteFile, start: int, headers: dict[str, str]) -> Generator:
    from huggingface_hub.utils import get_session, hf_raise_for_status
    asked = {**headers, "Accept-Encoding": "identity"}  # a range of compressed bytes would be of no use
    if start:
        asked["Range"] = f"bytes={start}-"
    with get_session().stream("GET", file.url, headers=asked, timeout=TIMEOUT_S, follow_redirects=True) as response:
        if response.is_error:
            response.read()
            hf_raise_for_status(response)
        yield response
