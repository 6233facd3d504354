"""`gpt2-assist finetune PATH...`: a model learns from the user's own texts."""
import argparse
import os
from typing import Any

from gpt2_assist.errors import UsageError
from gpt2_assist.frontend.help import SUMMARIES, Help
from gpt2_assist.runs import DEFAULT

_MODES = ("check", "plan", "resume", "overwrite")
_EXAMPLE = """examples:
  gpt2-assist finetune ~/notes                     # run1: a folder of texts
  gpt2-assist finetune titles.csv --run titles     # one short text a row
  gpt2-assist finetune ~/notes --check             # what is in there? trains nothing
  gpt2-assist finetune ~/notes --plan              # how long, how much memory?
  gpt2-assist finetune --resume --run titles       # goes on after Ctrl-C or a crash
  gpt2-assist finetune more/ --from run1 --run run2
  gpt2-assist finetune ~/code --infill --run code  # for generate --suffix
  gpt2-assist generate --model run1 -n 3"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "finetune", help=SUMMARIES["finetune"], epilog=_EXAMPLE,
        description="Train a model on files, folders, tables of short texts or standard input (-). Everything is "
                    "chosen for the model and the machine; every choice can be changed.",
        formatter_class=Help, argument_default=argparse.SUPPRESS)
    parser.add_argument("paths", nargs="*", default=[], metavar="PATH", help="files, folders, patterns of names, or -")
    parser.add_argument("--run", "--run-name", dest="name", metavar="NAME",
                        help="the run's name (default run1)")
    parser.add_argument("--model", metavar="M", help="the base: a store name or a model's folder")
    parser.add_argument("--from", dest="base_run", metavar="RUN",
                        help="go on from another run's model with other texts")
    parser.add_argument("--column", metavar="NAME",
                        help="the texts' column of a table, by its name or number, or their field in JSON")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--check", action="store_true", help="only say what is in the texts")
    modes.add_argument("--plan", action="store_true", help="only say how long it would take, how much memory and disk")
    modes.add_argument("--resume", action="store_true", help="go on with a run that was stopped; --steps, --patience, "
                       "--threads, --device and --save-every may be other ones")
    modes.add_argument("--overwrite", action="store_true", help="replace a run of that name")
    choices = parser.add_argument_group("choices", "what is left out is chosen for the model and the machine")
    choices.add_argument("--method", choices=["full", "lora"])
    choices.add_argument("--rank", type=int, metavar="N", help="of a LoRA adapter (default 8)")
    choices.add_argument("--alpha", type=float, metavar="X", help="of a LoRA adapter (default 16)")
    choices.add_argument("--targets", metavar="NAMES",
                         help="where adapters are put: qkv, output, up, down, or names of model files (default all)")
    choices.add_argument("--infill", action="store_true",
                         help="also teach it to fill in between two texts (generate --suffix): half of what it reads "
                              "is cut for it")
    choices.add_argument("--steps", type=int, metavar="N")
    choices.add_argument("--context", type=int, metavar="N", help="tokens in a row")
    choices.add_argument("--batch-tokens", type=int, metavar="N", help="tokens per step")
    choices.add_argument("--micro-rows", type=int, metavar="N", help="rows at once; fewer need less memory")
    choices.add_argument("--rate", type=float, metavar="X", help="peak learning rate")
    choices.add_argument("--warmup", type=int, metavar="N", help="steps until the peak")
    choices.add_argument("--decay", type=float, metavar="X", help="weight decay (default 0.01)")
    choices.add_argument("--clip", type=float, metavar="X", help="largest norm of the gradient (default 1)")
    choices.add_argument("--precision", choices=["bf16", "fp32"])
    choices.add_argument("--recompute", action="store_true", help="gradient checkpointing: slower, in less memory")
    choices.add_argument("--validation", type=float, metavar="SHARE", help="of the text (default 0.1)")
    choices.add_argument("--validate-every", type=int, metavar="N", help="steps")
    choices.add_argument("--patience", type=int, metavar="N",
                         help="validations without a better one after which it ends (default 4; 0 is never)")
    choices.add_argument("--keep-duplicates", action="store_true", help="train on texts that occur twice, twice")
    choices.add_argument("--without-private", action="store_true",
                         help="leave out the lines with e-mail addresses, passwords and keys of which --check warns")
    choices.add_argument("--prompt", dest="prompts", action="append", metavar="TEXT",
                         help="of a sample; may be repeated")
    choices.add_argument("--sample-every", type=int, metavar="N", help="steps")
    choices.add_argument("--save-every", type=int, metavar="N", help="steps (default: about a minute)")
    choices.add_argument("--seed", type=int, metavar="N")
    choices.add_argument("--threads", type=int, metavar="N", help="cores (default all)")
    choices.add_argument("--shard", action="store_true",
                         help="under torchrun: each process keeps a part of the model, for one that doesn't fit whole")
    choices.add_argument("--device", choices=["cpu", "cuda"])
    parser.set_defaults(run=run, **dict.fromkeys(_MODES, False))


def run(args: argparse.Namespace) -> int:
    request = _request(args)
    from gpt2_assist.console.terminal import fitted, interrupted, on_interrupt, visible
    from gpt2_assist.frontend.training_display import Display
    from gpt2_assist.training.finetuning import finetune
    if args.check:
        print(fitted(visible("\n".join(finetune.check(request)))))
        return 0
    from gpt2_assist.model.device import choose_device
    choose_device(request.device)
    if args.plan:
        print(fitted("\n".join(finetune.plan(request, Display(request.model, work="")).lines())))
        return 0
    show = Display(request.model, quiet=bool(int(os.environ.get("RANK", "0"))))
    asked: list[bool] = []

    def stop() -> None:
        if not show.training:  # there is nothing to be saved
            raise SystemExit(interrupted())
        asked.append(True)
        show.stopping()
    with on_interrupt(stop, ended=True):
        result = (finetune.resume if args.resume else finetune.finetune)(request, show, lambda: bool(asked))
    show.end(result)
    return 0 if result.finished else interrupted()


def _request(args: argparse.Namespace):
    given: dict[str, Any] = {name: value for name, value in vars(args).items() if name not in _MODES and name != "run"}
    if not args.resume and not args.paths:
        raise UsageError("Give the texts to learn from: files, folders, or - for standard input.")
    if "model" in given and "base_run" in given:
        raise UsageError("Give --model or --from, not both.")
    from dataclasses import fields

    from gpt2_assist.config import MOST_THREADS, read_settings
    from gpt2_assist.model.store import resolved
    from gpt2_assist.text.valid import valid
    from gpt2_assist.training.finetuning.finetune import FinetuneRequest
    from gpt2_assist.training.finetuning.settings import FinetuneSettings
    if "targets" in given:
        from gpt2_assist.architectures import roles_of
        names = [name.strip() for name in given["targets"].split(",")]
        given["targets"] = tuple(dict.fromkeys(role for name in names for role in roles_of([name]) or [name]))
    if "prompts" in given:
        given["prompts"] = tuple(map(valid, given["prompts"]))
    if not 0 <= given.get("threads", 0) <= MOST_THREADS:
        raise UsageError(f"--threads must be from 0 to {MOST_THREADS}, not {args.threads}.")
    for name, called in (("sample_every", "--sample-every"), ("save_every", "--save-every")):
        if given.get(name, 0) < 0:
            raise UsageError(f"{called} must be 0 or more, not {given[name]}.")
    model = given.pop("base_run", None) or given.get("model")
    called = {"paths": "PATH", "model": "--model" if "model" in given else "--from", "prompts": "--prompt"}
    if model:
        given["model"] = resolved(model)
    name, paths = given.pop("name", DEFAULT), tuple(given.pop("paths"))
    said = {**given, **({"paths": paths} if paths else {})}
    names = [entry.name for entry in fields(FinetuneSettings) if entry.name in given]
    settings = FinetuneSettings(**{name: given.pop(name) for name in names})
    asked: dict[str, Any] = {"model": resolved(read_settings().model), **given}
    return FinetuneRequest(**asked, paths=paths, run=name, settings=settings,
                   overwrite=args.overwrite, given={entry: (called.get(entry, "--" + entry.replace("_", "-")), value)
                                                    for entry, value in said.items()})
