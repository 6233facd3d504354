"""`gpt2-assist pretrain RECIPE`: makes a model from nothing, as a recipe says."""
import argparse
import os
from pathlib import Path

from gpt2_assist.config import MOST_THREADS
from gpt2_assist.errors import UsageError
from gpt2_assist.frontend.help import SUMMARIES, Help

_EXAMPLE = """example:
  gpt2-assist pretrain recipes/mini.toml --corpora ./corpora --out ./mini-training
  gpt2-assist models import ./mini-training/model --name my-mini"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("pretrain", help=SUMMARIES["pretrain"], epilog=_EXAMPLE,
                                   description="Train a tokenizer and a model. Stopped at any moment, the same "
                                               "command goes on where it was.",
                                   formatter_class=Help)
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="a TOML file, such as recipes/mini.toml")
    parser.add_argument("--corpora", type=Path, metavar="FOLDER", help="where the recipe's corpora lie")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to work (default: NAME-training)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, metavar="N",
                        help="how many cores to use (default: all)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if not 1 <= args.threads <= MOST_THREADS:
        raise UsageError(f"--threads must be from 1 to {MOST_THREADS}, not {args.threads}.")
    from gpt2_assist.console.streams import Telling
    from gpt2_assist.console.terminal import interrupted, on_interrupt
    from gpt2_assist.files.modes import as_asked
    from gpt2_assist.training.pretraining.pretrain import pretrain
    from gpt2_assist.training.pretraining.recipe import read_recipe
    recipe = read_recipe(args.recipe, args.corpora)
    out = args.out or Path(f"{recipe.name}-training")
    asked: list[bool] = []
    told = Telling("the training")
    with as_asked(), on_interrupt(lambda: asked.append(True), ended=True):
        finished = pretrain(recipe, out, args.threads, lambda line: told.write(line + "\n"), lambda: bool(asked))
    if not finished:
        told.write(f"Stopped and saved in {out}; the same command goes on.\n")
        return interrupted()
    told.write(f"The model is in {out / 'model'}; `gpt2-assist models import {out / 'model'} --name {recipe.name}2` "
               "puts it into your store.\n")
    return 0
