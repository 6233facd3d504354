"""What somebody who waits for a training in a notebook sees: a bar in one place that changes, and lines below it."""
import html
import sys
import time

from gpt2_assist.frontend.training_display import Display
from gpt2_assist.training.finetuning.tuning import StepReport

_EVERY_S = 0.2


def in_notebook() -> bool:
    """Whether this is a notebook's kernel."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


class NotebookDisplay(Display):
    def __init__(self, model: str, quiet: bool = False) -> None:
        super().__init__(model, quiet)
        from IPython.display import HTML, display
        self._html, self._shown = HTML, 0.0
        self._place = None if quiet else display(HTML(""), display_id=True)

    def _progress(self, report: StepReport) -> None:
        line = "  ".join([*self._parts(report), *self._measured(report)])
        due = report.validation is not None or time.monotonic() - self._shown > _EVERY_S
        if self._place and due:
            self._shown = time.monotonic()
            self._place.update(self._html(
                f"<progress value='{report.step}' max='{report.steps}'></progress> <code>{html.escape(line)}</code>"))
