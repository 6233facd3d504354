"""What can be asked of a run that goes on: most of it is settled at its beginning."""
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from gpt2_assist.corpus.finding import STANDARD_INPUT
from gpt2_assist.errors import UsageError
from gpt2_assist.runs import Run, RunRecord

_FREE = ("steps", "patience", "threads", "device", "save_every", "shard", "overwrite")
"""Names of Request's and Settings' that may change on the way."""


def check_given(run: Run, record: RunRecord, given: Mapping[str, tuple[str, Any]]) -> None:
    """`given`: by its name in Settings or Request what the user gave, as the user calls it and its value. Raises
    UsageError where something is to be other than the run has it."""
    begun = {**record.settings, **asdict(record)}
    other = {}
    for name, (called, value) in given.items():
        if name == "model":
            same = _is_model(value, record)
        elif name == "paths":
            same = _are_its_paths(value, record)
        else:
            same = name in _FREE or name in begun and _plain(value) == _plain(begun[name])
        if not same:
            other[called] = name
    if "paths" in other.values():
        raise UsageError(f"The run {run.name} has the texts that it was begun with, {', '.join(record.paths)}: leave "
                         f"the paths out, or make a new run from it with other texts (--from {run.name} --run NAME).")
    if other:
        had = [f"{_plain(begun[name])} for {called}" for called, name in other.items() if name in record.settings]
        was = f" (it was begun with {', '.join(had)})" if had else ""
        raise UsageError(f"{' and '.join(other)} can't change when the run {run.name} goes on{was}; only steps, "
                         "patience, threads, device, sharding and how often it is saved can. Leave out the others, or "
                         f"make a new run from it (--from {run.name} --run NAME).")


def places_of(paths: Sequence[str]) -> list[str]:
    """Paths and patterns, from the root on."""
    return [path if path == STANDARD_INPUT else os.path.abspath(path) for path in paths]


def _are_its_paths(paths: Sequence[str], record: RunRecord) -> bool:
    return set(paths) == set(record.paths) if record.places is None else set(places_of(paths)) == set(record.places)


def check_steps(run: Run, steps: int) -> None:
    """Raises UsageError where the run is beyond so many steps, or nobody can take so many."""
    if steps < 0:
        raise UsageError(f"The setting steps must be 0 or more, not {steps}.")
    if 0 < steps < run.saved_step:
        raise UsageError(f"The run {run.name} is already at step {run.saved_step}, and steps count from its beginning: "
                         f"give more than {run.saved_step}, or none.")


def _is_model(name: object, record: RunRecord) -> bool:
    return name == record.base or os.path.abspath(str(name)) == record.base_path


def _plain(value: object) -> object:
    return list(value) if isinstance(value, (tuple, list)) else value
