"""Small text files that people and other programs write, whatever mark an editor put at their beginning."""
import codecs
import json
from pathlib import Path
from typing import Any

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def read_text(path: Path) -> str:
    """UTF-8 with or without a mark, or UTF-16 with one. Raises OSError, and ValueError where it is neither."""
    data = path.read_bytes()
    return data.decode(next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8"))


def read_json(path: Path) -> Any:
    """What stands in a JSON file. Raises OSError, and ValueError where it is none."""
    try:
        return json.loads(read_text(path))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
