"""What a terminal sends as text: pasted and typed words may bring bytes that steer terminals, and halves of letters."""
import re

from gpt2_assist.text.valid import valid

_ESCAPED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])?|\x9b[0-?]*[ -/]*[@-~]")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def cleaned(text: str) -> str:
    """`text` without control sequences and control characters, line breaks as one character each."""
    text = _ESCAPED.sub("", valid(text)).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", text)
