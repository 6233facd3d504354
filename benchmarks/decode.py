"""Tokens per second and peak memory at GPT-2 124M's size with random weights, beside transformers on the same work.

Each contender runs in a process of its own, which generates greedily from the same prompt; the rounds are interleaved,
so that a slow minute of the machine meets them all. `python benchmarks/decode.py [--rounds N] [--quick]`
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import time

from table import median, show

PROMPT_TOKENS = 64
SIZES = {"n_layer": 12, "n_head": 12, "n_embd": 768, "n_ctx": 1024, "vocab_size": 50257}
CONTENDERS = {"gpt2-assist fp32": ("ours", "fp32"), "gpt2-assist bf16 (auto)": ("ours", "bf16"),
              "transformers fp32": ("theirs", "fp32"), "transformers bf16": ("theirs", "bf16")}


def contend(kind: str, precision: str) -> None:
    """The child: reads how many tokens to generate, one number a line; answers each with its seconds."""
    import torch

    from gpt2_assist.model.gpt2 import GPT2, GPT2Config
    config = GPT2Config(**SIZES)
    model = GPT2(config)
    model.initialise(torch.Generator().manual_seed(0))
    prompt = torch.randint(config.vocab_size, (PROMPT_TOKENS,), generator=torch.Generator().manual_seed(1)).tolist()
    run = _ours(model, precision) if kind == "ours" else _theirs(model, precision)
    del model
    for line in sys.stdin:
        prefill, decode, tokens = run(prompt, int(line))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"prefill": prefill, "decode": decode, "memory": memory, "tokens": tokens}), flush=True)


def _ours(model, precision):
    from gpt2_assist.engine.engine import Sampling
    from gpt2_assist.engine.torch_engine import TorchEngine
    weights = dict(model.state_dict())
    config = model.config

    engine = TorchEngine(config, weights, precision, "cpu", cache_bytes=0)

    def run(prompt, count):
        began = time.perf_counter()
        sequence = engine.open(prompt, Sampling(temperature=0))
        while not engine.prefill(sequence):
            pass
        engine.decode([sequence])
        first = time.perf_counter()
        for _ in range(count - 1):
            engine.decode([sequence])
        end = time.perf_counter()
        engine.close(sequence)
        return first - began, end - first, sequence.tokens[len(prompt):]
    return run


def _theirs(model, precision):
    import torch
    from transformers import GPT2Config as HubConfig
    from transformers import GPT2LMHeadModel
    torch.set_num_threads(os.cpu_count() or 1)
    theirs = GPT2LMHeadModel(HubConfig(**model.config.to_hub())).eval()
    theirs.transformer.load_state_dict(model.state_dict(), strict=False)
    theirs = theirs.to(torch.bfloat16 if precision == "bf16" else torch.float32)

    @torch.inference_mode()
    def run(prompt, count):
        began = time.perf_counter()
        out = theirs(torch.tensor([prompt]), use_cache=True)
        tokens = [int(out.logits[0, -1].argmax())]
        first = time.perf_counter()
        for _ in range(count - 1):
            out = theirs(torch.tensor([tokens[-1:]]), past_key_values=out.past_key_values, use_cache=True)
            tokens.append(int(out.logits[0, -1].argmax()))
        return first - began, time.perf_counter() - first, tokens
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--quick", action="store_true", help="two short rounds")
    parser.add_argument("--contender", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.contender:
        contend(*args.contender)
        return
    rounds, count = (2, 24) if args.quick else (args.rounds, args.tokens)
    children = {name: subprocess.Popen([sys.executable, __file__, "--contender", *what], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True) for name, what in CONTENDERS.items()}
    results: dict[str, list[dict]] = {name: [] for name in children}
    for number in range(rounds + 1):
        for name, child in children.items():
            child.stdin.write(f"{8 if number == 0 else count}\n")
            child.stdin.flush()
            answer = json.loads(child.stdout.readline())
            if number:  # the first is for warming up
                results[name].append(answer)
    for child in children.values():
        child.stdin.close()
        child.wait()
    speed = {name: median([(count - 1) / run["decode"] for run in runs]) for name, runs in results.items()}
    show(f"124M, random weights, prompt of {PROMPT_TOKENS} tokens, {count} new ones, median of {rounds} rounds",
         ["", "tokens/s", "× transformers fp32", "× transformers bf16", "first token, ms", "peak MB"],
         [[name, speed[name], speed[name] / speed["transformers fp32"], speed[name] / speed["transformers bf16"],
           1000 * median([run["prefill"] for run in runs]), max(run["memory"] for run in runs)]
          for name, runs in results.items()])
    same = results["gpt2-assist fp32"][0]["tokens"] == results["transformers fp32"][0]["tokens"]
    print(f"\nThe fp32 texts are {'the same' if same else 'DIFFERENT'}.")


if __name__ == "__main__":
    main()
