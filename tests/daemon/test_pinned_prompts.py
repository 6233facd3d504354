"""Memory and a note in what the model reads, sentences that are ended, and what is said of both."""
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import TINY, make_model

from gpt2_assist.daemon.worker.pinned import note_place, pinned_prompt
from gpt2_assist.daemon.worker.request import Request, Vocabulary
from gpt2_assist.daemon.worker.scheduler import Scheduler
from gpt2_assist.engine.engine import Sampling
from gpt2_assist.engine.reference import reference_generate
from gpt2_assist.engine.torch_engine import TorchEngine
from gpt2_assist.engine.window import window_start
from gpt2_assist.errors import UsageError
from gpt2_assist.ipc.messages import Chunk, Finished, Generate, Generation, Resume, SampleDone
from gpt2_assist.model.card import Card
from gpt2_assist.model.transformer import Transformer
from gpt2_assist.model.weights import load_weights
from gpt2_assist.text.sentences import ends_sentence
from gpt2_assist.text.tokenizer import TextTokenizer

N_CTX = 256
STORY = "".join(f"Paragraph {number} of the model.\nIt has a line more.\n\n" for number in range(30))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("models") / "wide", **{**TINY, "n_ctx": N_CTX})


@pytest.fixture(scope="module")
def vocabulary(folder) -> Vocabulary:
    return Vocabulary(TextTokenizer.from_folder(folder), Card())


@pytest.fixture(scope="module")
def weights(folder):
    return load_weights(folder)


def asked(text: str, memory: str = "", note: str = "", depth: int = 1, **more) -> Generate:
    settings = Generation(**{"max_new_tokens": 12, "seed": 5, "temperature": 1.0, "top_k": 0} | more)
    return Generate(1, "tiny", text, settings, memory=memory, note=note, note_depth=depth)


def run(engine, vocabulary, message) -> tuple[str, list[int], SampleDone, Finished]:
    heard: list = []
    scheduler = Scheduler(engine, heard.append)
    scheduler.add(Request(message, vocabulary, heard.append, engine.n_ctx))
    while scheduler.busy:
        scheduler.step()
    chunks = [message for message in heard if isinstance(message, Chunk)]
    return ("".join(chunk.text for chunk in chunks), [id for chunk in chunks for id in chunk.tokens], heard[-2],
            heard[-1])


def read(vocabulary, message) -> str:
    """What the model would read."""
    return vocabulary.tokenizer.decode(Request(message, vocabulary, lambda message: None, N_CTX).prompt)


def test_memory_comes_first_and_the_note_some_paragraphs_before_the_end(vocabulary):
    text = "One.\nTwo.\n\nThree.\nFour is being"
    assert read(vocabulary, asked(text, "Always.", "Now.", 1, heal=False)).endswith(
        "Always.\nOne.\nTwo.\n\nNow.\nThree.\nFour is being")
    assert read(vocabulary, asked(text, "", "Now.", 0, heal=False)).endswith("Three.\nNow.\nFour is being")
    assert read(vocabulary, asked(text, "", "Now.", 9, heal=False)).endswith(f"Now.\n{text}")
    assert read(vocabulary, asked("", "Always.", heal=False)).endswith("Always.\n")


@given(st.lists(st.sampled_from(["word", "\n", "\n\n", " "]), max_size=20).map("".join), st.integers(0, 6))
def test_a_note_stands_at_a_paragraphs_beginning_and_moves_with_paragraphs_alone(text, depth):
    place = note_place(text, depth)
    assert place == 0 or text[place - 1] == "\n"
    paragraphs = [line for line in text[place:].split("\n")[:-1] if line.strip()]
    assert len(paragraphs) == depth or place == 0
    assert note_place(text + "x", depth) == place or text.endswith("\n") is False and note_place(
        text + "x", depth) == place


@given(st.integers(0, 2000), st.integers(0, 2000), st.integers(0, 60), st.integers(0, 40), st.integers(0, 400))
def test_the_window_is_the_memory_and_a_tail_that_moves_in_steps(length, note_at, head, note, new):
    text, note_at = list(range(length)), min(note_at, length)
    prompt, _ = pinned_prompt(text, note_at, [-1] * head, [-2] * note, 512, new)
    assert prompt[:head] == [-1] * head and prompt.count(-2) == note and len(prompt) <= 512
    tail = [id for id in prompt if id >= 0]
    assert tail == text[length - len(tail):] and (len(tail) == length or len(tail) >= 512 // 8)
    behind = prompt[len(prompt) - prompt[::-1].index(-2):] if note else prompt
    assert not note or behind == text[max(note_at, length - len(tail)):]
    longer, _ = pinned_prompt([*text, length], note_at, [-1] * head, [-2] * note, 512, new)
    assert longer[:len(prompt)] == prompt or len(longer) < len(prompt)


@pytest.mark.parametrize("text", ["The model", STORY + "The mod", STORY])
def test_the_text_is_that_of_a_fresh_pass_over_its_window(weights, vocabulary, text):
    message = asked(text, "Remember the model.", "It rains.", 2, heal=False)
    got = run(TorchEngine(*weights, "fp32", "cpu"), vocabulary, message)
    prompt = Request(message, vocabulary, lambda message: None, N_CTX).prompt
    model = Transformer(weights[0])
    model.load_state_dict(weights[1])
    expected = reference_generate(model.eval(), prompt, Sampling(temperature=1.0, seed=5), 12)
    assert got[1] == [token.id for token in expected][:len(got[1])] and got[3].context <= N_CTX


def test_more_words_are_read_and_nothing_else(weights, vocabulary):
    engine = TorchEngine(*weights, "fp32", "cpu")
    first = run(engine, vocabulary, asked(STORY + "The", "Remember.", "It rains.", 2))[3]
    again = run(engine, vocabulary, asked(STORY + "The model and", "Remember.", "It rains.", 2))[3]
    assert first.cached_tokens == 0 and again.prompt_tokens - again.cached_tokens < 40


def test_a_restart_goes_on_as_it_would_have(weights, vocabulary):
    engine = TorchEngine(*weights, "fp32", "cpu")
    message = asked(STORY + "The mod", "Remember.", "It rains.", 2)
    text, tokens, *_ = run(engine, vocabulary, message)
    for count in range(len(tokens)):
        rest = run(TorchEngine(*weights, "fp32", "cpu"), vocabulary, Resume(message, [tokens[:count]], []))
        assert tokens[:count] + rest[1] == tokens and text.endswith(rest[0])


def test_what_leaves_the_text_no_room_is_refused(vocabulary):
    with pytest.raises(UsageError, match="make them shorter"):
        Request(asked("The model", "word " * 300), vocabulary, lambda message: None, N_CTX)
    with pytest.raises(UsageError, match="note_depth"):
        asked("The model", depth=-1).validate()
    with pytest.raises(UsageError, match="filled in"):
        Generate(1, "tiny", "a", Generation(), memory="b", suffix="c").validate()


@pytest.mark.parametrize("memory", ["", "Remember."])
def test_what_the_model_saw_of_a_long_text_is_said(weights, vocabulary, memory):
    engine = TorchEngine(*weights, "fp32", "cpu")
    assert run(engine, vocabulary, asked("The model", memory))[3].seen == len("The model")
    message = asked(STORY, memory, heal=False)
    seen = run(engine, vocabulary, message)[3].seen
    assert 200 < seen < len(STORY)
    window = Request(message, vocabulary, lambda message: None, N_CTX).prompt
    window = window[window_start(len(window), N_CTX):]
    shown = vocabulary.tokenizer.decode(window).removeprefix("<|endoftext|>").removeprefix(f"{memory}\n")
    assert shown == STORY[-seen:]


def test_a_sentence_is_ended_within_so_many_tokens(weights, vocabulary):
    engine = TorchEngine(*weights, "fp32", "cpu")
    whole = run(engine, vocabulary, asked("The model", max_new_tokens=300, seed=3))[0]
    texts = [run(engine, vocabulary, asked("The model", max_new_tokens=5, finish_within=more, seed=3))
             for more in (0, 10, 295)]
    for text, _, done, _ in texts:
        assert whole.startswith(text) and done.finish_reason == "length" and done.tokens >= 5
        assert ends_sentence(text) or done.tokens in (5, 15, 300)
    assert texts[0][2].tokens == 5 and [len(text[0]) for text in texts] == sorted(len(text[0]) for text in texts)
    assert any(ends_sentence(whole[:end]) for end in range(20, len(whole))) and ends_sentence(texts[2][0])


@pytest.mark.parametrize("text, ends", [
    ("He came.", True), ("He came. ", True), ("He came", False), ("\"Come!\" ", True), ("Mr.", False),
    ("Then Dr. ", False), ("J. R. R.", False), ("so did I.", True), ("a heading\n", True), ("何だ。", True),
    ("wait…", True), ("", False), ("e.g.", False), ("what?)", True), ("a, b,", False)])
def test_where_a_sentence_ends(text, ends):
    assert ends_sentence(text) == ends
