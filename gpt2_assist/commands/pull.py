"""`gpt2-assist pull`: fetches a model, or lists those that have short names."""
import argparse
import json

from gpt2_assist.console.terminal import fitted, visible
from gpt2_assist.frontend.help import SUMMARIES, Help
from gpt2_assist.model import store
from gpt2_assist.model.catalogue import Entry, read_catalogue

_EXAMPLE = """example:
  gpt2-assist pull                                # lists what has a short name, with sizes and licences
  gpt2-assist pull smollm2
  gpt2-assist pull OWNER/NAME --name mine         # of the hub: a GPT-2, Llama, Qwen2 or Qwen3"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("pull", help=SUMMARIES["pull"], epilog=_EXAMPLE,
                                   description="Fetch a model, or list those that can be fetched. Only this and the "
                                               "first use of all need the network; GPT2_ASSIST_OFFLINE=1 or "
                                               "`offline = true` in settings.toml forbid it to both.",
                                   formatter_class=Help)
    parser.add_argument("model", nargs="?", metavar="NAME", help="a short name from the list, or OWNER/NAME of the hub")
    parser.add_argument("--name", metavar="STORE_NAME", help="what to call it here (default: its name there)")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.model is None:
        return _list(args.json)
    from gpt2_assist.commands.models import summary
    from gpt2_assist.frontend.fetching import fetch
    model = fetch(args.model, args.name)
    print(json.dumps(summary(model)) if args.json else
          f"{model.name} is ready: gpt2-assist generate --model {model.name}")
    return 0


def _list(as_json: bool) -> int:
    entries = list(read_catalogue().models.values())
    if as_json:
        print(json.dumps([_summary(entry) for entry in entries]))
        return 0
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        here = "  (here)" if store.is_stored(entry.name) else ""
        print(visible(f"{entry.name:<{width}}  {entry.parameters / 1e6:>5.0f}M  {_size(entry.bytes):>7}  "
                      f"{entry.licence}{here}"))
        print(visible(f"    {entry.good_for}"))
    print(fitted("The first number is parameters, the second what is downloaded. `gpt2-assist pull NAME` fetches one; "
                 "OWNER/NAME names any other GPT-2, Llama, Qwen2 or Qwen3 of the hub."))
    return 0


def _summary(entry: Entry) -> dict:
    place = f"{entry.wheel.project} {entry.wheel.version}" if entry.wheel else entry.repository
    return {"name": entry.name, "good_for": entry.good_for, "parameters": entry.parameters, "bytes": entry.bytes,
            "licence": entry.licence, "from": place, "here": store.is_stored(entry.name)}


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
