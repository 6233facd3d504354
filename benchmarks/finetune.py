"""Fine-tuning beside transformers' Trainer and peft: tokens a second, peak memory, validation loss at equal tokens.

The same rows of tokens in the same order, batch, steps, peak rate, AdamW, clipping and precision; each contender in a
process of its own, in turn. The Trainer runs with what is best for it on a CPU (bf16, fused AdamW) and as it comes
(fp32). The bundled model learns for so many steps; the others have random weights: only speed and memory count.

With `--device cuda` the same on a graphics card, sixteen rows a step: the memory is the card's, and the speed is also
shown as a share of what a large product of matrices in bfloat16 reaches there, at six operations a weight and token.
`--memory-gb 8` gives ours no more than that of the card, and has it choose its settings for it.

`python benchmarks/finetune.py --corpora FOLDER --bpe FOLDER [--cache FOLDER] [--models mini,124M] [--methods full,lora]
[--steps 16] [--rounds 2] [--device cuda [--memory-gb N]]`
"""
import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import peers as peer_files
from table import median, show

from gpt2_assist.model.config_file import read_config

CONTEXT = 512
ROWS = {"cpu": 2, "cuda": 16}
VALIDATION_ROWS = 8
RATES = {"full": 3e-5, "lora": 2e-4}
CONTENDERS = {"full": ("gpt2-assist", "Trainer bf16", "Trainer fp32"),
              "lora": ("gpt2-assist", "peft bf16", "peft fp32")}


def rows(folder: Path, corpora: Path, count: int) -> np.ndarray:
    """[count, CONTEXT + 1] token ids of Shakespeare, row after row, from the beginning again where it ends."""
    from gpt2_assist.text.tokenizer import TextTokenizer
    ids = np.array(TextTokenizer.from_folder(folder).encode((corpora / "tinyshakespeare.txt").read_text()), np.int64)
    return np.stack([np.take(ids, np.arange(n * CONTEXT, (n + 1) * CONTEXT + 1), mode="wrap") for n in range(count)])


def peak_bytes(device: str) -> int:
    """Memory that this process held at most: the card's, or its own."""
    if device == "cuda":
        import torch
        return torch.cuda.max_memory_allocated()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def fitted(settings, asked, config, device: str, memory_gb: float):
    """As a training chooses them for the memory that it may have."""
    from gpt2_assist.training.finetuning.memory import available_bytes, fitting
    there = available_bytes(device)
    if memory_gb:
        import torch
        torch.cuda.set_per_process_memory_fraction(memory_gb * 1e9 / torch.cuda.mem_get_info()[1])
        there = min(there, int(memory_gb * 1e9))
    return fitting(settings, asked, config, 2, there)


def ours(folder: Path, data: np.ndarray, held: np.ndarray, method: str, steps: int, precision: str,
         device: str, memory_gb: float) -> dict:
    import torch

    from gpt2_assist.model.store import find_model
    from gpt2_assist.training.finetuning.base import Base
    from gpt2_assist.training.finetuning.settings import FinetuneSettings, settled
    from gpt2_assist.training.finetuning.tuning import Tuning
    from gpt2_assist.training.gradients import ParallelGradients
    from gpt2_assist.training.rows import plain_rows
    torch.manual_seed(1)
    asked = FinetuneSettings(method=method, steps=steps, context=CONTEXT, batch_tokens=CONTEXT * ROWS[device],
                     rate=RATES[method], warmup=1, precision=precision, validate_every=10 ** 6, patience=0)
    base = Base.of(find_model(str(folder)))
    settings = settled(asked, base.config, data.size, device)
    if device == "cuda":
        settings = fitted(settings, asked, base.config, device, memory_gb)

    class Ordered(Tuning):
        def _rows(self, count, state):
            part = data[state.row:state.row + count]
            state.row += count
            return [plain_rows(part[:, :-1], part[:, 1:], np.zeros(len(part), np.int64))]

        def save(self):
            pass

        def _validated(self, report):
            return report
    text = (held.reshape(-1).astype(np.uint16), np.array([0, 600]))
    tuning = Ordered(base.tunable(settings, device), text, text, None, settings, 2, Path())
    tuning.state.first = {"validation": None}
    times = []
    for _ in tuning.steps():
        times.append(time.perf_counter())
    held_rows = plain_rows(held[:, :-1], held[:, 1:], np.zeros(len(held), np.int64))
    peak = peak_bytes(device)
    exact = ParallelGradients(tuning.model.float(), 2, torch.float32, 1)
    loss = np.mean([exact.loss(held_rows.part(np.array([n]))) for n in range(len(held))])
    return {"tok_s": CONTEXT * ROWS[device] / median(list(np.diff(times))), "peak_mb": peak / 1e6, "loss": float(loss)}


def theirs(folder: Path, data: np.ndarray, held: np.ndarray, method: str, steps: int, precision: str,
           device: str, memory_gb: float) -> dict:
    import torch
    from torch.utils.data import Dataset, SequentialSampler
    from transformers import GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments
    torch.manual_seed(1)
    torch.set_num_threads(2)
    model = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32)
    for name in ("attn_pdrop", "embd_pdrop", "resid_pdrop"):
        setattr(model.config, name, 0.0)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    if method == "lora":
        from peft import LoraConfig, get_peft_model
        model = get_peft_model(model, LoraConfig(
            r=8, lora_alpha=16, target_modules=["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"],
            fan_in_fan_out=True, task_type="CAUSAL_LM"))

    class Rows(Dataset):
        def __len__(self):
            return len(data)

        def __getitem__(self, number):
            ids = torch.from_numpy(data[number, :-1])
            return {"input_ids": ids, "labels": ids}
    times = []

    class Clock(TrainerCallback):
        def on_step_end(self, *arguments, **more):
            times.append(time.perf_counter())

    class Ordered(Trainer):
        def _get_train_sampler(self, *arguments):
            return SequentialSampler(self.train_dataset)
    with tempfile.TemporaryDirectory() as out:
        trainer = Ordered(model, TrainingArguments(
            out, per_device_train_batch_size=ROWS[device], max_steps=steps, learning_rate=RATES[method], warmup_steps=1,
            lr_scheduler_type="cosine", weight_decay=0.01 if method == "full" else 0.0, max_grad_norm=1.0,
            adam_beta2=0.95, optim="adamw_torch_fused", bf16=precision == "bf16", use_cpu=device == "cpu", report_to=[],
            save_strategy="no", logging_strategy="no", disable_tqdm=True), train_dataset=Rows(), callbacks=[Clock()])
        trainer.train()
    peak = peak_bytes(device)
    model.eval()
    losses = []
    with torch.no_grad():
        for row in held:
            logits = model(torch.from_numpy(row[None, :-1]).to(device)).logits[0].float().cpu()
            losses.append(torch.nn.functional.cross_entropy(logits, torch.from_numpy(row[1:])).item())
    return {"tok_s": CONTEXT * ROWS[device] / median(list(np.diff(times))), "peak_mb": peak / 1e6,
            "loss": float(np.mean(losses))}


def contender(folder: Path, corpora: Path, method: str, name: str, steps: int, device: str, memory_gb: float) -> None:
    count = steps * ROWS[device]
    everything = rows(folder, corpora, count + VALIDATION_ROWS)
    data, held = everything[:count], everything[count:]
    work = ours if name == "gpt2-assist" else theirs
    precision = "fp32" if name.endswith("fp32") else "bf16"
    print("RESULT" + json.dumps(work(folder, data, held, method, steps, precision, device, memory_gb)))


def run_contender(folder: Path, corpora: Path, method: str, name: str, steps: int, device: str,
                  memory_gb: float) -> dict:
    done = subprocess.run([sys.executable, __file__, "--corpora", str(corpora), "--contender", str(folder), method,
                           name, str(steps), device, str(memory_gb)], capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "2", "TOKENIZERS_PARALLELISM": "false"})
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT")), None)
    if line is None:
        print(f"{name} failed: {done.stderr[-500:]}", file=sys.stderr)
        return {"tok_s": math.nan, "peak_mb": math.nan, "loss": math.nan}
    return json.loads(line.removeprefix("RESULT"))


def product_flops() -> float:
    """Operations a second of a large product of matrices in bfloat16 on the card."""
    import torch
    a, b = (torch.randn(8192, 8192, device="cuda").bfloat16() for _ in range(2))
    times = []
    for _ in range(10):
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        a @ b
        last.record()
        torch.cuda.synchronize()
        times.append(first.elapsed_time(last) / 1000)
    return 2 * 8192 ** 3 / median(times[3:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    peer_files.add_arguments(parser, llama=False)
    parser.add_argument("--corpora", type=Path, required=True, help="a folder with tinyshakespeare.txt")
    parser.add_argument("--models", default="mini,124M")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--methods", default="full,lora")
    parser.add_argument("--device", default="cpu", choices=list(ROWS))
    parser.add_argument("--memory-gb", type=float, default=0.0)
    parser.add_argument("--contender", nargs=6, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.contender:
        folder, method, name, steps, device, memory_gb = args.contender
        contender(Path(folder), args.corpora, method, name, int(steps), device, float(memory_gb))
        return
    reached = product_flops() if args.device == "cuda" else None
    with peer_files.opened(args) as peers:
        for model in args.models.split(","):
            weights = read_config(peers.model(model)).parameters()
            for method in args.methods.split(","):
                names = CONTENDERS[method]
                results: dict[str, list[dict]] = {name: [] for name in names}
                for _ in range(args.rounds):
                    for name in names:
                        print(f"{model}, {method}: {name}", file=sys.stderr)
                        results[name].append(run_contender(peers.model(model), args.corpora, method, name, args.steps,
                                                           args.device, args.memory_gb))
                figures = {name: {key: median([result[key] for result in found]) for key in found[0]}
                           for name, found in results.items()}
                first = figures[names[0]]
                where = "two threads" if args.device == "cpu" else f"products reach {reached / 1e12:.0f} TFLOP/s"
                show(f"{model}, {method}: {args.steps} steps of {ROWS[args.device]} × {CONTEXT} tokens, {where}",
                     ["", "tokens/s", "× ours is faster", "peak MB", "ours / theirs", "validation loss",
                      *(["of the products' speed, %"] if reached else [])],
                     [[name, found["tok_s"], first["tok_s"] / found["tok_s"], found["peak_mb"],
                       first["peak_mb"] / found["peak_mb"], f"{found['loss']:.4f}",
                       *([100 * 6 * weights * found["tok_s"] / reached] if reached else [])]
                      for name, found in figures.items()])


if __name__ == "__main__":
    main()
