"""`gpt2-assist originality`: how much of a text was copied from what a run learned from."""
import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from gpt2_assist.commands.help import SUMMARIES, Help
from gpt2_assist.commands.prompt import read_prompt
from gpt2_assist.errors import DataError, UsageError
from gpt2_assist.runs import DEFAULT, find_run
from gpt2_assist.terminal import visible

if TYPE_CHECKING:
    from gpt2_assist.originality.report import Originality

_EXAMPLE = """example:
  gpt2-assist originality "It was a dark and stormy night" --run run1
  gpt2-assist generate --model run1 | gpt2-assist originality - --json"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("originality", help=SUMMARIES["originality"], epilog=_EXAMPLE,
                                   description="Say how much of a text was copied from the data of a run, and whence.",
                                   formatter_class=Help)
    parser.add_argument("text", nargs="?", metavar="TEXT", help="the text; - is standard input")
    parser.add_argument("-f", "--file", type=Path, metavar="FILE",
                        help="read the text from a file, of any kind that finetune reads")
    parser.add_argument("--run", dest="run_name", default=DEFAULT, metavar="RUN", help=f"the run (default {DEFAULT})")
    parser.add_argument("-n", type=int, default=8, metavar="N", help="copies of fewer tokens don't count (default 8)")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.n < 1:
        raise UsageError(f"-n must be a whole number from 1 on, not {args.n}.")
    if args.text is not None and args.file is not None:
        raise UsageError("Give the text once: as TEXT or with --file.")
    if args.text is None and args.file is None and sys.stdin.isatty():
        raise UsageError("There is no text: give it as TEXT, with --file FILE, or on standard input.")
    report = report_on(read_prompt(args.text, None, args.file), args.run_name, args.n)
    if args.json:
        print(json.dumps(asdict(report)))
    else:
        print(visible("\n".join(report.lines())))
    return 0


def report_on(text: str, run_name: str, n: int) -> "Originality":
    """How much of a text is copied from what a run learned from; spans of fewer than n tokens don't count.

    Raises DataError where there is no such run, or none with an index that is whole.
    """
    found = find_run(run_name)
    folder = found.folder / "copies"
    if not folder.is_dir():
        raise DataError(f"The run {run_name} has no index of its training data, which is made when a run is trained.")

    from gpt2_assist.originality.index import CopyIndex
    from gpt2_assist.originality.report import measure
    from gpt2_assist.text.tokenizer import TextTokenizer
    tokenizer = TextTokenizer.from_folder(found.tokenizer.parent)
    return measure(CopyIndex.load(folder), tokenizer.encode(text), tokenizer.decode, n)
