"""The flags that say how to generate, the same in every command, and the settings they make."""
import argparse
import re
import secrets
from dataclasses import fields

from gpt2_assist.errors import UsageError
from gpt2_assist.ipc.messages import Generation
from gpt2_assist.text.valid import valid

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}
_DEFAULTS = {entry.name: entry.default for entry in fields(Generation)}


def add_sampling_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of messages.Generation."""
    def flag(name: str, kind, metavar: str, text: str) -> None:
        setting = name.replace("-", "_")
        parser.add_argument(f"--{name}", type=kind, metavar=metavar, default=_DEFAULTS[setting],
                            help=f"{text} (default {_DEFAULTS[setting]})")

    flag("max-new-tokens", int, "N", "end each sample after so many tokens")
    flag("temperature", float, "T", "0 is greedy, higher is bolder")
    flag("top-k", int, "K", "draw from the K likeliest tokens; 0 is off")
    flag("top-p", float, "P", "draw from the likeliest tokens that hold the share P; 1 is off")
    flag("min-p", float, "P", "drop tokens less likely than P times the likeliest; 0 is off")
    flag("repetition-penalty", float, "R", "above 1 avoids tokens that were there before")
    parser.add_argument("--logit-bias", action="append", default=[], metavar="ID=BIAS",
                        help="add BIAS to the score of a token id; may be repeated")
    parser.add_argument("--stop", action="append", default=[], metavar="S",
                        help="end a sample before the text S, in which \\n is a line's end, \\t a tab and \\\\ a "
                             "backslash; may be repeated")
    parser.add_argument("--stop-token", action="append", type=int, default=[], metavar="ID",
                        help="end a sample at this token id; may be repeated")
    parser.add_argument("--seed", type=int, metavar="S", help="the same seed gives the same text again")
    parser.add_argument("--logprobs", type=int, metavar="K",
                        help="also give each token's log-probability and those of the K likeliest")
    parser.add_argument("--max-copied", type=int, metavar="K",
                        help="of a fine-tuned model: no more than K new tokens in a row as in its training texts")
    parser.add_argument("--no-heal", action="store_true",
                        help="go on from the prompt's own tokens, even where they end inside a word")


def settings_from(args: argparse.Namespace, stops: list[str]) -> Generation:
    """The settings of parsed flags, with a seed in any case. Raises UsageError."""
    settings = Generation(
        max_new_tokens=args.max_new_tokens, temperature=args.temperature, top_k=args.top_k, top_p=args.top_p,
        min_p=args.min_p, repetition_penalty=args.repetition_penalty,
        logit_bias=[_bias(entry) for entry in args.logit_bias],
        stop=[valid(unescaped(stop)) for stop in [*args.stop, *stops]],
        stop_tokens=args.stop_token, seed=new_seed() if args.seed is None else args.seed, logprobs=args.logprobs,
        heal=not args.no_heal, max_copied=args.max_copied)
    settings.validate()
    return settings


def unescaped(text: str) -> str:
    """A stop string as it can be typed in a line: \\n, \\t, \\r and \\\\ are read, other backslashes are themselves."""
    return re.sub(r"\\([ntr\\])", lambda found: _ESCAPES[found[1]], text)


def new_seed() -> int:
    """A random seed, short enough to be read out to somebody."""
    return secrets.randbelow(1 << 32)


def _bias(entry: str) -> list:
    token, _, bias = entry.partition("=")
    try:
        return [int(token), float(bias)]
    except ValueError:
        raise UsageError(f"--logit-bias wants ID=BIAS, for instance 50256=-5, not {entry}.") from None
