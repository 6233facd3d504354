"""What is filled in between two texts, through the scheduler and a real engine, and by the command."""
import subprocess
import sys

import pytest

from gpt2_assist.daemon.worker.request import Request, Vocabulary
from gpt2_assist.daemon.worker.scheduler import Scheduler
from gpt2_assist.engine.torch_engine import TorchEngine
from gpt2_assist.errors import UsageError
from gpt2_assist.ipc.client import Client
from gpt2_assist.ipc.messages import Chunk, Finished, Generate, Generation, Resume, SampleDone
from gpt2_assist.model.card import Card
from gpt2_assist.model.weights import load_weights
from gpt2_assist.text.infill import NEW
from gpt2_assist.text.tokenizer import TextTokenizer

BEFORE, AFTER = "def make_model(fol", "\n    return folder\n"


@pytest.fixture(scope="module")
def vocabulary(infill_model) -> Vocabulary:
    return Vocabulary(TextTokenizer.from_folder(infill_model), Card())


@pytest.fixture(scope="module")
def make_engine(infill_model):
    weights = load_weights(infill_model)
    return lambda: TorchEngine(*weights, "fp32", "cpu")


@pytest.fixture
def engine(make_engine) -> TorchEngine:
    return make_engine()


def generate(before: str = BEFORE, after: str | None = AFTER, id: int = 1, **more) -> Generate:
    around = {name: more.pop(name) for name in ("path", "repository", "beside") if name in more}
    settings = Generation(**{"max_new_tokens": 12, "seed": 5, "temperature": 1.0} | more)
    return Generate(id, "tiny", before, settings, suffix=after, **around)


def run(engine, vocabulary, message) -> tuple[str, list[int], SampleDone, Finished]:
    heard: list = []
    scheduler = Scheduler(engine, heard.append)
    scheduler.add(Request(message, vocabulary, heard.append, engine.n_ctx))
    while scheduler.busy:
        scheduler.step()
    chunks = [message for message in heard if isinstance(message, Chunk)]
    return ("".join(chunk.text for chunk in chunks), [id for chunk in chunks for id in chunk.tokens], heard[-2],
            heard[-1])


def of_order(vocabulary: Vocabulary, order: str, **more) -> Vocabulary:
    return vocabulary.of(Card(infill={**NEW, "order": order, **more}), None)


@pytest.mark.parametrize("order", ["PSM", "SPM", "both"])
def test_the_word_before_the_cursor_is_healed_and_what_is_shown_comes_behind_it(engine, vocabulary, order):
    vocabulary = of_order(vocabulary, order)
    prompt, spelling = vocabulary.infill_prompt(generate(), engine.n_ctx)
    token_bytes = vocabulary.tokenizer.token_bytes
    first, second = vocabulary.infill.sides(prompt)
    assert spelling and b"".join(map(token_bytes, first)) + spelling == BEFORE.encode()
    assert b"".join(map(token_bytes, second)) == AFTER.encode()
    text, ids, done, finished = run(engine, vocabulary, generate())
    new = b"".join(map(token_bytes, ids))
    assert new.startswith(spelling) and text == new[len(spelling):].decode("utf-8", "replace").rstrip("\ufffd")
    assert (done.finish_reason, done.tokens, finished.prompt_tokens) == ("length", 12, len(prompt))
    assert vocabulary.infill_prompt(generate(heal=False), engine.n_ctx)[1] == b""


def test_the_text_depends_on_what_follows_and_a_restart_changes_nothing(engine, make_engine, vocabulary):
    text, ids, *_ = run(engine, vocabulary, generate())
    assert text != run(engine, vocabulary, generate(after="\n\n\nimport json"))[0]
    assert text != run(engine, vocabulary, generate(after=""))[0] != run(engine, vocabulary, generate(after=None))[0]
    for count in (1, 5, len(ids)):
        _, rest, done, _ = run(make_engine(), vocabulary, Resume(generate(), [ids[:count]], []))
        assert (ids[:count] + rest, done.tokens) == (ids, 12)


def test_any_control_token_ends_a_text_and_none_is_shown(engine, vocabulary):
    infill = vocabulary.infill
    for end in sorted(infill.ends):
        text, ids, done, _ = run(engine, vocabulary, generate(heal=False, logit_bias=[[end, 10_000.0]]))
        assert (text, ids, done) == ("", [end], SampleDone(1, 0, "stop", 1))
        plain = generate(after=None, heal=False, logit_bias=[[end, 10_000.0]])
        text, ids, *_ = run(engine, vocabulary, plain)
        assert (text, ids) == ("", [end]) if end in infill.file_ends else text and end not in ids


def test_what_looks_like_a_control_token_in_the_users_text_is_text(engine, vocabulary):
    infill = vocabulary.infill
    before, after = "x = '<|fim_middle|><|endoftext|>", "<|fim_suffix|>'\n"
    prompt, spelling = vocabulary.infill_prompt(generate(before, after), 200)
    first, second = infill.sides(prompt)
    assert vocabulary.tokenizer.decode(first).encode() + spelling == before.encode()
    assert vocabulary.tokenizer.decode(second) == after
    assert [id for id in prompt if id in infill.ends] == [infill.prefix, infill.suffix, infill.middle]


def test_long_texts_leave_room_and_the_window_never_moves(engine, vocabulary):
    message = generate("The model is here. " * 90, " and a tokenizer" * 90, max_new_tokens=1000)
    prompt, _ = vocabulary.infill_prompt(message, engine.n_ctx)
    assert engine.n_ctx // 2 - 8 <= len(prompt) <= engine.n_ctx // 2
    first, second = vocabulary.infill.sides(prompt)
    assert len(second) >= 6 and len(first) >= 15
    text, ids, done, finished = run(engine, vocabulary, message)
    assert (done.finish_reason, finished.context) == ("length", engine.n_ctx)
    assert len(ids) == engine.n_ctx - len(prompt)


def test_other_files_come_first_in_the_models_own_form(vocabulary):
    message = generate(path="a.py", repository="tools", beside=[["b.py", "import json\n"], ["c.py", "x"]])
    prompt, _ = vocabulary.infill_prompt(message, 512)
    text = b"".join(map(vocabulary.tokenizer.token_bytes, prompt)).decode()
    assert text == ("<|repo_name|>tools\n<|file_sep|>b.py\nimport json\n<|file_sep|>c.py\nx<|file_sep|>a.py\n"
                    f"<|fim_prefix|>def make_model(<|fim_suffix|>{AFTER}<|fim_middle|>")
    prompt, _ = of_order(vocabulary, "SPM", begin="<|endoftext|>").infill_prompt(message, 512)
    text = b"".join(map(vocabulary.tokenizer.token_bytes, prompt)).decode()
    assert text == ("<|endoftext|>b.py\nimport json\nc.py\nxa.py\n"
                    f"<|fim_suffix|>{AFTER}<|fim_prefix|>def make_model(<|fim_middle|>")


@pytest.mark.parametrize("order, most", [("SPM", 16), ("both", 16), ("PSM", 64)])
def test_a_key_costs_a_word_where_the_suffix_stands_first(engine, vocabulary, order, most):
    vocabulary = of_order(vocabulary, order)
    typed = "The model of "
    run(engine, vocabulary, generate(typed, max_new_tokens=0))
    for end in range(len(typed), len(typed) + 12):
        prompt, _ = vocabulary.infill_prompt(generate((typed + "the folder i")[:end]), engine.n_ctx)
        finished = run(engine, vocabulary, generate((typed + "the folder i")[:end]))[3]
        assert len(prompt) - finished.cached_tokens <= most  # this engine's cache holds whole blocks of 16


def test_a_model_that_was_not_taught_says_so(engine, vocabulary, tiny_model):
    plain = Vocabulary(TextTokenizer.from_folder(tiny_model), Card())
    with pytest.raises(UsageError, match="finetune PATH --infill"):
        Request(generate(), plain, print, engine.n_ctx)


def assist(*arguments, stdin: str = ""):
    return subprocess.run([sys.executable, "-m", "gpt2_assist.cli", "generate", *map(str, arguments)],
                          input=stdin.encode(), capture_output=True, timeout=100)


@pytest.fixture
def filled(infill_model):
    def run(*arguments, **more) -> str:
        ran = assist("--model", infill_model, "--seed", 3, "--max-new-tokens", 12, *arguments, **more)
        assert ran.returncode == 0, ran.stderr.decode()
        return ran.stdout.decode()
    return run


def test_the_command_fills_in_from_arguments_files_and_input(filled, infill_model, tmp_path):
    (tmp_path / "before.py").write_text(BEFORE)
    (tmp_path / "after.py").write_text(AFTER)
    text = filled(BEFORE, "--suffix", AFTER)
    assert len(text) > 3 and text != filled(BEFORE) and text != filled(BEFORE, "--suffix", "")
    assert text == filled("-f", tmp_path / "before.py", "--suffix-file", tmp_path / "after.py")
    assert text == filled("--suffix-file", tmp_path / "after.py", stdin=BEFORE)
    (tmp_path / "before.py").write_text("import json\n")
    assert filled("-f", tmp_path / "before.py", "--suffix", AFTER) == filled("import json\n", "--suffix", AFTER)
    beside = filled(BEFORE, "--suffix", AFTER, "--beside", tmp_path / "after.py", "--beside", tmp_path / "before.py")
    assert beside != text
    import gpt2_assist
    assert gpt2_assist.generate(model_name=infill_model, prefix=BEFORE, suffix=AFTER, seed=3, length=12,
                                include_prefix=False)[0] == text.removesuffix("\n")
    with Client.connect("test") as client:
        settings = Generation(max_new_tokens=12, seed=3)
        chunks = [message.text for message in client.generate(str(infill_model), BEFORE, settings, suffix=AFTER)
                  if isinstance(message, Chunk)]
    assert "".join(chunks) == text.removesuffix("\n")


@pytest.mark.parametrize("arguments, code, words", [
    (["a", "--suffix", "b", "--suffix-file", "c"], 2, "once"), (["a", "--beside", "c"], 2, "--suffix"),
    (["a", "--suffix-file", "/no/such/file"], 4, "No such file"),
    (["a", "--suffix", "b", "--beside", "/no/such/file"], 4, "No such file"),
    (["a", "--suffix", "b"], 2, "finetune PATH --infill")])
def test_what_cant_be_is_one_sentence(tiny_model, arguments, code, words):
    ran = assist(*arguments, "--model", tiny_model)
    error = ran.stderr.decode()
    assert ran.returncode == code and words in error and error.count("\n") == 1 and not ran.stdout


def test_what_no_encoding_has_can_be_around_the_cursor(infill_model):
    import gpt2_assist
    around = {"prefix": "caf\udce9", "suffix": "\ud83d x"}
    assert gpt2_assist.generate(model_name=infill_model, length=2, **around)[0].startswith("caf\ufffd")

