"""The child process of a contest: one program with one model.

It does what comes on standard input, a JSON line each, and answers each with a JSON line. It imports nothing but what
its program needs, so that its memory is the program's.

`python contender.py KIND FOLDER PRECISION THREADS SPECULATE`, KIND ours, prepare, transformers, ctranslate2 or
openvino.
"""
import json
import os
import sys
import time
from pathlib import Path


class Ours:
    """The engine, driven as a worker drives it."""

    def __init__(self, folder: Path, precision: str, threads: int, speculate: bool) -> None:
        from engines import open_engine

        from gpt2_assist.engine.engine import Sampling
        self._engine, self._sampling = open_engine(folder, precision, threads, speculate), Sampling

    def run(self, prompts: list[list[int]], count: int, sampling: dict) -> dict:
        """`count` new tokens for each prompt, all decoded together."""
        began = time.perf_counter()
        sequences = [self._engine.open(prompt, self._sampling(**sampling), index, most_new=count)
                     for index, prompt in enumerate(prompts)]
        for sequence in sequences:
            self._fill(sequence)
        self._engine.decode(sequences)
        first, ends = time.perf_counter(), [len(prompt) + count for prompt in prompts]
        there, steps = sum(len(sequence.tokens) for sequence in sequences), []
        while going := [sequence for sequence, end in zip(sequences, ends) if len(sequence.tokens) < end]:
            for sequence in going:
                self._fill(sequence)
            began_step = time.perf_counter()
            self._engine.decode(going)
            steps.append(time.perf_counter() - began_step)
        rest = time.perf_counter() - first
        made = sum(len(sequence.tokens) for sequence in sequences) - there
        tokens = [sequence.tokens[len(prompt):end] for sequence, prompt, end in zip(sequences, prompts, ends)]
        for sequence in sequences:
            self._engine.close(sequence)
        return {"first": first - began, "rest": rest, "made": made, "tokens": tokens, "steps": steps}

    def key(self, prompt: list[int], key: int) -> dict:
        """A known prompt grows by the token `key`: seconds to its next token, and those of a step there."""
        sequence = self._engine.open(prompt, self._sampling(temperature=0))
        self._fill(sequence)
        self._engine.decode([sequence])
        self._engine.close(sequence)
        began = time.perf_counter()
        sequence = self._engine.open([*prompt, key], self._sampling(temperature=0))
        self._fill(sequence)
        self._engine.decode([sequence])
        grown, steps = time.perf_counter() - began, []
        for _ in range(9):
            began = time.perf_counter()
            self._engine.decode([sequence])
            steps.append(time.perf_counter() - began)
        self._engine.close(sequence)
        return {"key": grown, "step": sorted(steps)[len(steps) // 2]}

    def _fill(self, sequence) -> None:
        while not self._engine.ready(sequence):
            self._engine.prefill(sequence)


class Transformers:
    def __init__(self, folder: Path, precision: str, threads: int) -> None:
        import torch
        from transformers import AutoModelForCausalLM
        torch.set_num_threads(threads)
        self._torch = torch
        kind = torch.bfloat16 if precision == "bf16" else torch.float32
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=kind).eval()

    def run(self, prompts: list[list[int]], count: int, sampling: dict) -> dict:
        torch, (prompt,) = self._torch, prompts
        with torch.inference_mode():
            began = time.perf_counter()
            out = self._model(torch.tensor([prompt]), use_cache=True, logits_to_keep=1)
            tokens = [int(out.logits[0, -1].argmax())]
            first = time.perf_counter()
            for _ in range(count - 1):
                out = self._model(torch.tensor([tokens[-1:]]), past_key_values=out.past_key_values, use_cache=True)
                tokens.append(int(out.logits[0, -1].argmax()))
        return {"first": first - began, "rest": time.perf_counter() - first, "made": count - 1, "tokens": [tokens]}


class CTranslate2:
    def __init__(self, folder: Path, precision: str, threads: int) -> None:
        import ctranslate2
        self._generator = ctranslate2.Generator(str(folder), device="cpu", compute_type=precision,
                                                inter_threads=1, intra_threads=threads)
        self._names = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))

    def run(self, prompts: list[list[int]], count: int, sampling: dict) -> dict:
        times = []
        began = time.perf_counter()
        result = self._generator.generate_batch(
            [[self._names[token] for token in prompts[0]]], max_length=count, min_length=count,
            include_prompt_in_result=False, callback=lambda step: times.append(time.perf_counter()))[0]
        return {"first": times[0] - began, "rest": times[-1] - times[0], "made": len(times) - 1,
                "tokens": [result.sequences_ids[0]]}


class OpenVINO:
    """OpenVINO GenAI on a GGUF file, which it turns into a graph of its own."""

    def __init__(self, file: Path, precision: str, threads: int) -> None:
        import openvino
        import openvino_genai
        self._openvino, self._genai = openvino, openvino_genai
        self._pipeline = openvino_genai.LLMPipeline(str(file), "CPU", INFERENCE_NUM_THREADS=threads)

    def run(self, prompts: list[list[int]], count: int, sampling: dict) -> dict:
        import numpy as np
        ids = np.array(prompts, np.int64)
        inputs = self._genai.TokenizedInputs(self._openvino.Tensor(ids), self._openvino.Tensor(np.ones_like(ids)))
        config = self._genai.GenerationConfig(max_new_tokens=count, min_new_tokens=count, ignore_eos=True,
                                              do_sample=False)
        began = time.perf_counter()
        result = self._pipeline.generate(inputs, config)
        whole, first = time.perf_counter() - began, result.perf_metrics.get_ttft().mean / 1000
        return {"first": first, "rest": whole - first, "made": count - 1, "tokens": [list(result.tokens[0])]}


def main() -> None:
    kind, folder, precision, threads, speculate = sys.argv[1:]
    os.environ["OMP_NUM_THREADS"] = threads
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to the error stream

    def say(answer: dict) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    if kind == "prepare":
        from engines import prepared_file
        prepared_file(Path(folder), precision)
        return
    if kind == "ours":
        from gpt2_assist.errors import AssistError
        try:
            contender = Ours(Path(folder), precision, int(threads), speculate == "on")
        except AssistError as error:
            say({"missing": str(error)})
            return
    else:
        contender = {"transformers": Transformers, "ctranslate2": CTranslate2, "openvino": OpenVINO}[kind](
            Path(folder), precision, int(threads))
    say({"missing": ""})
    for line in sys.stdin:
        request = json.loads(line)
        say(getattr(contender, request.pop("what"))(**request))


if __name__ == "__main__":
    main()
