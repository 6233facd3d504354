"""What a fine-tuning brings is put into its run's folder: the best model, the curve, samples."""
import json
import math
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch

from gpt2_assist.corpus.documents import START
from gpt2_assist.errors import ModelError
from gpt2_assist.files.whole_file import whole_file
from gpt2_assist.model.card import Card, write_card
from gpt2_assist.model.hub_files import write_tokenizer
from gpt2_assist.model.store import find_model
from gpt2_assist.model.transformer import Transformer
from gpt2_assist.model.weights import model_of
from gpt2_assist.runs import SAMPLES_AT, Run, RunRecord
from gpt2_assist.text.opening import opening
from gpt2_assist.text.tokenizer import TextTokenizer
from gpt2_assist.training.export.merging import whole_weights
from gpt2_assist.training.export.model_folder import export_model
from gpt2_assist.training.finetuning.base import Base
from gpt2_assist.training.finetuning.curves import draw_curve
from gpt2_assist.training.finetuning.estimate import MODEL, SAMPLES
from gpt2_assist.training.finetuning.lora import write_adapter
from gpt2_assist.training.finetuning.settings import FULL
from gpt2_assist.training.finetuning.showing import Show
from gpt2_assist.training.finetuning.tuning import StepReport, Tuning, judged
from gpt2_assist.training.finetuning.writing import SampleWriter


def text_prefix(tokenizer: TextTokenizer, short: bool) -> str:
    """What stood before the texts that were learned from, short ones or not."""
    assert tokenizer.end_of_text is not None  # else base.py would have refused it
    end = tokenizer.decode([tokenizer.end_of_text])
    return end + START if short else end


def sample_prompt(tokenizer: TextTokenizer, short: bool, prompt: str) -> list[int]:
    """A sample's prompt in tokens, as the daemon puts it to the model that is made."""
    return tokenizer.encode(opening(text_prefix(tokenizer, short), prompt)) + tokenizer.encode(prompt)


class Keeper:
    """Puts into the run's folder what a training brings."""

    def __init__(self, run: Run, record: RunRecord, base: Base, tuning: Tuning, show: Show, threads: int) -> None:
        self._run, self._record, self._base, self._tuning, self._show = run, record, base, tuning, show
        self._threads = threads

    def forget_after(self, step: int) -> None:
        """Of a training that was killed, drops what came after the state from which it goes on."""
        path = self._run.folder / "curve.jsonl"
        kept = []
        if path.is_file():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    if json.loads(line)["step"] <= step:
                        kept.append(line + "\n")
                except (ValueError, KeyError, TypeError):
                    break  # cut off in the middle
            with whole_file(path) as file:
                file.write("".join(kept).encode())

    def remember_saved(self) -> None:
        """From the first saved state on, the run can't begin anew for want of one."""
        if not self._record.saved and self._tuning.saved():
            self._record.saved = True
            self._run.write_record(self._record)

    def wants_model(self, report: StepReport) -> bool:
        return report.best or self._samples_at(report)

    def _samples_at(self, report: StepReport) -> bool:
        return report.step % self._record.sample_every == 0 or report.step == report.steps

    def take(self, report: StepReport, model: Transformer | None) -> None:
        self.remember_saved()
        entry = {"step": report.step, "loss": round(report.loss, 5), "tokens_per_s": round(report.tokens_per_s, 1)}
        for name in ("validation", "general", "infill"):
            value = getattr(report, name)
            if value is not None:
                entry[name] = round(value, 5)
        with open(self._run.folder / "curve.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        if model is not None and report.best:
            with self._tuning.estimate.timed(MODEL):
                self._keep_best(report.step, vars(report), lambda folder, card: self._write_model(folder, card, model))
        if model is not None and self._samples_at(report):
            with self._tuning.estimate.timed(SAMPLES):
                self._try_sample(report.step, model)

    def close(self, ended: bool) -> None:
        self.remember_saved()
        if ended and self._run.model() is None:  # nothing that was trained is better
            self._keep_best(0, self._tuning.state.first, self._write_base)
        draw_curve(self._run)

    def _write_model(self, folder: Path, card: Card, model: Transformer) -> None:
        if self._tuning.settings.method == FULL:
            export_model(model.config, dict(model.state_dict()), self._base.tokenizer, card, folder)
        else:
            write_adapter(folder, model, self._tuning.settings.lora, str(self._base.folder.path))
            if self._base.tokenizer.vocab_size > TextTokenizer.from_folder(self._base.folder.path).vocab_size:
                write_tokenizer(self._base.tokenizer, folder)
            write_card(folder, card)

    def _write_base(self, folder: Path, card: Card) -> None:
        """The base, or an adapter that adds nothing to it."""
        settings = self._tuning.settings
        if settings.method == FULL:
            self._base.write(folder, card)
        else:
            self._write_model(folder, card, self._base.tunable(settings, "cpu"))

    def _keep_best(self, step: int, measured: Mapping[str, float | None],
                   write_model: Callable[[Path, Card], None]) -> None:
        """Makes the model or the adapter of a step, and says that it is the best."""
        before, place = self._run.model(), self._run.model_of(step)
        known = self._run.best()
        if before and judged({"validation": known.get("loss", math.inf), "infill": known.get("infill")}) < judged(
                measured):
            return  # on again from an older state: what is there is better
        fresh = place.with_name(f".step-{step}")
        shutil.rmtree(fresh, ignore_errors=True)
        write_model(fresh, self._card(step))
        shutil.rmtree(place, ignore_errors=True)
        fresh.rename(place)
        first = self._tuning.state.first
        best = {"step": step, "loss": measured["validation"], "before": first["validation"]}
        if measured.get("infill") is not None:
            best |= {"infill": measured["infill"], "infill_before": first["infill"]}
        self._run.write_best(best)
        for old in place.parent.glob("step-*"):
            if old not in (place, before):  # the one before may just be on its way to the engine
                shutil.rmtree(old, ignore_errors=True)

    def _card(self, step: int) -> Card:
        base = self._base.folder.card
        names = ", ".join(Path(path).name or path for path in self._record.paths)
        return replace(
            base, origin=f"fine-tuned from {self._record.base} by gpt2-assist finetune, run {self._run.name}, "
                         f"step {step}",
            data=f"{base.data}; then {self._record.documents} documents of {names}",
            prompt_prefix=text_prefix(self._base.tokenizer, self._record.short),
            stop_strings=[START] if self._record.short else [stop for stop in base.stop_strings if stop != START],
            infill=dict(self._base.lesson.entries) if self._base.lesson and step else base.infill,
            hashes={},
            figures={"tokens": self._record.tokens, "base_validation": self._tuning.state.first["validation"],
                     "validation": self._tuning.state.best_validation})

    def _try_sample(self, step: int, model: Transformer) -> None:
        """The training goes on without a sample where none can be written."""
        try:
            self._sample(step, model)
        except ModelError:
            self._show.say(f"No sample at step {step}: a weight has become infinite or no number; begin again with a "
                           "lower --rate.")
        except (MemoryError, torch.OutOfMemoryError):
            self._show.say(f"No sample at step {step}: there is too little memory for one.")

    def _sample(self, step: int, model: Transformer) -> None:
        writer = SampleWriter(model, self._tuning.settings, self._threads)
        with open(self._run.folder / "samples.txt", "a", encoding="utf-8") as file:
            for number, prompt in enumerate(self._record.prompts):
                text = self._written(writer, prompt, number)
                file.write(f"{SAMPLES_AT.format(step)}\n{prompt}{text}\n")
                self._show.sample(step, prompt, text)

    def _written(self, writer: SampleWriter, prompt: str, seed: int) -> str:
        tokenizer = self._base.tokenizer
        ids = sample_prompt(tokenizer, self._record.short, prompt)
        text = tokenizer.decode(writer.write(ids, self._record.sample_tokens, seed, tokenizer.end_of_text))
        return text.partition(START)[0] if self._record.short else text  # a stop string of such models

    def last_sample(self) -> str:
        """What the best model writes behind the first prompt; nothing where it can't be had."""
        with suppress(ModelError, MemoryError):
            model = model_of(*whole_weights(find_model(self._run.name)))
            return self._written(SampleWriter(model, replace(self._tuning.settings, method=FULL), self._threads),
                                 self._record.prompts[0], 0)
        return ""
