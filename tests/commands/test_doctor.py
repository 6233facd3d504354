"""`gpt2-assist doctor` says what is there and what is to be done."""
import json
import os
import subprocess
import sys
from pathlib import Path


def doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "gpt2_assist.cli", "doctor", *arguments]
    return subprocess.run(command, capture_output=True, text=True,
                          env=os.environ | environment)


def test_all_is_well_with_the_bundled_model():
    done = doctor("--json")
    findings = {finding["what"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 0
    assert "mini" in findings["model"]["says"] and "mini loaded" in findings["daemon"]["says"]
    assert Path(findings["gpt2-lsp"]["says"].split(";")[0]).exists()


def test_a_missing_model_is_named_with_what_to_do(tmp_path):
    (tmp_path / "settings.toml").write_text('model = "absent"\n', encoding="utf-8")
    done = doctor(GPT2_ASSIST_HOME=str(tmp_path))
    assert done.returncode == 1
    assert "absent" in done.stdout and "pull" in done.stdout and "Traceback" not in done.stderr
