"""Preparing a model that has just come into the store, so that its first use needn't."""
import sys

from gpt2_assist.errors import AssistError
from gpt2_assist.model.store import ModelFolder

PRECISION = "int8"
"""What a CPU runs unless told otherwise."""


def prepare_with_progress(model: ModelFolder) -> bool:
    """Prepares the model for the CPU with a line of progress on stderr. Whether it worked.

    Where it doesn't, for want of disk above all, a sentence on stderr says so, and the model stays as it is: its first
    use prepares it, or says the same again.
    """
    from tqdm import tqdm

    from gpt2_assist.model.prepared import prepare
    try:
        with tqdm(desc=f"preparing {model.name}", total=100, unit="%", file=sys.stderr,
                  bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}") as bar:
            prepare(model.path, PRECISION, lambda done: bar.update(int(100 * done) - bar.n))
    except AssistError as error:
        print(f"{error} The model itself is there.", file=sys.stderr)
        return False
    return True
