"""A VS Code that runs in a browser: the server, and the page that a driver process shows and types into."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Thread

ROOT = Path(__file__).resolve().parents[2]
EXTENSION = ROOT / "editors" / "vscode"
SERVER = Path(sys.executable).with_name("gpt2-lsp")
DRIVER = Path(__file__).with_name("vscode_driver.mjs")
GHOST = r"""(() => {
    const texts = selector => [...document.querySelectorAll(selector)].map(element => element.textContent);
    const lines = [texts('.ghost-text-decoration').join(''), ...texts('.suggest-preview-text .view-line:has(.ghost-text)')];
    return lines.join('\n').replaceAll('\u00a0', ' ');
})()"""
"""The ghost text: VS Code shows its first line in the text and the others in a zone below."""
BAR = "(document.getElementById('gpt2-assist.gpt2-assist.gpt2Assist.status')?.textContent ?? '').replaceAll('\\u00a0', ' ')"
NOTIFICATIONS = "[...document.querySelectorAll('.notifications-toasts .notification-list-item-message')]"
BASE_SETTINGS = {
    "security.workspace.trust.enabled": False, "workbench.startupEditor": "none", "window.menuBarVisibility": "hidden",
    "workbench.secondarySideBar.defaultVisibility": "hidden", "chat.disableAIFeatures": True,
    "telemetry.telemetryLevel": "off", "files.autoSave": "off", "[markdown]": {"editor.wordWrap": "off"}}
START_S = 60
"""The extension host takes up to 15 s on two idle cores."""


def lacking() -> str:
    """What must be installed before these tests can run; empty if nothing."""
    prefix = os.environ.get("GPT2_ASSIST_VSCODE")
    if not prefix or not (Path(prefix) / "bin" / "code-server").exists():
        return ("needs a VS Code that runs in a browser: set GPT2_ASSIST_VSCODE to a folder with bin/node, bin/code-server "
                "and server/node_modules/playwright-core (npm install code-server playwright-core)")
    for program, what in (("npm", "Node.js 20 or later"), ("chromium", "Chromium")):
        if not shutil.which(program):
            return f"needs {program} on the PATH: install {what}"
    return "" if SERVER.exists() else f"needs {SERVER}: make install"


@cache
def pack() -> Path:
    """The extension, packed as its README says."""
    for command in (["npm", "ci", "--prefer-offline", "--no-audit", "--no-fund"], ["npm", "run", "package"]):
        done = subprocess.run(command, cwd=EXTENSION, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}")
    return EXTENSION / "gpt2-assist.vsix"


def write_settings(folder: Path, settings: dict) -> None:
    """All of the settings that a folder holds: a workspace's, or those of the machine. VS Code sees at once that they changed."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")


class Page:
    """One window of VS Code. Waiting fails with a TimeoutError that says for what."""

    def __init__(self, driver: subprocess.Popen, picture: Path) -> None:
        """A picture of the page when something can't be done goes into `picture`."""
        self._driver, self._picture = driver, picture

    def command(self, command: str, **arguments: object) -> object:
        answer = self._ask(command, arguments)
        if "error" in answer:
            self._ask("screenshot", {"path": str(self._picture)})
            raise TimeoutError(f"{command} {arguments}: {answer['error']}; {self._picture} shows the page")
        return answer["result"]

    def _ask(self, command: str, arguments: dict) -> dict:
        self._driver.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
        self._driver.stdin.flush()
        line = self._driver.stdout.readline()
        if not line:
            raise RuntimeError("the driver ended")
        return json.loads(line)

    def wait(self, expression: str, seconds: float = 15) -> object:
        """The value of JavaScript's `expression` in the page once it is true."""
        return self.command("wait", expression=expression, timeout=seconds * 1000)

    def evaluate(self, expression: str) -> object:
        return self.command("evaluate", expression=expression)

    def press(self, *keys: str) -> None:
        self.command("press", keys=keys)

    def type(self, text: str, delay: float = 15) -> None:
        """Types with so many milliseconds between keys."""
        self.command("type", text=text, delay=delay)

    def click(self, selector: str, seconds: float = 15) -> None:
        self.command("click", selector=selector, timeout=seconds * 1000)

    def run(self, title: str) -> None:
        """A command from the palette."""
        self.press("F1")
        self.wait("document.activeElement?.closest('.quick-input-widget')")
        self.command("type", text=title, delay=0)
        self.wait(f"document.querySelector('.quick-input-list .focused')?.textContent.includes({json.dumps(title)})")
        self.press("Enter")

    def open(self, name: str) -> None:
        """Opens a file of the folder by its name, with the cursor at its end."""
        self.press("Control+p")
        self.wait("document.activeElement?.closest('.quick-input-widget')")
        self.command("type", text=name, delay=0)
        self.wait(f"document.querySelector('.quick-input-list .focused')?.getAttribute('aria-label')"
                  f"?.startsWith({json.dumps(name)})")
        self.press("Enter")
        self.wait(f"document.querySelector('.tab.active')?.textContent.includes({json.dumps(name)})")
        self.wait("document.activeElement?.closest('.monaco-editor')")
        self.press("Control+End")

    def warm_up(self, name: str) -> None:
        """Types into a file until ghost text comes: VS Code makes that part of its editor when it is idle, and what was
        typed before brings none."""
        self.open(name)
        for _ in range(10):
            self.type("The old man ")
            try:
                self.ghost(seconds=1)
                return
            except TimeoutError:
                pass
        self.ghost()

    def ghost(self, but: str | None = None, seconds: float = 15) -> str:
        """The ghost text, once there is one (other than `but`)."""
        other = "" if but is None else f" && ghost !== {json.dumps(but)}"
        return self.wait(f"(() => {{ const ghost = {GHOST}; return ghost{other} && ghost; }})()", seconds)

    def wait_for_ghost(self, text: str, seconds: float = 15) -> None:
        self.wait(f"{GHOST} === {json.dumps(text)}", seconds)

    def record(self) -> None:
        """Keeps every ghost text that the page shows from now on, however short."""
        self.evaluate(f"""(() => {{
            window.recorded = [{GHOST}];
            window.recorder?.disconnect();
            window.recorder = new MutationObserver(() => {{
                const text = {GHOST};
                if (text !== window.recorded.at(-1)) window.recorded.push(text);
            }});
            window.recorder.observe(document.querySelector('.monaco-workbench'),
                                    {{ subtree: true, childList: true, characterData: true }});
        }})()""")

    def recorded(self) -> list[str]:
        return self.evaluate("window.recorded")

    def no_ghost(self, seconds: float = 15) -> None:
        self.wait(f"!({GHOST})", seconds)

    def click_bar(self) -> None:
        self.click("[id='gpt2-assist.gpt2-assist.gpt2Assist.status']")

    def quick_pick(self, part: str, seconds: float = 15) -> str:
        """The text of the entry that contains `part`, in the list that is open."""
        return self.wait("[...document.querySelectorAll('.quick-input-list .monaco-list-row')]"
                         f".map(row => row.textContent).find(text => text.includes({json.dumps(part)}))", seconds)

    def bar(self, part: str, seconds: float = 15) -> str:
        """The status bar item's text, once `part`, a regular expression, is found in it."""
        pattern = json.dumps(part)
        return self.wait(f"(() => {{ const bar = {BAR}; return new RegExp({pattern}).test(bar) && bar; }})()", seconds)

    def notification(self, part: str, seconds: float = 15) -> str:
        """The text of a notification that contains `part`."""
        return self.wait(f"{NOTIFICATIONS}.map(item => item.textContent).find(text => text.includes({json.dumps(part)}))", seconds)

    def notifications(self) -> list[str]:
        """The texts of those on the screen."""
        return self.evaluate(f"{NOTIFICATIONS}.map(item => item.textContent)")

    def button(self, label: str) -> None:
        """Presses a button of a notification."""
        self.click(f".notifications-toasts .monaco-button:has-text({json.dumps(label)})")

    def saved(self) -> None:
        """Saves the file in front, and returns once that is done."""
        self.press("Control+s")
        self.wait("document.querySelector('.tab.active:not(.dirty)')")

    def screenshot(self, path: Path) -> None:
        self.command("screenshot", path=str(path))


@contextmanager
def workbench(vsix: Path, folder: Path, settings: dict | None = None, scale: int = 1) -> Iterator["Workbench"]:
    """A code-server with the extension installed and gpt2-lsp not on its PATH, and the driver of its page, of which a
    picture has `scale` pixels for one. Its files are in `folder`; `settings` are those of the machine."""
    prefix = Path(os.environ["GPT2_ASSIST_VSCODE"])
    write_settings(folder / "data" / "User", BASE_SETTINGS)
    write_settings(folder / "data" / "Machine", settings or {})
    folders = ["--user-data-dir", str(folder / "data"), "--extensions-dir", str(folder / "extensions")]
    program = str(prefix / "bin" / "code-server")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VSCODE_")} | {
        "PATH": os.pathsep.join(path for path in os.environ["PATH"].split(os.pathsep)
                                if not (Path(path) / "gpt2-lsp").exists()),
        "XDG_CONFIG_HOME": str(folder / "config"), "XDG_DATA_HOME": str(folder / "share")}
    subprocess.run([program, *folders, "--install-extension", str(vsix)], check=True, env=environment,
                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    server = subprocess.Popen(
        [program, "--auth", "none", "--bind-addr", "127.0.0.1:0", *folders, "--disable-telemetry",
         "--disable-update-check", str(folder)], env=environment, text=True, encoding="utf-8",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    driver = None
    try:
        lines = [next(line for line in server.stdout if "server listening on" in line)]
        reading = Thread(target=lambda: lines.extend(server.stdout))  # a full pipe would stop the server
        reading.start()
        driver = subprocess.Popen([str(prefix / "bin" / "node"), str(DRIVER), str(prefix), shutil.which("chromium"), str(scale)],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
        address = re.search(r"http://\S+?(?=/?$)", lines[0].strip())[0]
        yield Workbench(address, Page(driver, folder / "failed.png"), server.pid, folder / "data" / "Machine")
    finally:
        if driver:
            driver.stdin.close()
            driver.wait(30)
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


class Workbench:
    """`machine` is the folder of the settings of the machine on which extensions run: where the server is, for one."""

    def __init__(self, address: str, page: Page, pid: int, machine: Path) -> None:
        self._address, self.page, self._pid, self.machine = address, page, pid, machine

    def open(self, folder: Path) -> Page:
        """The page with a folder opened, once the workbench is there."""
        self.page.command("open", url=f"{self._address}/?folder={folder}")
        self.page.wait("document.querySelector('.monaco-workbench .part.statusbar')", START_S)
        return self.page

    def language_servers(self) -> list[int]:
        """The process ids of gpt2-lsp below code-server."""
        listed = subprocess.run(["ps", "-axwwo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
        processes = {int(pid): (int(parent), command)
                     for pid, parent, command in (line.split(None, 2) for line in listed.splitlines() if line.count(" ") > 1)}

        def below(pid: int) -> bool:
            return pid == self._pid or pid in processes and below(processes[pid][0])

        return [pid for pid, (_, command) in processes.items() if re.search(r"/gpt2-lsp( |$)", command) and below(pid)]
