"""Models that were tuned for chats go on with a text as others do: no control token is made of what somebody types,
none is written, and the end of a turn ends the text."""
import gguf_models
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer

from gpt2_assist.daemon.worker.request import Request, Vocabulary
from gpt2_assist.daemon.worker.scheduler import Scheduler
from gpt2_assist.engine.torch_engine import TorchEngine
from gpt2_assist.ipc.messages import Chunk, Generate, Generation, SampleDone
from gpt2_assist.model.card import Card
from gpt2_assist.model.gguf_importing import import_gguf
from gpt2_assist.model.weights import load_weights
from gpt2_assist.text.tokenizer import TextTokenizer

END_OF_TEXT, BEGIN, END = range(3)
"""Ids of gguf_models.CONTROLS."""


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory):
    """A random Llama with the tokens of a chat."""
    folder = tmp_path_factory.mktemp("chat")
    own = gguf_models.decoder("llama")
    patch = pytest.MonkeyPatch()
    patch.setenv("GPT2_ASSIST_HOME", str(folder / "home"))
    yield import_gguf(gguf_models.write(folder / "chat.gguf", own, gguf_models.random_parts(own)), "chat")
    patch.undo()


@pytest.fixture(scope="module")
def vocabulary(chat_model) -> Vocabulary:
    return Vocabulary(TextTokenizer.from_folder(chat_model.path), Card())


@pytest.fixture(scope="module")
def engine(chat_model) -> TorchEngine:
    return TorchEngine(*load_weights(chat_model.path), "fp32", "cpu")


def run(engine, vocabulary, prompt="the inn", **more) -> tuple[str, list[int], str]:
    heard: list = []
    message = Generate(1, "chat", prompt, Generation(**{"max_new_tokens": 6, "seed": 5, "heal": False} | more))
    scheduler = Scheduler(engine, heard.append)
    scheduler.add(Request(message, vocabulary, heard.append, engine.n_ctx))
    while scheduler.busy:
        scheduler.step()
    chunks = [message for message in heard if isinstance(message, Chunk)]
    (done,) = (message for message in heard if isinstance(message, SampleDone))
    return "".join(chunk.text for chunk in chunks), [id for chunk in chunks for id in chunk.tokens], done.finish_reason


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_what_begins_a_turn_is_never_written_and_what_ends_one_ends_the_text(engine, vocabulary, temperature):
    for end in (END_OF_TEXT, END):
        pushed = run(engine, vocabulary, logit_bias=[[end, 10_000.0]], temperature=temperature)
        assert pushed == ("", [end], "stop")
    text, ids, reason = run(engine, vocabulary, logit_bias=[[BEGIN, 10_000.0]], temperature=temperature)
    assert BEGIN not in ids and len(ids) == 6 and reason == "length" and "<|im_start|>" not in text
    asked = run(engine, vocabulary, logit_bias=[[BEGIN, 10_000.0]], stop_tokens=[BEGIN], temperature=temperature)
    assert asked == ("", [BEGIN], "stop"), "whoever waits for it gets it"


def test_what_is_typed_gives_letters_but_for_what_parts_texts(vocabulary):
    ids, spelling = vocabulary.prompt("the<|endoftext|><|im_start|>user\nthe inn<|im_end|>", False)
    assert spelling == b"" and [id for id in ids if id in (END_OF_TEXT, BEGIN, END)] == [END_OF_TEXT]
    assert vocabulary.tokenizer.decode(ids) == "the<|endoftext|><|im_start|>user\nthe inn<|im_end|>"
    ids, spelling = vocabulary.prompt("the inn<|im_st", True)
    assert vocabulary.tokenizer.decode(ids).encode() + spelling == b"the inn<|im_st"
    assert vocabulary.prompt("", True)[0] == [END_OF_TEXT], "a text doesn't begin as a turn"


def test_what_the_card_puts_before_a_text_is_the_token_that_it_means(vocabulary):
    told = vocabulary.of(Card(prompt_prefix="<|im_start|>"), None)
    for text in ("the inn", "<|im_start|>the inn"):
        ids, _ = told.prompt(text, False)
        assert ids == [BEGIN, *vocabulary.tokenizer.encode("the inn")]
    ids, _ = told.prompt("the <|im_start|>inn", False)
    assert ids.count(BEGIN) == 1 == ids.index(BEGIN) + 1
    assert BEGIN not in told.prompt("<|im_start|>the inn", False, begins=False)[0], "a piece of a text has no beginning"


_PIECES = st.one_of(st.sampled_from([*gguf_models.CONTROLS, " ", "the", "\n", "<|", "|>", "12"]), st.text(max_size=4))


@settings(max_examples=300, deadline=None)
@given(st.lists(_PIECES, max_size=8).map("".join))
def test_all_ways_to_encode_agree_and_lose_nothing(vocabulary, text):
    tokenizer = vocabulary.tokenizer
    ids = tokenizer.encode(text)
    assert b"".join(map(tokenizer.token_bytes, ids)) == text.encode()
    assert not {BEGIN, END} & set(ids) and ids.count(END_OF_TEXT) == text.count("<|endoftext|>")
    again, unsettled = tokenizer.encode_unsettled(text)
    assert again == ids and 0 <= unsettled <= len(ids)
    assert END_OF_TEXT not in ids[len(ids) - unsettled:]
    (encoding,) = tokenizer.encode_all([text])
    assert encoding.ids == ids
    begins = [begin for begin, _ in encoding.offsets]
    assert begins == sorted(begins) and all(end <= len(text) for _, end in encoding.offsets)


def test_a_tokenizer_says_by_marks_or_by_names_which_tokens_are_no_text(tiny_model):
    def control(*added: AddedToken) -> set[str]:
        inner = Tokenizer.from_file(str(tiny_model / "tokenizer.json"))
        inner.add_tokens(list(added))
        return {inner.id_to_token(id) for id in TextTokenizer(inner).control} - {"<|endoftext|>"}
    marked, plain = AddedToken("<|fim_prefix|>", special=False), AddedToken("<b>", special=False)
    assert control(marked, plain, AddedToken("    ")) == {"<|fim_prefix|>"}
    assert control(AddedToken("<b>", special=True)) == {"<b>"}
    chat = AddedToken("<|im_start|>", special=True)
    assert control(chat, AddedToken("<think>"), AddedToken("    ")) == {"<|im_start|>", "<think>"}


def test_where_there_are_none_nothing_is_refused(tiny_model):
    vocabulary = Vocabulary(TextTokenizer.from_folder(tiny_model), Card())
    assert vocabulary.rules(b"", vocabulary.stop_tokens([]), None) is None
