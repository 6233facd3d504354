"""`gpt2-assist generate` and `gpt2-repl` without a terminal, as programs."""
import json
import os
import resource
import signal
import subprocess
import sys

import pytest

PROMPT = "The model"


def assist(*arguments, stdin: str | bytes = b"", module: str = "gpt2_assist.cli", **options):
    data = stdin.encode() if isinstance(stdin, str) else stdin
    return subprocess.run([sys.executable, "-m", module, *map(str, arguments)], input=data, capture_output=True,
                          timeout=100, **options)


@pytest.fixture
def generate(tiny_model):
    def run(*arguments, **options):
        result = assist("generate", "--model", tiny_model, "--seed", 3, "--max-new-tokens", 24, *arguments, **options)
        assert result.returncode == 0, result.stderr.decode()
        return result.stdout.decode()
    return run


def test_argument_file_prefix_and_input_are_the_same_prompt(generate, tmp_path):
    (tmp_path / "prompt.txt").write_text(PROMPT + "\n")
    text = generate(PROMPT)
    assert len(text) > 20 and not text.startswith(PROMPT)
    assert generate("--file", tmp_path / "prompt.txt") == text == generate("--prefix", PROMPT)
    assert generate(stdin=PROMPT + "\n") == text == generate("-", stdin=PROMPT)


def test_a_folder_is_a_model_by_its_bare_name_too(generate, tiny_model):
    named = [assist("generate", PROMPT, "--model", name, "--seed", 3, "--max-new-tokens", 24, cwd=tiny_model.parent)
             for name in (tiny_model.name, f"./{tiny_model.name}", f"{tiny_model.name}/")]
    assert [ran.stdout.decode() for ran in named] == [generate(PROMPT)] * 3


def test_include_prefix_and_truncate_work_by_themselves(generate):
    text = generate(PROMPT)
    assert generate(PROMPT, "--include-prefix") == PROMPT + text
    place = next(place for place in range(4, len(text)) if text[place - 1:place + 2].isprintable()
                 and text[place - 1:place + 2].isascii())  # whole characters: of half a one at the end nothing is shown
    cut = text[place:place + 2]
    expected = text[:text.index(cut)]
    assert generate(PROMPT, "--truncate", cut) == (expected if expected.endswith("\n") else expected + "\n")
    assert generate(PROMPT, "--stop", cut) == generate(PROMPT, "--truncate", cut)


def test_samplers_are_set_by_flags_and_several_temperatures_take_turns(generate):
    text = generate(PROMPT)
    assert generate(PROMPT, "--temperature", "0.8,0.8") == text != generate(PROMPT, "--temperature", "0.8,0,2")
    assert generate(PROMPT, "--samplers", "") == generate(PROMPT, "--temperature", "1", "--top-k", "0") != text
    dry = "--dry-multiplier", "5", "--dry-allowed-length", "1"
    assert generate(PROMPT, *dry, "--dry-breaker", "\\n") != text
    assert generate(PROMPT, *dry, "--samplers", "top_k,temperature") == text


def test_phrases_are_banned_by_flags_and_files(generate, tmp_path):
    text = generate(PROMPT)
    banned = next(text[place:place + 2] for place in range(4, len(text)) if text[place:place + 2].isalnum())
    (tmp_path / "phrases.txt").write_text(f"never\n\n{banned.upper()}\n")
    other = generate(PROMPT, "--ban", banned)
    assert banned.casefold() not in other.casefold()
    assert generate(PROMPT, "--ban", "never", "--ban-file", tmp_path / "phrases.txt") == other


def test_samples_are_the_same_at_every_batch_size_and_as_json_lines(generate):
    lines = generate(PROMPT, "-n", 5, "--json").splitlines()
    samples = [json.loads(line) for line in lines]
    assert [sample["index"] for sample in samples] == [0, 1, 2, 3, 4]
    assert len({sample["text"] for sample in samples}) == 5
    assert set(samples[0]) == {"index", "text", "tokens", "finish_reason", "seed", "model"}
    assert samples[0]["seed"] == 3 and samples[0]["finish_reason"] in ("stop", "length")
    for size in (1, 2, 5):
        assert generate(PROMPT, "-n", 5, "--json", "--batch-size", size).splitlines() == lines
    plain = generate(PROMPT, "-n", 5)
    assert plain.count("=" * 20) == 4 and all(sample["text"] in plain for sample in samples)


def test_log_probabilities_come_with_the_tokens(generate):
    sample = json.loads(generate(PROMPT, "--json", "--logprobs", 2))
    assert len(sample["logprobs"]) == sample["tokens"]
    token, value, best = sample["logprobs"][0]
    assert isinstance(token, str) and value <= best[0][1] <= 0 and len(best) == 2


def test_a_file_appears_whole_and_a_refused_one_leaves_the_old(generate, tiny_model, tmp_path):
    target = tmp_path / "out.txt"
    generate(PROMPT, "-o", target)
    text = target.read_bytes()
    assert text.decode() == generate(PROMPT)
    result = assist("generate", PROMPT, "--model", tiny_model, "--max-new-tokens", 300, "-o", target,
                    preexec_fn=lambda: (signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
                                        resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))))
    assert result.returncode == 6 and b"can't be written" in result.stderr
    assert target.read_bytes() == text and list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(("arguments", "stdin", "code", "sentence"), [
    (["a", "--prefix", "b"], b"", 2, "once"),
    (["a", "--temperature", "-1"], b"", 2, "temperature"),
    (["a", "--temperature", "0.5,hot"], b"", 2, "temperature"),
    (["a", "--samplers", "top_k,top_q"], b"", 2, "no sampler 'top_q'"),
    (["a", "--dry-multiplier", "1", "--dry-breaker", ""], b"", 2, "dry_breakers"),
    (["a", "--ban", ""], b"", 2, "banned phrase"),
    (["a", "--ban-file", "/no/such/file"], b"", 4, "No such file"),
    (["a", "--logit-bias", "x"], b"", 2, "ID=BIAS"),
    (["a", "-n", "0"], b"", 2, "-n"),
    (["a", "--model", "no-such"], b"", 3, "gpt2-assist pull"),
    (["--file", "/no/such/file"], b"", 4, "No such file"),
    (["-"], bytes(range(160, 256)) * 9, 4, "save it as UTF-8"),
    (["-"], b"a\0b", 4, "no text"),
    (["--file", "/dev/zero"], b"", 4, "neither a file nor a folder"),
    (["a", "-o", "/no/such/folder/x"], b"", 6, "does not exist"),
])
def test_bad_input_gets_one_sentence_and_an_exit_code(arguments, stdin, code, sentence):
    result = assist("generate", *arguments, stdin=stdin)
    error = result.stderr.decode()
    assert result.returncode == code and sentence in error
    assert error.count("\n") == 1 and "Traceback" not in error and not result.stdout


def test_ctrl_c_keeps_what_came(tiny_model):
    process = subprocess.Popen([sys.executable, "-m", "gpt2_assist.cli", "generate", PROMPT, "--model", tiny_model,
                                "--max-new-tokens", "1000000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    came = os.read(process.stdout.fileno(), 10)
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and came and rest.endswith(b"\n") and not errors


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_command_without_a_fault(number, code):
    assert assist("daemon", "start").returncode == 0  # there is a log to follow
    process = subprocess.Popen([sys.executable, "-m", "gpt2_assist.cli", "daemon", "logs", "-f", "-n", "1"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.read(1)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (code, b"")


def test_a_reader_that_leaves_is_no_error(tiny_model):
    command = (f"{sys.executable} -m gpt2_assist.cli generate '{PROMPT}' --model {tiny_model} "
               "--max-new-tokens 4000 | head -c 20")
    result = subprocess.run(["bash", "-c", command], capture_output=True, timeout=100)
    assert len(result.stdout) == 20 and not result.stderr


def test_the_repl_without_a_terminal_continues_its_input(tiny_model):
    result = assist("--model", tiny_model, stdin=PROMPT + "\n", module="gpt2_assist.repl.main")
    text = result.stdout.decode()
    assert result.returncode == 0 and not result.stderr and text.endswith("\n") and not text.startswith(PROMPT)
