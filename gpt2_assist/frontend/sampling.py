"""The flags that say how to generate, the same in every command, and the settings they make."""
import argparse
import re
import secrets
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from gpt2_assist.errors import UsageError
from gpt2_assist.ipc.messages import SAMPLERS, Generation
from gpt2_assist.text.valid import valid

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}
_PLAIN = ("max_new_tokens", "top_k", "top_p", "min_p", "repetition_penalty", "dry_multiplier", "dry_base",
          "dry_allowed_length", "xtc_probability", "xtc_threshold", "typical_p", "top_n_sigma", "dynatemp_range",
          "dynatemp_exponent", "mirostat_tau", "mirostat_eta")
"""Settings that are a number each, whose flags have their names."""
_DEFAULTS = {entry.name: entry.default for entry in fields(Generation)}


def add_sampling_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of messages.Generation."""
    def flag(name: str, kind, metavar: str, text: str) -> None:
        setting = name.replace("-", "_")
        parser.add_argument(f"--{name}", type=kind, metavar=metavar, default=_DEFAULTS[setting],
                            help=f"{text} (default {_DEFAULTS[setting]})")

    flag("max-new-tokens", int, "N", "end each sample after so many tokens")
    parser.add_argument("--temperature", type=temperatures, metavar="T[,T...]", default=_DEFAULTS["temperature"],
                        help="0 is greedy, higher is bolder; of several, tokens take them in turn "
                             f"(default {_DEFAULTS['temperature']})")
    flag("finish-within", int, "N", "go on by N tokens at most to end a sentence or a paragraph")
    flag("top-k", int, "K", "draw from the K likeliest tokens; 0 is off")
    flag("top-p", float, "P", "draw from the likeliest tokens that hold the share P; 1 is off")
    flag("min-p", float, "P", "drop tokens less likely than P times the likeliest; 0 is off")
    flag("repetition-penalty", float, "R", "above 1 avoids tokens that were there before")
    flag("dry-multiplier", float, "M", "makes what would repeat a passage less likely; 0 is off, 0.8 is usual")
    flag("dry-base", float, "B", "by this factor more for each token that it repeats")
    flag("dry-allowed-length", int, "N", "repetitions of so many tokens are the first that count")
    parser.add_argument("--dry-breaker", action="append", metavar="S",
                        help="no repetition reaches over a token that holds the text S, read as in --stop; may be "
                             "repeated (default a line's end, a colon, a double quote, an asterisk)")
    flag("xtc-probability", float, "P", "how often the likeliest tokens but the last of them are dropped; 0 is off")
    flag("xtc-threshold", float, "P", "these are as likely as P")
    flag("typical-p", float, "P", "draw from the tokens that surprise as is to be expected, which hold the share P; "
                                  "1 is off")
    flag("top-n-sigma", float, "N", "drop tokens whose score is N standard deviations below the best; 0 is off")
    flag("dynatemp-range", float, "R", "the temperature is up to R lower where the model is sure, and up to R higher "
                                       "where it is not; 0 is off")
    flag("dynatemp-exponent", float, "E", "above 1 it stays low for longer")
    flag("mirostat-tau", float, "T", "keep the surprise at T bits a token, in place of what drops tokens; 0 is off, 5 "
                                     "is usual")
    flag("mirostat-eta", float, "E", "how quickly it is kept")
    parser.add_argument("--samplers", metavar="NAME[,NAME...]",
                        help=f"which of these count, one after the other (default {','.join(SAMPLERS)})")
    parser.add_argument("--logit-bias", action="append", default=[], metavar="ID=BIAS",
                        help="add BIAS to the score of a token id; may be repeated")
    parser.add_argument("--stop", action="append", default=[], metavar="S",
                        help="end a sample before the text S, in which \\n is a line's end, \\t a tab and \\\\ a "
                             "backslash; may be repeated")
    parser.add_argument("--ban", action="append", default=[], metavar="PHRASE",
                        help="a phrase that new text never holds, in whatever case, read as in --stop; may be repeated")
    parser.add_argument("--ban-file", type=Path, metavar="FILE", help="ban each line of a file, as it stands")
    parser.add_argument("--stop-token", action="append", type=int, default=[], metavar="ID",
                        help="end a sample at this token id; may be repeated")
    parser.add_argument("--seed", type=int, metavar="S", help="the same seed gives the same text again")
    parser.add_argument("--logprobs", type=int, metavar="K",
                        help="also give each token's log-probability and those of the K likeliest")
    parser.add_argument("--max-copied", type=int, metavar="K",
                        help="of a fine-tuned model: no more than K new tokens in a row as in its training texts")
    parser.add_argument("--no-heal", action="store_true",
                        help="go on from the prompt's own tokens, even where they end inside a word")


def settings_from(args: argparse.Namespace, stops: list[str], banned: Sequence[str] = ()) -> Generation:
    """The settings of parsed flags, with a seed in any case; `banned`: phrases beside theirs. Raises UsageError."""
    given = {name: getattr(args, name) for name in _PLAIN}
    given["temperatures" if isinstance(args.temperature, list) else "temperature"] = args.temperature
    if args.dry_breaker is not None:
        given["dry_breakers"] = [valid(unescaped(text)) for text in args.dry_breaker]
    if args.samplers is not None:
        given["samplers"] = sampler_names(args.samplers)
    settings = Generation(
        **given, logit_bias=[_bias(entry) for entry in args.logit_bias],
        stop=[valid(unescaped(stop)) for stop in [*args.stop, *stops]],
        banned=[*(valid(unescaped(phrase)) for phrase in args.ban), *banned],
        stop_tokens=args.stop_token, seed=new_seed() if args.seed is None else args.seed, logprobs=args.logprobs,
        heal=not args.no_heal, max_copied=args.max_copied)
    settings.validate()
    return settings


def temperatures(text: str) -> float | list[float]:
    """One temperature, or several with commas between. Raises UsageError."""
    try:
        several = [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"temperature must be a number, or several with commas between, not {text!r}.") from None
    return several if len(several) > 1 else several[0]


def sampler_names(text: str) -> list[str]:
    """Names with commas between."""
    return [name.strip() for name in text.split(",") if name.strip()]


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
