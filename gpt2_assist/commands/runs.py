"""`gpt2-assist runs`: what fine-tuning made, listed, compared, carried elsewhere and turned into plain models."""
import argparse
import sys
from pathlib import Path

from gpt2_assist.errors import DataError, UsageError
from gpt2_assist.frontend.help import SUMMARIES, Help

_EXAMPLE = """examples:
  gpt2-assist runs                             # all of them
  gpt2-assist runs show titles
  gpt2-assist runs slim titles                 # without the states of its training
  gpt2-assist runs pack titles titles.tar.gz   # to carry it elsewhere
  gpt2-assist runs unpack titles.tar.gz
  gpt2-assist runs merge titles --name my-titles --strength 0.8
  gpt2-assist runs export titles titles-hf     # for transformers; --gguf FILE for llama.cpp"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("runs", help=SUMMARIES["runs"], epilog=_EXAMPLE,
                                   description="List, compare, remove, carry and convert runs.",
                                   formatter_class=Help)
    parser.set_defaults(run=list_all)
    actions = parser.add_subparsers(metavar="ACTION")
    one = actions.add_parser("list", help="all runs, side by side")
    one.set_defaults(run=list_all)
    one = actions.add_parser("show", help="one run: settings, losses, the last samples")
    one.add_argument("name", metavar="RUN")
    one.set_defaults(run=show)
    one = actions.add_parser("remove", help="delete a run with all that belongs to it")
    one.add_argument("name", metavar="RUN")
    one.set_defaults(run=remove)
    one = actions.add_parser("slim", help="drop the states from which training goes on; the best model stays")
    one.add_argument("names", nargs="+", metavar="RUN")
    one.set_defaults(run=slim)
    one = actions.add_parser("pack", help="put a run into one archive")
    one.add_argument("name", metavar="RUN")
    one.add_argument("archive", type=Path, metavar="FILE", help="a .tar.gz")
    one.add_argument("--checkpoints", action="store_true", help="with those from which training goes on")
    one.set_defaults(run=pack)
    one = actions.add_parser("unpack", help="make a run of an archive")
    one.add_argument("archive", type=Path, metavar="FILE")
    one.add_argument("--name", metavar="RUN", help="other than the one that it had")
    one.set_defaults(run=unpack)
    one = actions.add_parser("merge", help="make a plain model of a run: base and adapter in one")
    one.add_argument("name", metavar="RUN")
    one.add_argument("--name", dest="model", metavar="M", help="of the model (default: the run's, with -merged)")
    one.add_argument("--strength", type=float, default=1.0, metavar="X",
                     help="of the adapter: 0 is the base (default 1)")
    one.set_defaults(run=merge)
    one = actions.add_parser("export", help="write a model for other programs")
    one.add_argument("name", metavar="MODEL", help="a run or any other model")
    one.add_argument("target", type=Path, metavar="PATH", help="a folder for transformers, or a file with --gguf")
    one.add_argument("--gguf", action="store_true", help="for llama.cpp: one GGUF file")
    one.set_defaults(run=export)


def list_all(args: argparse.Namespace) -> int:
    from gpt2_assist.console.terminal import columns_shown, fitted_parts, visible
    from gpt2_assist.runs import list_runs
    rows = [["run", "base", "method", "steps", "before", "best", "general", "tokens", "MB"]]
    for run in list_runs():
        try:
            rows.append(_row(run))
        except (DataError, TypeError, ValueError, KeyError, AttributeError):
            rows.append([run.name, "damaged", *[""] * (len(rows[0]) - 2)])
    if len(rows) == 1:
        print("There are no runs yet; `gpt2-assist finetune PATH` makes one.")
        return 0
    widths = [max(map(len, column)) for column in zip(*rows)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    if sys.stdout.isatty() and max(map(len, table)) > columns_shown():
        table = [fitted_parts([f"{name}:", *(f"{title} {cell}" for title, cell in zip(rows[0][1:], cells) if cell)])
                 for name, *cells in rows[1:]]
    print(visible("\n".join(table)))
    return 0


def _row(run) -> list[str]:
    record, curve, best = run.record(), run.curve(), run.best()
    settings = record.settings
    general = [entry["general"] for entry in curve if "general" in entry]
    done = curve[-1]["step"] if curve else 0
    return [run.name, record.base, settings.get("method", ""), f"{done}/{settings.get('steps', 0)}",
            _loss(best.get("before")), _loss(best.get("loss")), _loss(general[-1] if general else None),
            f"{record.tokens:,}", f"{run.size_bytes / 1e6:.0f}"]


def show(args: argparse.Namespace) -> int:
    from gpt2_assist.console.terminal import barred, columns_shown, fitted, fitted_parts, visible
    from gpt2_assist.runs import find_run
    run = find_run(args.name)
    record, best = run.record(), run.best()
    print(fitted(visible(f"{run.name}: {record.base}, trained on {', '.join(record.paths)}")))
    print(fitted_parts(f"{name}={', '.join(value) if isinstance(value, list) else value}"
                       for name, value in record.settings.items()))
    measured = [entry for entry in run.curve() if "validation" in entry]
    for entry in measured[-10:]:
        losses = [f"{name} {entry[name]:.3f}" for name in ("loss", "validation", "general", "infill")
                  if name in entry]
        best_too = ["best"] if entry["step"] == best.get("step") else []
        print(fitted_parts([f"step {entry['step']}", *losses, *best_too]))
    for sample in run.last_samples():
        columns = columns_shown() if sys.stdout.isatty() else None
        print(f"A sample at the end:\n{barred(visible(sample), columns)}")
    if not run.states():
        print(fitted("There is no saved state of its training: --resume can't go on with it. `gpt2-assist finetune "
                     f"PATH --from {run.name} --run NAME` trains its model further."))
    print(f"In {run.folder}.")
    return 0


def remove(args: argparse.Namespace) -> int:
    from gpt2_assist.runs import remove_run
    remove_run(args.name)
    print(f"Removed the run {args.name}.")
    return 0


def slim(args: argparse.Namespace) -> int:
    from gpt2_assist.runs import slim_run
    for name in args.names:
        freed = slim_run(name)
        print(f"The run {name} takes {freed / 1e6:.1f} MB less. It writes as before; --resume can't go on with it any "
              "more.")
    return 0


def pack(args: argparse.Namespace) -> int:
    from gpt2_assist.files.output_file import OutputFile
    from gpt2_assist.runs import pack_run
    whole = OutputFile(args.archive).whole
    pack_run(args.name, args.archive, args.checkpoints)
    size = f", {args.archive.stat().st_size / 1e6:.1f} MB" if whole else ""
    print(f"{args.archive} holds the run {args.name}{size}.", file=sys.stdout if whole else sys.stderr)
    return 0


def unpack(args: argparse.Namespace) -> int:
    from gpt2_assist.runs import unpack_run
    run = unpack_run(args.archive, args.name)
    print(f"Unpacked the run {run.name}; `gpt2-assist generate --model {run.name}` writes with it.")
    return 0


def merge(args: argparse.Namespace) -> int:
    name, at, _ = args.name.partition("@")
    if at and args.strength != 1:
        raise UsageError(f"{args.name} names a strength already: leave --strength out.")
    from gpt2_assist.training.export.merging import merge_run
    model = merge_run(args.name, args.model or f"{name}-merged", args.strength)
    print(f"The model {model.name} is in the store; `gpt2-assist generate --model {model.name}` writes with it.")
    return 0


def export(args: argparse.Namespace) -> int:
    from gpt2_assist.training.export.merging import export_folder, export_gguf
    (export_gguf if args.gguf else export_folder)(args.name, args.target)
    print(f"{args.target} is written.")
    return 0


def _loss(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
