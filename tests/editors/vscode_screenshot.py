"""Makes the picture of VS Code for the README, with the bundled model and real ghost text.

    python tests/editors/vscode_screenshot.py docs/images/vscode.png
"""
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from vscode_workbench import SERVER, lacking, pack, workbench

SETTINGS = {
    "gpt2Assist.serverPath": str(SERVER), "gpt2Assist.model": "mini", "gpt2Assist.confidence": 0,
    "workbench.activityBar.location": "hidden", "workbench.layoutControl.enabled": False, "breadcrumbs.enabled": False,
    "window.commandCenter": False, "editor.fontSize": 15, "editor.minimap.enabled": False,
    "editor.quickSuggestions": "off", "editor.autoClosingBrackets": "never"}
CODE = "import sys\n\ntry:\n    import json\n"


def main() -> int:
    if len(sys.argv) != 2 or lacking():
        print(lacking() or __doc__, file=sys.stderr)
        return 2
    target = Path(sys.argv[1]).resolve()
    with TemporaryDirectory(prefix="g2a-") as name:
        folder = Path(name)
        os.environ["GPT2_ASSIST_HOME"], os.environ["GPT2_ASSIST_RUNTIME"] = str(folder / "home"), str(folder / "run")
        (folder / "home").mkdir()
        (folder / "notes").mkdir()
        (folder / "notes" / "story.md").write_text("", encoding="utf-8")
        (folder / "notes" / "files.py").write_text(CODE, encoding="utf-8")
        try:
            with workbench(pack(), folder / "vscode", SETTINGS, scale=2) as code:
                page = code.open(folder / "notes")
                page.bar("^ ?mini", 60)
                page.warm_up("story.md")
                page.press("Control+b")
                page.command("resize", width=820, height=280)
                page.open("files.py")
                page.type("except ")
                page.ghost()
                page.bar("ms")
                page.screenshot(target)
        finally:
            subprocess.run([sys.executable, "-m", "gpt2_assist.cli", "daemon", "stop"], stdout=subprocess.DEVNULL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
