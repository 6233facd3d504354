"""`gpt2-assist doctor`: whether installation, daemon, model and editors are in place, and what to do where not."""
import argparse
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from gpt2_assist import __version__, config
from gpt2_assist.errors import AssistError
from gpt2_assist.frontend.help import SUMMARIES, Help

_EDITORS = {"nvim": "editors/neovim", "code": "editors/vscode", "hx": "docs/editors.md", "emacs": "docs/editors.md"}


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("doctor", help=SUMMARIES["doctor"],
                                   description="Check the installation and say what to do. Exit code 1 if something "
                                               "must be done.",
                                   epilog="example:\n  gpt2-assist doctor",
                                   formatter_class=Help)
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    findings = []
    for check in (_installation, _settings, _daemon, _editors):
        for what, ok, says in check():
            findings.append({"what": what, "ok": ok, "says": says})
            if not args.json:
                print(f"{'ok  ' if ok else 'DO  '}{what}: {says}", flush=True)
    if args.json:
        print(json.dumps(findings))
    return 0 if all(finding["ok"] for finding in findings) else 1


def _installation() -> Iterator[tuple[str, bool, str]]:
    yield "gpt2-assist", True, f"version {__version__}, Python {sys.version.split()[0]}"
    beside = Path(sys.executable).with_name("gpt2-lsp")
    found = shutil.which("gpt2-lsp")
    if found:
        yield "gpt2-lsp", True, found
    elif beside.exists():
        yield "gpt2-lsp", True, f"{beside}; it is not on PATH, so give editors this whole path"
    else:
        yield "gpt2-lsp", False, "it is missing: install the package again"


def _settings() -> Iterator[tuple[str, bool, str]]:
    from gpt2_assist.model.store import better_to_be_had, find_model
    try:
        settings = config.read_settings()
        yield "settings", True, str(config.home() / "settings.toml")
        model = find_model(settings.model)
        yield "model", True, f"{model.name}, {model.size_bytes / 1e6:.0f} MB"
        if better := better_to_be_had(settings.model):
            yield "model", True, better
    except AssistError as error:
        yield "settings and model", False, str(error)


def _daemon() -> Iterator[tuple[str, bool, str]]:
    from gpt2_assist.ipc.client import Client
    try:
        with Client.connect("doctor") as client:
            loaded = client.load(config.read_settings().model)
            yield "daemon", True, (f"process {client.status()['pid']} has {loaded.model} loaded "
                                   f"({loaded.precision} on {loaded.device})")
    except AssistError as error:
        yield "daemon", False, str(error)


def _editors() -> Iterator[tuple[str, bool, str]]:
    there = {name: place for name, place in _EDITORS.items() if shutil.which(name)}
    for name, place in there.items():
        yield name, True, f"found; its set-up is in {place}"
    if not there:
        yield "editors", True, "none of " + ", ".join(_EDITORS) + " is on PATH; docs/editors.md has all set-ups"
