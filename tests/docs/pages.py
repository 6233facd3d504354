"""What our pages show as typed: the blocks of the README and of docs/, fenced or indented, and the commands in them."""
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_COMMAND = re.compile(r"(\.venv/bin/)?(gpt2-(assist|repl|lsp)|make|python3?|pip|cat|echo|torchrun)( |$)")


@dataclass(frozen=True)
class Block:
    """One block of a page, without its indentation."""

    page: str
    line: int
    lines: tuple[str, ...]

    def commands(self) -> list[str]:
        """What is typed: behind `$` where there is one, or else every line. Without what is said of it behind `#`."""
        typed = [line.removeprefix("$ ") for line in self.lines if line.startswith("$ ")]
        lines = typed or [line for line in self.lines if line.strip() and not line.lstrip().startswith("#")]
        odd = [line for line in lines if not _COMMAND.match(line)]
        assert not odd, f"{self.page}, line {self.line}: no command: {odd[0]}"
        return [re.sub(r"\s+# .*", "", line) for line in lines]


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    fenced: list[str] | None = None
    indented: list[str] = []
    before, start = "", 0
    name = page.relative_to(ROOT).as_posix()
    for number, line in enumerate([*page.read_text(encoding="utf-8").splitlines(), "", "# the end"], 1):
        if line.startswith("```"):
            if fenced is None:
                fenced, start = [], number
            else:
                yield Block(name, start, tuple(fenced))
                fenced = None
        elif fenced is not None:
            fenced.append(line)
        elif line.startswith("    ") and (indented or not before.strip() or before.startswith("#")):
            start = start if indented else number
            indented.append(line[4:])
        elif indented and not line.strip():
            indented.append("")
        elif indented:
            yield Block(name, start, tuple(indented))
            indented = []
        before = line
    assert fenced is None, f"{name}: a fence without an end"
