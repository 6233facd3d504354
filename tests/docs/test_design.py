"""docs/design.md names files, which are there, and rooms, which are all that there are."""
import re
from pathlib import Path

TREE = Path(__file__).parents[2]
TEXT = (TREE / "docs" / "design.md").read_text(encoding="utf-8")
PLACES = ("gpt2_assist", "gpt2_assist/daemon", "gpt2_assist/daemon/supervisor", "gpt2_assist/daemon/worker",
          "lsp/gpt2_lsp")


def test_the_files_of_the_two_traces_are_there():
    traces = TEXT[TEXT.index("## One keystroke"):TEXT.index("## Platforms")]
    names = set(re.findall(r"`([\w/]+\.py)`", traces))
    assert len(names) > 40
    missing = [name for name in names if not any((TREE / place / name.removeprefix("lsp/")).is_file()
                                                 for place in PLACES)]
    assert missing == []


def test_every_room_is_in_the_list_of_rooms():
    rooms = TEXT[TEXT.index("## Rooms"):TEXT.index("## Promises")]
    listed = set(re.findall(r"([\w]+(?:/\w+)*)/(?= )", rooms))
    there = {path.parent.relative_to(TREE / "gpt2_assist").as_posix()
             for path in (TREE / "gpt2_assist").rglob("__init__.py")} - {".", "daemon"}
    assert {room for room in there if room not in listed and room.split("/")[-1] not in listed} == set()
