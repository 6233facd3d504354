"""Weights in the CPU engine's order, made once for each precision, kept beside the model and mapped from there.

The file is a safetensors file whose data begin at a page and whose tensors begin at cache lines, so that the kernels
read it where it lies. The names are the decoder's:

- matrices are packed (packing.py), embedding and head as [n_embd inputs, vocabulary outputs];
- biases are float32 with zeros up to a multiple of 32, norms' weights and biases up to a multiple of 64;
- learned positions are float32 [n_ctx, n_embd], and the last, because only their size is no multiple of a cache line.

`int4` keeps embedding and head in int8. The metadata say what the file was made of; where that has changed, it is made
again.
"""
import errno
import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from gpt2_assist import config as settings
from gpt2_assist.architectures.description import Decoder
from gpt2_assist.errors import ModelError, StorageError, UsageError
from gpt2_assist.files.unreadable import unreadable
from gpt2_assist.files.whole_file import whole_file
from gpt2_assist.model.config_file import read_config
from gpt2_assist.model.feedback import rounded_int4, rounded_int4_min
from gpt2_assist.model.numpy_forward import matrix_inputs
from gpt2_assist.model.packing import (
    INPUTS_MULTIPLE,
    INT4_MIN,
    KINDS,
    TILE,
    pack,
    pack_int4,
    pack_int4_min,
    packed_shape,
    packed_type,
    padded,
)
from gpt2_assist.model.safetensors_file import SafetensorsFile
from gpt2_assist.model.tensors import ModelTensors, weight_files

FORMAT = "3"
"""Raised with every change of what such a file holds, so that older ones are made again."""
_POSITIONS = "positions.weight"
_TABLES = ("embedding.weight", "head.weight")
"""Stored [vocabulary, width]."""
_PAGE = 4096
_LINE = 64
_NAMES = {np.dtype(np.uint8): "U8", np.dtype(np.uint16): "U16", np.dtype(np.float32): "F32"}
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_SAMPLES = 64
"""Places of a weights file that are compared besides its size and date, which copies and archives may share."""
_SAMPLE_BYTES = 4096


@dataclass(frozen=True)
class Prepared:
    """Prepared weights: a mapped file, or arrays in memory."""

    path: Path | None
    """The file, if it is one."""
    config: Decoder
    precision: str
    arrays: dict[str, np.ndarray]
    """By the decoder's names, not to be written to; see above for their shapes."""
    figures: dict
    """The metadata: "format", "precision", "sizes", by file "sources": [bytes, date in ns, hash of samples], and
    "fitted": a hash of the sample's tokens, or nothing."""

    @property
    def parameters(self) -> int:
        """Numbers that the model has learned, without padding."""
        return self.config.parameters()


def prepare(folder: Path, precision: str, progress: Callable[[float], None] = lambda done: None,
            sample: Sequence[int] = ()) -> Path:
    """The file of the model in `folder` prepared in `precision`, made now if there is none that fits.

    `progress` hears the share that is done, from 0 to 1, while it is made. To int4, matrices are rounded so that the
    errors make up for each other on the tokens of `sample`, if there are any; see feedback.py. Raises UsageError on an
    unknown precision, ModelError where the weights are wrong, StorageError where the disk is full. Several processes
    may do it at once.
    """
    if precision not in KINDS:
        raise UsageError(f"The precision {precision} is not available; choose {', '.join(KINDS)}.")
    folder = Path(folder).resolve()
    config, sources = read_config(folder), _stamp(weight_files(folder))
    sample = list(sample) if precision == "int4" else []
    fitted = hashlib.sha256(json.dumps(sample).encode()).hexdigest()[:16] if sample else ""
    places = _places(folder, precision, sources)
    for path in places:
        if _fits(path, config, precision, sources, fitted):
            return path
    weights = ModelTensors(folder)
    for path in places:
        try:
            if path.parent != folder:
                _make_place(path.parent)
            _write(path, weights, precision, {"sources": json.dumps(sources), "fitted": fitted}, sample, progress)
            return path
        except OSError as error:
            if path == places[-1] or error.errno not in _REFUSED:
                raise StorageError(f"The weights of {folder.name} can't be prepared in {path.parent}: "
                                   f"{error.strerror or error}.") from None
    raise AssertionError("there is always a place")


def open_prepared(path: Path) -> Prepared:
    """Maps a file that `prepare` made. Raises ModelError where it is missing, damaged or of another version."""
    try:
        file = SafetensorsFile(path)
        found = file.metadata
        config, precision = Decoder(**json.loads(found["sizes"])), found["precision"]
        if found["format"] != FORMAT or precision not in KINDS:
            raise ValueError("another version")
        if config.n_layer > len(file.entries):
            raise ValueError("more layers than tensors")
        layout = _layout(config, precision)
        if {name: (entry.kind, entry.shape) for name, entry in file.entries.items()} != {
                name: (_NAMES[kind], shape) for name, (kind, shape) in layout.items()}:
            raise ValueError("other tensors")
        if file.data_start % _PAGE or any(entry.start % _LINE for entry in file.entries.values()):
            raise ValueError("tensors that begin elsewhere")
        figures = {**found, "sizes": json.loads(found["sizes"]), "sources": json.loads(found["sources"])}
    except (OSError, MemoryError) as error:
        raise unreadable(path, error) from None
    except (ValueError, KeyError, TypeError, ModelError):
        raise ModelError(f"The prepared weights {path} are missing, damaged or of another version of this program; "
                         "start it again and they are made again.") from None
    file.read_ahead()
    return Prepared(path, config, precision, {name: file.array(name) for name in layout}, figures)


def packed(config: Decoder, read_matrix: Callable[[str], np.ndarray], precision: str) -> Prepared:
    """Weights of the moment, prepared in memory; `read_matrix` gives each by the decoder's name in float32, as
    ModelTensors does. Raises ModelError where one is infinite or no number."""
    layout = _layout(config, precision)
    arrays = {}
    for name, array in zip(layout, _arrays(read_matrix, config, precision, layout), strict=True):
        arrays[name] = _at_a_line(array.nbytes).view(array.dtype).reshape(array.shape)
        arrays[name][...] = array
    return Prepared(None, config, precision, arrays, {})


def _at_a_line(size: int) -> np.ndarray:
    """Room for so many bytes that begins at a cache line."""
    room = np.empty(size + _LINE, np.uint8)
    return room[-room.ctypes.data % _LINE:][:size]


def prepared_name(precision: str) -> str:
    """How the file is called."""
    return f"prepared-{precision}.safetensors"


def is_ours_to_write(folder: Path) -> bool:
    """Whether a model's folder may get further files: what came with the program stays as it came."""
    return Path(folder).resolve().parent != settings.BUNDLED_MODELS.resolve()


def _elsewhere(folder: Path, sources: dict) -> Path:
    """The folder in the user's home for what a model's own folder can't take."""
    whose = hashlib.sha256(str(folder).encode(errors="surrogateescape")).hexdigest()[:16]
    which = hashlib.sha256(json.dumps(sources, sort_keys=True).encode()).hexdigest()[:16]
    return settings.home() / "prepared" / f"{whose}-{which}"


def _places(folder: Path, precision: str, sources: dict) -> list[Path]:
    """Where the file may lie, the best place first."""
    parents = [folder] if is_ours_to_write(folder) else []
    return [parent / prepared_name(precision) for parent in [*parents, _elsewhere(folder, sources)]]


def _stamp(paths: list[Path]) -> dict[str, list]:
    """What tells these weights from others without reading them all; Prepared.figures says what is in it."""
    stamps: dict[str, list] = {}
    for path in paths:
        try:
            with open(path, "rb") as file:
                size, samples = path.stat().st_size, hashlib.sha256()
                for place in range(_SAMPLES):
                    file.seek(max(0, size - _SAMPLE_BYTES) * place // (_SAMPLES - 1))
                    samples.update(file.read(_SAMPLE_BYTES))
                stamps[path.name] = [size, path.stat().st_mtime_ns, samples.hexdigest()]
        except OSError as error:
            raise unreadable(path, error) from None
    return stamps


def _fits(path: Path, config: Decoder, precision: str, sources: dict, fitted: str) -> bool:
    try:
        found = open_prepared(path)
    except ModelError:
        return False
    same = (found.config, found.precision, found.figures["sources"]) == (config, precision, sources)
    return same and fitted in ("", found.figures["fitted"])


def kind_of(name: str, config: Decoder, precision: str) -> str:
    """How the matrix of this name is packed."""
    if precision != "int4":
        return precision
    if name in _TABLES:
        return "int8"
    return "int4" if config.norm == "layer" else INT4_MIN


def _layout(config: Decoder, precision: str) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """(number type, shape) of every tensor in the file's order."""
    layout: dict[str, tuple[np.dtype, tuple[int, ...]]] = {}
    shapes = config.shapes()
    positions = shapes.pop(_POSITIONS, None)
    for name, shape in shapes.items():
        if len(shape) == 2:
            inputs, outputs = reversed(shape) if name in _TABLES else shape
            kind = kind_of(name, config, precision)
            layout[name] = packed_type(kind), packed_shape(kind, inputs, outputs)
        else:
            layout[name] = np.dtype(np.float32), (padded(shape[0], _vector_multiple(name)),)
    return {**layout, _POSITIONS: (np.dtype(np.float32), positions)} if positions else layout


def _vector_multiple(name: str) -> int:
    return INPUTS_MULTIPLE if "norm." in name else TILE


def _write(path: Path, weights: ModelTensors, precision: str, made_of: dict[str, str], sample: list[int],
           progress: Callable[[float], None]) -> None:
    config = weights.config
    layout = _layout(config, precision)
    metadata = {"format": FORMAT, "precision": precision, "sizes": json.dumps(asdict(config)), **made_of}
    total, done = sum(math.prod(shape) for _, shape in layout.values()), 0
    with whole_file(path) as file:
        file.write(_header(layout, metadata))
        seen = matrix_inputs(weights, sample) if sample else None
        for array in _arrays(weights.read_matrix, config, precision, layout, seen):
            file.write(array.data)
            done += array.size
            progress(done / total)


def _make_place(place: Path) -> None:
    """Makes the folder, and removes those of the same model's earlier weights."""
    place.mkdir(parents=True, exist_ok=True)
    for older in place.parent.glob(place.name.split("-")[0] + "-*"):
        if older != place:
            shutil.rmtree(older, ignore_errors=True)


def _arrays(read_matrix: Callable[[str], np.ndarray], config: Decoder, precision: str, layout: dict,
            seen: Iterator[tuple[str, np.ndarray]] | None = None) -> Iterator[np.ndarray]:
    """What the file holds, in its order, which is also the order in which the blocks' matrices are used. `seen`: by
    matrix the inputs that it gets from a sample."""
    for name, (kind, shape) in layout.items():
        values = read_matrix(name)
        try:
            if not np.isfinite(values).all():
                raise ValueError
            if name == _POSITIONS or values.ndim == 1:
                array = np.zeros(shape, kind)
                array[:len(values)] = values
            elif seen and name not in _TABLES:
                used, inputs = next(seen)
                assert used == name
                if config.norm == "layer":
                    array = pack_int4(*rounded_int4(values, inputs))
                else:
                    array = pack_int4_min(*rounded_int4_min(values, inputs))
            else:
                array = pack(values.T if name in _TABLES else values, kind_of(name, config, precision))
        except ValueError:
            raise ModelError(f"The weights' {name} holds something infinite or no number; "
                             "such a model can't write.") from None
        yield array


def _header(layout: dict, metadata: dict[str, str]) -> bytes:
    entries: dict[str, dict] = {"__metadata__": metadata}
    end = 0
    for name, (kind, shape) in layout.items():
        start, end = end, end + math.prod(shape) * kind.itemsize
        entries[name] = {"dtype": _NAMES[kind], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(entries).encode()
    text += b" " * (-(8 + len(text)) % _PAGE)
    return len(text).to_bytes(8, "little") + text
