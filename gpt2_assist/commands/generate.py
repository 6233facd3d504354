"""`gpt2-assist generate`: continues a text, to the screen, a file or as JSON lines."""
import argparse
import sys
from pathlib import Path

from gpt2_assist.commands.prompt import read_banned, read_beside, read_prompt, read_suffix
from gpt2_assist.errors import UsageError
from gpt2_assist.frontend.help import SUMMARIES, Help
from gpt2_assist.frontend.sampling import add_sampling_arguments, settings_from
from gpt2_assist.text.valid import valid

_DEFAULT_BATCH = 8
_EXAMPLE = """example:
  gpt2-assist generate "Once upon a time" --max-new-tokens 60 --temperature 0.7
  gpt2-assist generate --prefix "Title:" --truncate "\\n" --include-prefix -n 20 --batch-size 5 -o titles.txt
  cat chapter.txt | gpt2-assist generate --json
  gpt2-assist generate --model code "def area(" --suffix "    return width * height\n" """


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("generate", help=SUMMARIES["generate"], epilog=_EXAMPLE,
                                   description="Continue a text. Only the new text is printed.",
                                   formatter_class=Help)
    parser.add_argument("prompt", nargs="?", metavar="PROMPT", help="the text to go on from; - is standard input")
    parser.add_argument("-f", "--file", type=Path, metavar="FILE",
                        help="read the prompt from a file, of any kind that finetune reads")
    parser.add_argument("--prefix", metavar="S",
                        help="the text that each sample goes on from, as it stands; as in gpt-2-simple")
    parser.add_argument("--suffix", metavar="S",
                        help="the text that follows: what is written is to fit in between; for models that were taught "
                             "to fill in (finetune --infill)")
    parser.add_argument("--suffix-file", type=Path, metavar="FILE",
                        help="read it from a file; with either, a line end at the end of the prompt's file stays")
    parser.add_argument("--beside", type=Path, action="append", default=[], metavar="FILE",
                        help="with a suffix: another file that the model is to have seen; may be repeated")
    parser.add_argument("--memory", default="", metavar="S",
                        help="what the model always reads first, however long the prompt is")
    parser.add_argument("--note", default="", metavar="S", help="what it reads some paragraphs before the prompt's end")
    parser.add_argument("--note-depth", type=int, default=3, metavar="N", help="how many (default 3)")
    parser.add_argument("--include-prefix", "--echo", action="store_true", help="print the prompt before each sample")
    parser.add_argument("--truncate", metavar="S", help="cut each sample at the first S, which is read as in --stop")
    parser.add_argument("-n", type=int, default=1, metavar="N", help="so many samples (default 1)")
    parser.add_argument("--batch-size", type=int, metavar="B",
                        help=f"generate so many samples at once (default {_DEFAULT_BATCH}); it changes no text")
    parser.add_argument("--unique", action="store_true",
                        help="leave out samples that came before or stand in the training texts")
    parser.add_argument("--show-copied", action="store_true",
                        help="mark on the screen what stands in the training texts, and say after each sample where")
    add_sampling_arguments(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="write to a file; - is the screen")
    parser.add_argument("--json", action="store_true", help="one JSON object a line for each sample")
    parser.add_argument("--model", metavar="M", help="a store name, run or folder, or auto: the best that is there")
    parser.add_argument("--precision", default=None, choices=["auto", "int8", "int4", "bf16", "fp32"])
    parser.add_argument("--device", default=None, choices=["auto", "cpu", "cuda", "mps"])
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from gpt2_assist.config import read_settings
    from gpt2_assist.frontend.first_model import default_model
    defaults = read_settings()
    model = default_model(args.model, fetching=sys.stderr.isatty())
    suffix = read_suffix(args.suffix, args.suffix_file)
    prompt = read_prompt(args.prompt, args.prefix, args.file, lambda: _begins_texts(model), suffix is not None)
    stops = [] if args.truncate is None else [args.truncate]
    beside = read_beside(args.beside, suffix)
    settings = settings_from(args, stops, read_banned(args.ban_file))
    batch_size = _DEFAULT_BATCH if args.batch_size is None else args.batch_size
    for name, value in (("-n", args.n), ("--batch-size", batch_size)):
        if not 1 <= value <= 1_000_000:
            raise UsageError(f"{name} must be a whole number from 1 on, not {value}.")

    from gpt2_assist.console.terminal import interrupted
    from gpt2_assist.files.output_file import OutputFile
    from gpt2_assist.frontend.output import Lines, PlainSamples, Screen
    from gpt2_assist.frontend.samples import SeriesRequest, generate_series, generate_unique
    from gpt2_assist.ipc.client import Client
    from gpt2_assist.ipc.messages import MAX_SAMPLES
    request = SeriesRequest(model, prompt, settings, args.precision or defaults.precision,
                            args.device or defaults.device, suffix, beside, valid(args.memory), valid(args.note),
                            args.note_depth)
    copied = known = None
    if args.unique or args.show_copied:
        from gpt2_assist.frontend.copied import Copied, Known
        copied = Copied(model) if args.show_copied else None
        known = Known(copied or Copied.of(model)) if args.unique else None
    pieces: list[str] = []
    file = None if args.output in (None, "-") else OutputFile(args.output)
    if args.json:
        write = pieces.append if file else _print_line
        sink = Lines(write, prompt, args.include_prefix, settings.seed, model, args.logprobs is not None)
    elif file:
        sink = PlainSamples(pieces.append, prompt, args.include_prefix)
    else:
        sink = Screen(prompt, args.n == 1 and not args.unique, args.include_prefix,
                      copied.marks if copied else None)

    def done(sample) -> None:
        sink.done(sample)
        if copied:
            print("\n".join(f"  {line}" for line in copied.lines(sample.text)), file=sys.stderr, flush=True)
    size = min(batch_size, MAX_SAMPLES)
    try:
        with Client.connect("generate") as client:
            if known:
                whole = generate_unique(client, request, args.n, size, known.is_known, sink.text, done)
            else:
                whole = generate_series(client, request, args.n, size, sink.text, done)
    finally:
        if isinstance(sink, Screen):
            sink.rest()
    if file:
        file.write("".join(pieces).encode())
    return 0 if whole else interrupted()


def _begins_texts(model: str) -> bool:
    """Whether it was fine-tuned here: then it knows how the user's own texts begin."""
    from gpt2_assist.model.store import find_model
    from gpt2_assist.runs import copies_of
    return copies_of(find_model(model).own) is not None


def _print_line(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
