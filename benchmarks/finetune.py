"""Fine-tuning beside transformers' Trainer and peft: tokens a second, peak memory, validation loss at equal tokens.

The same rows of tokens in the same order, batch, steps, peak rate, AdamW, clipping and precision; each contender in a
process of its own, in turn. The Trainer runs with what is best for it on a CPU (bf16, fused AdamW) and as it comes
(fp32). The bundled model learns for so many steps; 124M has random weights, of which only speed and memory count.

`python benchmarks/finetune.py --corpora FOLDER --bpe FOLDER [--cache FOLDER] [--models mini,124M] [--steps 16]
[--rounds 2]`
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

CONTEXT, ROWS = 512, 2
VALIDATION_ROWS = 8
RATES = {"full": 3e-5, "lora": 2e-4}
CONTENDERS = {"full": ("gpt2-assist", "Trainer bf16", "Trainer fp32"),
              "lora": ("gpt2-assist", "peft bf16", "peft fp32")}


def rows(folder: Path, corpora: Path, count: int) -> np.ndarray:
    """[count, CONTEXT + 1] token ids of Shakespeare, row after row, from the beginning again where it ends."""
    from gpt2_assist.text.tokenizer import TextTokenizer
    ids = np.array(TextTokenizer.from_folder(folder).encode((corpora / "tinyshakespeare.txt").read_text()), np.int64)
    return np.stack([np.take(ids, np.arange(n * CONTEXT, (n + 1) * CONTEXT + 1), mode="wrap") for n in range(count)])


def ours(folder: Path, data: np.ndarray, held: np.ndarray, method: str, steps: int, precision: str) -> dict:
    import torch

    from gpt2_assist.model.store import find_model
    from gpt2_assist.training.base import Base
    from gpt2_assist.training.gradients import ParallelGradients
    from gpt2_assist.training.rows import plain_rows
    from gpt2_assist.training.settings import Settings, settled
    from gpt2_assist.training.tuning import Tuning
    torch.manual_seed(1)
    asked = Settings(method=method, steps=steps, context=CONTEXT, batch_tokens=CONTEXT * ROWS, rate=RATES[method],
                     warmup=1, precision=precision, validate_every=10 ** 6, patience=0)
    base = Base.of(find_model(str(folder)))
    settings = settled(asked, base.config, data.size, "cpu")

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
    tuning = Ordered(base.tunable(settings, "cpu"), text, text, None, settings, 2, Path())
    tuning.state.first = {"validation": None}
    times = []
    for _ in tuning.steps():
        times.append(time.perf_counter())
    held_rows = plain_rows(held[:, :-1], held[:, 1:], np.zeros(len(held), np.int64))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    exact = ParallelGradients(tuning.model.float(), 2, torch.float32, 1)
    loss = np.mean([exact.loss(held_rows.part(np.array([n]))) for n in range(len(held))])
    return {"tok_s": CONTEXT * ROWS / median(list(np.diff(times))), "peak_mb": peak / 1024, "loss": float(loss)}


def theirs(folder: Path, data: np.ndarray, held: np.ndarray, method: str, steps: int, precision: str) -> dict:
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
            out, per_device_train_batch_size=ROWS, max_steps=steps, learning_rate=RATES[method], warmup_steps=1,
            lr_scheduler_type="cosine", weight_decay=0.01 if method == "full" else 0.0, max_grad_norm=1.0,
            adam_beta2=0.95, optim="adamw_torch_fused", bf16=precision == "bf16", use_cpu=True, report_to=[],
            save_strategy="no", logging_strategy="no", disable_tqdm=True), train_dataset=Rows(), callbacks=[Clock()])
        trainer.train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model.eval()
    losses = []
    with torch.no_grad():
        for row in held:
            logits = model(torch.from_numpy(row[None, :-1])).logits[0].float()
            losses.append(torch.nn.functional.cross_entropy(logits, torch.from_numpy(row[1:])).item())
    return {"tok_s": CONTEXT * ROWS / median(list(np.diff(times))), "peak_mb": peak / 1024,
            "loss": float(np.mean(losses))}


def contender(folder: Path, corpora: Path, method: str, name: str, steps: int) -> None:
    everything = rows(folder, corpora, steps * ROWS + VALIDATION_ROWS)
    data, held = everything[:steps * ROWS], everything[steps * ROWS:]
    work = ours if name == "gpt2-assist" else theirs
    print("RESULT" + json.dumps(work(folder, data, held, method, steps, "fp32" if name.endswith("fp32") else "bf16")))


def run_contender(folder: Path, corpora: Path, method: str, name: str, steps: int) -> dict:
    done = subprocess.run([sys.executable, __file__, "--corpora", str(corpora), "--contender", str(folder), method,
                           name, str(steps)], capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "2", "TOKENIZERS_PARALLELISM": "false"})
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT")), None)
    if line is None:
        print(f"{name} failed: {done.stderr[-500:]}", file=sys.stderr)
        return {"tok_s": math.nan, "peak_mb": math.nan, "loss": math.nan}
    return json.loads(line.removeprefix("RESULT"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    peer_files.add_arguments(parser, llama=False)
    parser.add_argument("--corpora", type=Path, required=True, help="a folder with tinyshakespeare.txt")
    parser.add_argument("--models", default="mini,124M")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--contender", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.contender:
        folder, method, name, steps = args.contender
        contender(Path(folder), args.corpora, method, name, int(steps))
        return
    with peer_files.opened(args) as peers:
        for model in args.models.split(","):
            for method, names in CONTENDERS.items():
                results: dict[str, list[dict]] = {name: [] for name in names}
                for _ in range(args.rounds):
                    for name in names:
                        print(f"{model}, {method}: {name}", file=sys.stderr)
                        results[name].append(run_contender(peers.model(model), args.corpora, method, name, args.steps))
                figures = {name: {key: median([result[key] for result in found]) for key in found[0]}
                           for name, found in results.items()}
                first = figures[names[0]]
                show(f"{model}, {method}: {args.steps} steps of {ROWS} × {CONTEXT} tokens, two threads",
                     ["", "tokens/s", "× ours is faster", "peak MB", "ours / theirs", "validation loss"],
                     [[name, found["tok_s"], first["tok_s"] / found["tok_s"], found["peak_mb"],
                       first["peak_mb"] / found["peak_mb"], f"{found['loss']:.4f}"]
                      for name, found in figures.items()])


if __name__ == "__main__":
    main()
