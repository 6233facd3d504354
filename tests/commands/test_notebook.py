"""The calls of the API in a real notebook's kernel."""
import base64
import os
import re
import signal
import sys

import pytest

from gpt2_assist.runs import find_run

nbclient = pytest.importorskip("nbclient", reason="needs nbclient and ipykernel: pip install them")
nbformat = pytest.importorskip("nbformat")

TRAINING = """
import gpt2_assist
steps = []
trained = gpt2_assist.finetune({notes!r}, model_name={model!r}, run_name="notebook", steps=12, context=32,
                               batch_tokens=128, validate_every=4, callback=lambda report: steps.append(report.step))
trained
"""
WRITING = """
print(steps == list(range(1, 13)), trained.finished)
gpt2_assist.generate("notebook", prefix="The <fox>", nsamples=2, length=8, seed=1)
"""
STOPPED = """
stopped = gpt2_assist.finetune({notes!r}, model_name={model!r}, run_name="interrupted", steps=100_000, context=32,
                               batch_tokens=128, patience=0)
print("finished:", stopped.finished)
"""


@pytest.mark.slow
def test_a_training_shows_a_bar_that_grows_and_the_curve(tiny_model, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    for number in range(12):
        (notes / f"{number}.txt").write_text(f"Day {number}: the fox of Rome sang to {number} bees. " * 9, "utf-8")
    notebook = nbformat.v4.new_notebook(cells=[
        nbformat.v4.new_code_cell(TRAINING.format(notes=str(notes), model=str(tiny_model))),
        nbformat.v4.new_code_cell(WRITING),
        nbformat.v4.new_code_cell(STOPPED.format(notes=str(notes), model=str(tiny_model)))])
    seen: list[str] = []
    stops = iter([True])

    class Watched(nbclient.NotebookClient):
        def process_message(self, message, cell, index):
            if message["msg_type"] == "update_display_data":
                bar = message["content"]["data"]["text/html"]
                if index == 0:
                    seen.append(bar)
                elif "value='0'" not in bar and next(stops, False):
                    os.kill(self.km.provisioner.pid, signal.SIGINT)  # what the stop button does
            return super().process_message(message, cell, index)
    client = Watched(notebook, timeout=100, kernel_name="python3")
    client.create_kernel_manager().kernel_spec.argv[0] = sys.executable
    client.execute()
    training, writing, stopped = (cell.outputs for cell in notebook.cells)
    assert seen and "value='12' max='12'" in seen[-1] and "validation" in seen[-1]
    bar, *_ = (output.data["text/html"] for output in training if output.output_type == "display_data")
    assert bar == seen[-1], "one place that changes"
    said = "".join(output.text for output in training if output.output_type == "stream")
    assert "12 documents" in said and "Validation loss" in said and "tok/s" not in said
    curve, = (output.data["image/png"] for output in training if "image/png" in output.get("data", {}))
    assert base64.b64decode(curve).startswith(b"\x89PNG")
    assert writing[0].text == "True True\n"
    texts = next(output.data["text/html"] for output in writing if "text/html" in output.get("data", {}))
    assert texts.count("<pre") == 2 and "The &lt;fox&gt;" in texts
    said = "".join(output.text for output in stopped if output.output_type == "stream")
    assert "Stopped and saved" in said and "finished: False" in said
    step, = (int(number) for number in re.findall(r"Stopped and saved after step (\d+)", said))
    states = find_run("interrupted").folder / "checkpoints"
    assert 0 < step < 100_000 and list(states.glob(f"step-*{step}.safetensors"))
