"""Preparing a model that has just come into the store, so that its first use needn't."""
import sys

from gpt2_assist.config import read_settings
from gpt2_assist.errors import AssistError
from gpt2_assist.frontend.progress import words
from gpt2_assist.model.store import ModelFolder


def prepare_with_progress(model: ModelFolder) -> bool:
    """Does what a worker on the CPU would do at the first load, with a line of progress on stderr. Whether it worked.

    Where it doesn't, for want of disk above all, a sentence on stderr says so, and the model stays as it is: its first
    use prepares it, or says the same again.
    """
    from gpt2_assist.loading.loading import cpu_engine, enough_memory
    try:
        with words(model.name) as show, enough_memory(model):
            cpu_engine(model, "auto", read_settings(), show)
    except AssistError as error:
        print(f"{error} The model itself is there.", file=sys.stderr)
        return False
    return True
