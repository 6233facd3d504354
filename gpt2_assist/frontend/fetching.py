"""Fetching a model with its progress on the screen."""
from gpt2_assist.frontend.preparing import prepare_with_progress
from gpt2_assist.frontend.progress import BYTES, WEIGHTS, bar, words
from gpt2_assist.model.store import ModelFolder


def fetch(name: str, store_name: str | None = None, patient: bool = True, remark: str = "") -> ModelFolder:
    """Pulls a model and prepares it, shown on stderr with a `remark`. Raises as model.pulling.pull."""
    from gpt2_assist.model.pulling import pull
    with words(name) as show, bar(name + remark, BYTES) as fetching, bar(f"{name}, unpacking", WEIGHTS) as converting:
        show("asking for it …")
        model = pull(name, store_name, fetching, converting, patient)
    prepare_with_progress(model)
    return model
