"""A text in the user's own editor."""
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from gpt2_assist.errors import UsageError
from gpt2_assist.files.text_file import read_text

_USUAL = ("editor", "nano", "vi", "notepad")


def command() -> list[str]:
    """The editor that the user wants. Raises UsageError where there is none."""
    wanted = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    try:
        words = shlex.split(wanted) if wanted else [name for name in _USUAL if shutil.which(name)][:1]
    except ValueError:
        words = []
    if not words or not shutil.which(words[0]):
        raise UsageError(f"There is no editor {wanted}: set EDITOR to the command that starts yours." if wanted else
                         "There is no editor: set EDITOR to the command that starts yours.")
    return words


def edited(text: str, editor: list[str]) -> str | None:
    """The text as the user left it; None where the editor failed. It ends without a line break that editors add."""
    with tempfile.TemporaryDirectory(prefix="story-") as folder:  # for its owner alone
        path = Path(folder) / "story.txt"
        path.write_text(text, encoding="utf-8", newline="")
        try:
            ended = subprocess.run([*editor, str(path)], check=False)
            after = read_text(path)
        except (OSError, ValueError) as error:
            raise UsageError(f"The edited text can't be read: {error}.") from None
    if ended.returncode:
        return None
    if after == text:
        return text
    if "\r" not in text:
        after = after.replace("\r\n", "\n")
    return after[:-1] if after.endswith("\n") and not text.endswith("\n") else after
