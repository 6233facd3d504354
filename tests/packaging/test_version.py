"""The version stands in gpt2_assist/__init__.py; what can't read it there says the same."""
import json
import re
import tomllib
from pathlib import Path

import gpt2_assist

ROOT = Path(__file__).parents[2]


def test_the_extension_for_vs_code_has_it():
    package = json.loads((ROOT / "editors/vscode/package.json").read_text(encoding="utf-8"))
    lock = json.loads((ROOT / "editors/vscode/package-lock.json").read_text(encoding="utf-8"))
    assert package["version"] == lock["version"] == lock["packages"][""]["version"] == gpt2_assist.__version__


def test_the_changelog_begins_with_it():
    headings = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == gpt2_assist.__version__
    assert headings == sorted(headings, key=lambda heading: [int(part) for part in heading.split(".")], reverse=True)


def test_the_package_reads_it():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in project["project"] and project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "gpt2_assist.__version__"}
