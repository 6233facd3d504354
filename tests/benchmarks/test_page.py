"""A page's figures are measured again by the command that stands beside them."""
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = """# Speed
Before.

<!-- one: {script} one -->
Another machine, long ago: 1.
<!-- /one -->
Between.
<!-- two: {script} two FOLDER -->
Another machine, long ago: 2.
<!-- /two -->
<!-- bad: {script} bad -->
Another machine, long ago: 3.
<!-- /bad -->
After.
"""
SCRIPT = """import sys
print("\\n| " + sys.argv[1] + r" | \\1 |")
print(sys.argv[2:], file=sys.stderr)
sys.exit(sys.argv[1] == "bad")
"""


@pytest.fixture
def page(tmp_path) -> Path:
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "page.md").write_text(PAGE.format(script=tmp_path / "script.py"))
    return tmp_path / "page.md"


def measure(page: Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(ROOT / "benchmarks" / "page.py"), *words, "--page", str(page)],
                          capture_output=True, text=True, timeout=60)


def test_a_section_gets_what_its_command_prints_with_the_machine_and_the_day(page):
    before = page.read_text()
    done = measure(page, "one")
    assert done.returncode == 0, done.stderr
    found = re.search(r"-->\n(.+ cores, .+), (\d+ \w+ \d{4}): `benchmarks/(.+) one`\.\n\n\| one \| \\1 \|\n<!--",
                      page.read_text())
    assert found and page.read_text().replace(found[0], "-->\nAnother machine, long ago: 1.\n<!--", 1) == before


def test_folders_are_given_and_never_written_down(page):
    before = page.read_text()
    refused = measure(page, "two")
    assert refused.returncode == 1 and "two is left as it is: give FOLDER=FOLDER." in refused.stderr
    assert page.read_text() == before
    done = measure(page, "two", "FOLDER=secret")
    assert done.returncode == 0 and "/secret']" in done.stderr.replace("\\\\", "/")
    assert "two FOLDER`." in page.read_text() and "secret" not in page.read_text()


def test_what_fails_leaves_its_figures_and_lets_the_others_go_on(page):
    done = measure(page)
    assert done.returncode == 1 and "bad is left as it is: its command failed." in done.stderr
    assert "long ago: 1" not in page.read_text() and "long ago: 3" in page.read_text()


def test_a_section_that_is_not_there_is_refused_by_name(page):
    done = measure(page, "nothing")
    assert done.returncode == 2 and "no section nothing; it has one, two, bad" in done.stderr


def test_every_section_of_our_pages_names_a_benchmark_and_flags_that_it_has():
    pages = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")]
    commands = [command.split() for text in pages for command in re.findall(r"^<!-- [\w-]+: (.+) -->$", text, re.M)]
    assert len(commands) > 10
    for file, *words in commands:
        script = (ROOT / "benchmarks" / file).read_text(encoding="utf-8")
        shared = (ROOT / "benchmarks" / "peers.py").read_text(encoding="utf-8") if "peer_files" in script else ""
        for flag in (word for word in words if word.startswith("--")):
            assert f'"{flag}"' in script + shared, (file, flag)
