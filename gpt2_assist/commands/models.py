"""`gpt2-assist models`: which models there are here, and how they come from files and go."""
import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from gpt2_assist.console.terminal import visible
from gpt2_assist.errors import AssistError, ModelError, UsageError
from gpt2_assist.frontend.help import SUMMARIES, Help
from gpt2_assist.frontend.preparing import prepare_with_progress
from gpt2_assist.frontend.progress import WEIGHTS, bar
from gpt2_assist.model import store
from gpt2_assist.model.ollama import PREFIX as OLLAMA
from gpt2_assist.model.store import ModelFolder


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    models = _command(subparsers, "models", SUMMARIES["models"],
                      "gpt2-assist models\n  gpt2-assist models show mini\n  gpt2-assist models import ./my-gpt2")
    _finish(models, _list)
    actions = models.add_subparsers(metavar="ACTION")
    _finish(_command(actions, "list", "list the models here", "gpt2-assist models list --json"), _list)
    show = _command(actions, "show", "print a model's card and sizes", "gpt2-assist models show mini")
    show.add_argument("model", metavar="MODEL", help="a store name or a folder")
    _finish(show, _show)
    remove = _command(actions, "remove", "delete a model of the store", "gpt2-assist models remove gpt2-xl")
    remove.add_argument("model", metavar="MODEL", help="a store name")
    remove.add_argument("--force", action="store_true", help="also where runs stand on it")
    _finish(remove, _remove)
    bring = _command(actions, "import", "bring a model that you have as files into the store",
                     "gpt2-assist models import ./my-gpt2\n"
                     "  gpt2-assist models import ./SmolLM2-135M-Instruct.Q4_1.gguf --name smollm2\n"
                     "  gpt2-assist models import ollama:smollm2:135m\n"
                     "  gpt2-assist models import ./old/pytorch_model.bin --name old --tokenizer ./gpt2")
    bring.add_argument("source", metavar="PATH",
                       help="a folder; a GGUF file; ollama:NAME[:TAG] for one of Ollama's own store; or a "
                       ".safetensors, .bin or .pt file beside its config.json")
    bring.add_argument("--name", metavar="STORE_NAME", help="what to call it here (default: the folder's or file's)")
    bring.add_argument("--tokenizer", metavar="FOLDER", type=Path, help="a folder with its tokenizer's files")
    _finish(bring, _import)


def _command(subparsers, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    return subparsers.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".",
                                 epilog=f"example:\n  {example}",
                                 formatter_class=Help)


def _finish(parser: argparse.ArgumentParser, run) -> None:
    # Without a default of its own, an action's parser leaves alone the --json that stood before the action.
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON for programs")
    parser.set_defaults(run=run)


def _list(args: argparse.Namespace) -> int:
    models = store.list_models(lambda error: print(error, file=sys.stderr))
    if _wants_json(args):
        print(json.dumps([summary(model) for model in models]))
        return 0
    width = max([len(model.name) for model in models], default=0)
    for model in models:
        print(f"{model.name:<{width}}  {_megabytes(model.size_bytes):>9}  {_short(visible(model.card.licence))}"
              + ("  (bundled)" if model.bundled else ""))
    if not models:
        print("There are no models here; `gpt2-assist pull` lists what can be fetched.", file=sys.stderr)
    return 0


def _show(args: argparse.Namespace) -> int:
    model = store.find_model(args.model)
    problem = _problem(model)
    if _wants_json(args):
        print(json.dumps({**summary(model), "card": asdict(model.card), "sizes": _sizes(model),
                          "files": dict(model.files()), "problem": str(problem or "")}))
        return problem.exit_code if problem else 0
    lines: dict[str, object] = {"name": model.name, "folder": model.own, **_sizes(model), **asdict(model.card)}
    del lines["hashes"], lines["figures"]
    lines["stop_strings"] = ", ".join(map(repr, model.card.stop_strings)) or "none"
    lines["prompt_prefix"] = repr(model.card.prompt_prefix) if model.card.prompt_prefix else "none"
    lines["infill"] = json.dumps(model.card.infill) if model.card.infill else "none"
    lines["chat_template"] = repr(model.card.chat_template) if model.card.chat_template else "none"
    lines |= {name: json.dumps(value) if isinstance(value, (dict, list)) else value
              for name, value in model.card.figures.items()}
    for name, value in lines.items():
        print(visible(f"{name.replace('_', ' ')}: {value}"))
    for name, value in model.card.hashes.items():
        print(visible(f"SHA-256 of {name}: {value}"))
    for name, size in model.files():
        print(visible(f"  {_megabytes(size):>9}  {name}"))
    print(f"  {_megabytes(model.size_bytes):>9}  in all")
    if problem:
        raise problem
    return 0


def _problem(model: ModelFolder) -> AssistError | None:
    """What keeps the model from being used, as far as its files tell."""
    from gpt2_assist.model.adapter import read_adapter
    from gpt2_assist.model.tensors import ModelTensors
    from gpt2_assist.text.tokenizer import TextTokenizer
    try:
        weights = ModelTensors(model.path)
        TextTokenizer.from_folder(model.tokenizer)
        if model.adapter:
            read_adapter(model.adapter, weights.config)
    except AssistError as error:
        return error
    return None


def _remove(args: argparse.Namespace) -> int:
    store.remove_model(args.model, args.force)
    print(json.dumps({"removed": args.model}) if _wants_json(args) else f"Removed {args.model}.")
    return 0


def _import(args: argparse.Namespace) -> int:
    source = Path(args.source)
    if args.tokenizer and (args.source.startswith(OLLAMA) or _is_gguf(source)):
        raise UsageError("A GGUF file has its tokenizer in it; leave --tokenizer out.")
    if args.source.startswith(OLLAMA) and not source.exists():
        from gpt2_assist.model.gguf_importing import import_from_ollama
        with bar(args.source, WEIGHTS) as progress:
            model = import_from_ollama(args.source.removeprefix(OLLAMA), args.name, progress)
    elif _is_gguf(source):
        from gpt2_assist.model.gguf_importing import import_gguf
        with bar(source.name, WEIGHTS) as progress:
            model = import_gguf(source, args.name, progress=progress)
    elif found := _ggufs(source):
        raise ModelError(f"{source} holds GGUF files; name the one to import: {', '.join(found)}.")
    else:
        from gpt2_assist.model.importing import import_model
        model = import_model(source, args.name, args.tokenizer)
    prepare_with_progress(model)
    print(json.dumps(summary(model)) if _wants_json(args) else
          f"{model.name} is imported: gpt2-assist generate --model {model.name}")
    return 0


def _is_gguf(path: Path) -> bool:
    """By its name, or by how it begins: Ollama's files have none that says so."""
    path = path.expanduser()
    if path.suffix == ".gguf" or not path.is_file():  # a pipe would be waited for
        return path.suffix == ".gguf"
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"GGUF"
    except OSError:
        return False


def _ggufs(folder: Path) -> list[str]:
    """Those in a folder that is no model of a hub's form."""
    folder = folder.expanduser()
    return [] if (folder / "config.json").exists() else sorted(path.name for path in folder.glob("*.gguf"))


def _wants_json(args: argparse.Namespace) -> bool:
    return getattr(args, "json", False)


def summary(model: ModelFolder) -> dict:
    """What programs are told of a model."""
    return {"name": model.name, "path": str(model.path), "bundled": model.bundled, "size_bytes": model.size_bytes,
            "origin": model.card.origin, "licence": model.card.licence}


def _sizes(model: ModelFolder) -> dict[str, object]:
    """What config.json states, read without torch."""
    from gpt2_assist.model.config_file import read_config
    try:
        decoder = read_config(model.path)
    except ModelError:
        return {}
    return {name: getattr(decoder, name) for name in ("architecture", "n_layer", "n_head", "n_kv_head", "n_embd",
                                                      "n_ctx", "vocab_size")}


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:59] + "…"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
