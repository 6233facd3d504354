"""The line at the bottom: what one wants to know while one writes. Where it is narrow, what stands last goes first."""
from collections.abc import Sequence

from gpt2_assist.repl.screen.wrapping import breadth

BETWEEN = "  "


def fitted_line(fields: Sequence[str], width: int) -> str:
    """As many of the fields, from the first on, as fit; of the first as much as fits."""
    line = ""
    for field in filter(None, fields):
        longer = f"{line}{BETWEEN}{field}" if line else f" {field}"
        if breadth(longer) > width and line:
            break
        line = longer
    while breadth(line) > width:
        line = line[:-1]
    return line
