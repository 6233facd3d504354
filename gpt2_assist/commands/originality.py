"""`gpt2-assist originality`: how much of a text was copied from what a run learned from."""
import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from gpt2_assist.commands.prompt import read_prompt
from gpt2_assist.console.terminal import visible
from gpt2_assist.errors import UsageError
from gpt2_assist.frontend.help import SUMMARIES, Help
from gpt2_assist.runs import DEFAULT

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
    from gpt2_assist.frontend.copied import report_on
    report = report_on(read_prompt(args.text, None, args.file), args.run_name, args.n)
    if args.json:
        print(json.dumps(asdict(report)))
    else:
        print(visible("\n".join(report.lines())))
    return 0
