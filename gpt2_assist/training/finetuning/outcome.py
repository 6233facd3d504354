"""What came of a fine-tuning, and how to go on, in plain words."""
from gpt2_assist.training.finetuning.curves import EXTRA, PICTURE
from gpt2_assist.training.finetuning.finetune import Result

_SHOWN = 300
"""Characters of a sample."""


def outcome(result: Result) -> list[str]:
    """Sentences for whoever waited for it."""
    name = result.run.name
    lines = [] if result.finished else [
        f"Stopped and saved after step {result.step}; `gpt2-assist finetune --resume --run {name}` goes on."]
    return lines + (_measured(result) if result.best else []) + _samples(result) + _use(result)


def _measured(result: Result) -> list[str]:
    before, best, step = result.before["validation"], result.best["loss"], result.best["step"]
    if step:
        lines = [f"Validation loss {before:.3f} before, {best:.3f} at best (step {step})."]
    elif result.last is None:
        lines = [f"Validation loss {before:.3f} before; it wasn't measured again yet."]
    else:
        lines = [f"Validation loss {before:.3f} before, {result.last:.3f} now: nothing that was trained is better than "
                 "the model as it was. A lower --rate or more text may help."]
    if result.before.get("infill") is not None:
        lines.append(f"Of what is filled in: {result.before['infill']:.3f} before, {result.best['infill']:.3f} then.")
    if result.held_out:
        lines.append(result.held_out)
    if not result.finished or not step:
        return lines
    if result.best["step"] == result.step:
        return [*lines, f"It was still improving: `gpt2-assist finetune --resume --run {result.run.name} --steps "
                        f"{2 * result.step}` goes on from here."]
    return [*lines, f"It improved no more after step {step}, so more steps won't help; more texts might."]


def _samples(result: Result) -> list[str]:
    if not result.samples:
        return []
    prompt, before, after = result.samples
    return [f"Before it wrote: “{_flat(prompt + before)}”", f"Now it writes: “{_flat(prompt + after)}”"]


def _flat(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _SHOWN else flat[:_SHOWN].rsplit(" ", 1)[0] + " …"


def _use(result: Result) -> list[str]:
    name, lines = result.run.name, []
    if result.run.model():
        what = "writes with it" if result.best.get("step") else "writes with the model as it was"
        lines = [f"`gpt2-assist generate --model {name}` {what}, `gpt2-repl --model {name}` too."]
        if result.best.get("step") and result.before.get("infill") is not None:
            lines.append(f"`gpt2-assist generate --model {name} TEXT --suffix TEXT` fills in.")
    lines.append(f"The curve and the samples are in {result.run.folder}.")
    if result.run.curve() and not (result.run.folder / PICTURE).exists():
        lines.append(f"What draws the curve as a picture is installed with {EXTRA}.")
    return lines
