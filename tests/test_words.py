"""One word, one meaning: no two public classes of the packages have one name."""
import ast
from collections import defaultdict
from pathlib import Path

import gpt2_lsp

import gpt2_assist

TWINS = {
    "Document": "a text that is learned from; a text that an editor has open",
    "Sample": "one text of a request, as its worker and as its client has it"}
"""Names that two may have, since both are what the field calls so."""


def test_a_name_of_a_class_is_given_once():
    files: dict[str, list[str]] = defaultdict(list)
    for package in (gpt2_assist, gpt2_lsp):
        folder = Path(str(package.__file__)).parent
        for path in sorted(folder.rglob("*.py")):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    files[node.name].append(str(path.relative_to(folder.parent)))
    assert len(files) > 100
    assert {name: places for name, places in files.items() if len(places) > 1 and name not in TWINS} == {}
    assert all(len(files[name]) == 2 for name in TWINS)
