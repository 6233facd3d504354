"""The same weights in every program's format, made once into a cache folder, and a check that they compute the same.

`python benchmarks/peers.py --cache FOLDER [--models 124M,355M] [--bpe FOLDER] [--llama FOLDER]` makes all files and
prints how many greedy tokens each program shares with transformers in fp32.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from contest import Child, Llama, random_prompt
from table import show

from gpt2_assist import config as folders
from gpt2_assist.architectures import architecture, decoder_of, gpt2
from gpt2_assist.architectures.description import Decoder
from gpt2_assist.model.config_file import read_config
from gpt2_assist.model.gguf_file import write_gguf
from gpt2_assist.model.store import find_model
from gpt2_assist.model.weights import load_weights

SIZES = {"124M": (12, 12, 768), "355M": (24, 16, 1024), "774M": (36, 20, 1280), "1558M": (48, 25, 1600)}
"""Layers, heads and width of the models that get random weights."""
N_CTX, VOCABULARY = 1024, 50257
QWEN = {"qwen-coder": {
    "model_type": "qwen2", "num_hidden_layers": 24, "hidden_size": 896, "num_attention_heads": 14,
    "num_key_value_heads": 2, "intermediate_size": 4864, "max_position_embeddings": 32768, "vocab_size": 151936,
    "rope_theta": 1_000_000.0, "rms_norm_eps": 1e-6, "tie_word_embeddings": True}}
"""Configurations of other models that get random weights."""
BUNDLED = "mini"


class Peers:
    """Makes and finds files in `cache`. `bpe`: a folder with GPT-2's encoder.json and vocab.bpe for random models,
    which else get the bundled model's tokenizer. `llama`: a folder with llama.cpp's programs, if there is one."""

    def __init__(self, cache: Path, bpe: Path | None = None, llama: Path | None = None) -> None:
        self.cache, self.bpe, self.llama = cache.resolve(), bpe, llama.resolve() if llama else None

    def model(self, name: str) -> Path:
        """A folder that gpt2-assist and transformers read; `name` is one of SIZES, "qwen-coder" (random weights of its
        sizes), or a model's in the cache's folder home/ (GPT2_ASSIST_HOME=CACHE/home gpt2-assist pull smollm2)."""
        if name not in (*SIZES, *QWEN):
            pulled = self.cache / "home" / "models" / name  # another home may be set by now
            return pulled if pulled.is_dir() else find_model(name).path
        if name in QWEN:
            return self._made(name, lambda folder: self._saved(folder, decoder_of(QWEN[name])))
        return self._made(name + ("-bpe" if self.bpe else ""), lambda folder: self._random(folder, *SIZES[name]))

    def gguf(self, name: str, kind: str) -> Path:
        """A file for llama.cpp: kind F32, or a kind that llama-quantize knows."""
        folder = self.model(name)
        whole = self._made(f"{folder.name}-F32.gguf", lambda path: write_gguf(
            find_model(str(folder)), *load_weights(folder), path))
        if kind == "F32":
            return whole
        return self._made(f"{folder.name}-{kind}.gguf", lambda path: subprocess.run(
            [self.llama / "llama-quantize", whole, path, kind], check=True, capture_output=True))

    def ctranslate2(self, name: str, kind: str) -> Path:
        """A CTranslate2 model: kind int8 or float32."""
        folder = self.model(name)
        return self._made(f"{folder.name}-ct2-{kind}", lambda path: _convert(folder, path, kind))

    def sizes(self, name: str) -> Decoder:
        """What the model is."""
        return read_config(self.model(name))

    def _made(self, name: str, make: Callable[[Path], object]) -> Path:
        """The file or folder, under its name only once it is whole."""
        path = self.cache / name
        if not path.exists():
            print(f"Making {name}.", file=sys.stderr)
            unfinished = self.cache / f"unfinished-{name}"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.unlink(missing_ok=True)
            make(unfinished)
            unfinished.rename(path)
        return path

    def _random(self, folder: Path, n_layer: int, n_head: int, n_embd: int) -> None:
        self._saved(folder, gpt2.decoder(n_layer, n_head, n_embd, N_CTX, VOCABULARY))

    def _saved(self, folder: Path, sizes: Decoder) -> None:
        """A model with random weights."""
        import torch
        from safetensors.torch import save_file

        from gpt2_assist.model.transformer import Transformer
        from gpt2_assist.model.weights import stored_tensors
        folder.mkdir()
        model = Transformer(sizes)
        model.initialise(torch.Generator().manual_seed(0))
        save_file({key: value.contiguous() for key, value in stored_tensors(model.state_dict(), sizes)},
                  folder / "model.safetensors", metadata={"format": "pt"})
        entries = architecture(sizes.architecture).to_hub(sizes)
        (folder / "config.json").write_text(json.dumps(entries), encoding="utf-8")
        if self.bpe:
            _byte_pairs(self.bpe).save(str(folder / "tokenizer.json"))
        else:
            shutil.copyfile(folders.BUNDLED_MODELS / BUNDLED / "tokenizer.json", folder / "tokenizer.json")


def _byte_pairs(folder: Path):
    """The tokenizer of an encoder.json and vocab.bpe."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    tokenizer = Tokenizer(models.BPE.from_file(str(folder / "encoder.json"), str(folder / "vocab.bpe")))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<|endoftext|>", special=True, normalized=False)])
    return tokenizer


def _convert(folder: Path, path: Path, kind: str) -> None:
    from ctranslate2.converters import TransformersConverter
    TransformersConverter(str(folder)).convert(str(path), quantization=kind)


def add_arguments(parser: argparse.ArgumentParser, llama: bool = True) -> None:
    """The arguments that the benchmarks share; `llama`: whether llama.cpp is a contender."""
    parser.add_argument("--cache", type=Path, help="keeps the models for the next run (default: a temporary folder)")
    parser.add_argument("--bpe", type=Path, help="a folder with GPT-2's encoder.json and vocab.bpe")
    parser.set_defaults(llama=None, llama_wanted=llama)
    if llama:
        parser.add_argument("--llama", type=Path, help="a folder with llama-server, llama-bench and llama-quantize")


@contextmanager
def opened(args: argparse.Namespace) -> Iterator[Peers]:
    """The peers that the arguments name."""
    if args.llama_wanted and args.llama is None:
        print("llama.cpp is left out: --llama FOLDER says where its programs are.", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="peers-") as temporary:
        cache = args.cache or Path(temporary)
        cache.mkdir(parents=True, exist_ok=True)
        os.environ["GPT2_ASSIST_HOME"] = str(cache.resolve() / "home")  # not the user's
        yield Peers(cache, args.bpe, args.llama)


def _transformers(folder: Path, prompt: list[int], count: int) -> tuple[list[int], list[int]]:
    """In fp32: (`count` greedy tokens behind the prompt, the likeliest token behind each of its beginnings)."""
    import torch
    from transformers import GPT2LMHeadModel
    model = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        tokens = list(prompt)
        for _ in range(count):
            tokens.append(int(model(torch.tensor([tokens])).logits[0, -1].argmax()))
        likeliest = model(torch.tensor([prompt])).logits[0].argmax(dim=-1).tolist()
    return tokens[len(prompt):], likeliest


def _programs(peers: Peers, name: str) -> Iterator[tuple[str, Child | Llama]]:
    for kind in ("float32", "int8"):
        yield f"CTranslate2 {kind}", Child("ctranslate2", peers.ctranslate2(name, kind), kind, 2)
    for precision in ("fp32", "bf16", "int8", "int4"):
        yield f"gpt2-assist {precision}", Child("ours", peers.model(name), precision, 2)
    for kind in ("F32", "Q8_0", "Q4_0") if peers.llama else ():
        yield f"llama.cpp {kind}", Llama(peers.llama, peers.gguf(name, kind), 2)


def _compare(peers: Peers, name: str, count: int) -> list[list[object]]:
    """Rows of (model, program, greedy tokens before the first other one, shared next tokens)."""
    prompt = random_prompt(64, 1, peers.sizes(name).vocab_size)
    greedy, likeliest = _transformers(peers.model(name), prompt, count)
    rows = []
    for program, contender in _programs(peers, name):
        if contender.there:
            tokens = contender.run([prompt], count).tokens[0]
            same = next((n for n in range(count) if tokens[n] != greedy[n]), count)
            lengths = range(4, len(prompt) + 1, 4)
            next_same = sum(contender.run([prompt[:n]], 1).tokens[0][0] == likeliest[n - 1] for n in lengths)
            rows.append([name, program, f"{same} of {count}", f"{next_same} of {len(lengths)}"])
        else:
            print(f"{program} is left out: {contender.missing}", file=sys.stderr)
        contender.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    parser.add_argument("--models", default="124M,355M", help="names with commas between")
    parser.add_argument("--tokens", type=int, default=24)
    args = parser.parse_args()
    with opened(args) as peers:
        rows = [row for name in args.models.split(",") for row in _compare(peers, name, args.tokens)]
    show("Tokens shared with transformers fp32",
         ["model", "program", "greedy, before the first difference", "next token of a given text"], rows)


if __name__ == "__main__":
    main()
