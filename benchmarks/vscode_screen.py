"""How long it takes in a real VS Code from a key to ghost text on the screen.

    GPT2_ASSIST_VSCODE=FOLDER python benchmarks/vscode_screen.py --model mini --words 60

Words are typed at an even pace, with a pause after each, as one looks up. The page itself takes the times: from the
event of the key to the first frame that shows another ghost text. VS Code waits 50 ms before it asks; where what is
typed is what the ghost text says, it asks too but shows the rest at once.
"""
import argparse
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "editors"))
from own_daemon import daemon
from table import quantile, show
from vscode_workbench import GHOST, SERVER, Page, lacking, pack, workbench

TEXT = """
The harbour was quiet when the last boat came in, and the men who had waited on the stones went down to help with the
ropes. Nobody spoke of the storm. They carried the baskets up to the house, where the women had made a fire, and for a
while there was nothing to hear but the rain on the roof and the steps of the children above. Then the oldest of them
put down his cup and began to tell what he had seen that morning beyond the lighthouse."""
PACE_MS = 90
"""Between keys: a quick typist's."""
PAUSE_S = 1.0
"""How long a text is waited for after a word; some places have none."""
WATCH = f"""(() => {{
    const ghost = () => {GHOST};
    let key = null;
    window.samples = [];
    document.addEventListener('keydown', event => {{
        const before = ghost();
        key = {{ at: performance.now(), before, along: before.startsWith(event.key) }};
    }}, true);
    new MutationObserver(() => {{
        const pending = key, text = pending && ghost();
        if (!text || text === pending.before) return;
        key = null;
        requestAnimationFrame(() => window.samples.push([performance.now() - pending.at, pending.along]));
    }}).observe(document.querySelector('.monaco-workbench'), {{ subtree: true, childList: true, characterData: true }});
}})()"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini", help="a store name or folder (default: mini)")
    parser.add_argument("--words", type=int, default=60,
                        help=f"how many to type, up to {len(TEXT.split())} (default: 60)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the daemon (default: all cores)")
    arguments = parser.parse_args()
    if lacking():
        print(lacking(), file=sys.stderr)
        return 2
    with TemporaryDirectory(prefix="g2a-") as name, daemon(arguments.threads):
        folder = Path(name)
        (folder / "notes").mkdir()
        for file in ("warm.md", "story.md"):
            (folder / "notes" / file).write_text("", encoding="utf-8")
        settings = {"gpt2Assist.serverPath": str(SERVER), "gpt2Assist.model": arguments.model,
                    "gpt2Assist.confidence": 0}
        with workbench(pack(), folder / "vscode", settings) as code:
            page = code.open(folder / "notes")
            page.bar("[0-9] ms|^ ?[^·]+$", 120)
            page.warm_up("warm.md")
            page.open("story.md")
            samples = typed(page, TEXT.split()[:arguments.words])
    rows = []
    for label, along in (("another text", False), ("typed along", True)):
        times = [time for time, kind in samples if kind is along]
        rows.append([label, len(times), *([quantile(times, 0.5), quantile(times, 0.95)] if times else [None, None])])
    show(f"Key to ghost text on VS Code's screen, {Path(arguments.model).name}, {arguments.threads} threads",
         ["", "keys", "p50 ms", "p95 ms"], rows)
    return 0


def typed(page: Page, words: list[str]) -> list[tuple[float, bool]]:
    """(milliseconds to the frame, whether the key was what the ghost text said) of every key that changed it."""
    page.evaluate(WATCH)
    for word in words:
        page.type(f"{word} ", delay=PACE_MS)
        try:
            page.ghost(seconds=PAUSE_S)
        except TimeoutError:
            continue
    return [(time, along) for time, along in page.evaluate("window.samples")]


if __name__ == "__main__":
    sys.exit(main())
