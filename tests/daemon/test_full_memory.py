"""Where a card has room for few texts at a time, the others wait, and what is urgent does not wait for what isn't.
Where there is no memory for a text, it fails alone."""
import pytest

from gpt2_assist.daemon.worker.request import Request, Vocabulary
from gpt2_assist.daemon.worker.scheduler import Scheduler
from gpt2_assist.engine.cpu.cpu_engine import CpuEngine
from gpt2_assist.engine.cpu.pages import PagePool
from gpt2_assist.engine.cuda.cuda_engine import CudaEngine
from gpt2_assist.ipc.messages import Failure, Finished, Generate, Generation, SampleDone
from gpt2_assist.model.card import Card
from gpt2_assist.model.prepared import open_prepared, prepare
from gpt2_assist.model.weights import load_weights
from gpt2_assist.text.tokenizer import TextTokenizer


@pytest.mark.parametrize("room", [1, *(pytest.param(room, marks=pytest.mark.slow) for room in (2, 5))])
def test_texts_wait_for_room_and_a_keystroke_comes_first(tiny_model, room):
    engine = CudaEngine(*load_weights(tiny_model), "fp32", "cpu")
    engine.most_open = room
    heard: list[object] = []
    scheduler = Scheduler(engine, heard.append)
    vocabulary = Vocabulary(TextTokenizer.from_folder(tiny_model), Card())

    def ask(id: int, priority: str, count: int, n: int = 1) -> None:
        settings = Generation(max_new_tokens=count, n=n, seed=id, stop_tokens=[])
        scheduler.add(Request(Generate(id, "tiny", "The model", settings, priority), vocabulary, heard.append,
                              engine.n_ctx))
    most, typed = 0, False
    for id in range(1, 4):
        ask(id, "bulk", 30, n=3)
    while scheduler.busy:
        scheduler.step()
        most = max(most, sum(map(len, scheduler._open.values())))
        if len(heard) >= 10 and not typed:
            typed = True
            ask(9, "keystroke", 4)
    assert most <= room
    assert not any(isinstance(message, Failure) for message in heard)
    assert sum(isinstance(message, SampleDone) for message in heard) == 10
    ended = [message.id for message in heard if isinstance(message, Finished)]
    assert sorted(ended) == [1, 2, 3, 9]
    if room > 1:
        assert ended.index(9) == 0


@pytest.mark.parametrize("when", ["prefill", "decode"])
def test_a_text_that_memory_lacks_fails_alone(tiny_model, monkeypatch, when):
    engine = CpuEngine(open_prepared(prepare(tiny_model, "fp32")), cache_bytes=0, threads=1)
    heard: list[object] = []
    scheduler = Scheduler(engine, heard.append)
    vocabulary = Vocabulary(TextTokenizer.from_folder(tiny_model), Card())

    def ask(id: int) -> None:
        settings = Generation(max_new_tokens=40, seed=id, heal=False)
        scheduler.add(Request(Generate(id, "tiny", "The model " * id, settings), vocabulary, heard.append,
                              engine.n_ctx))
    ask(1)
    if when == "decode":
        while not heard:
            scheduler.step()
    take, pages = PagePool.take, []

    def short(pool: PagePool) -> int:
        if not pages:
            pages.append(1)
            raise MemoryError("the system gives no more")
        return take(pool)
    monkeypatch.setattr(PagePool, "take", short)
    while scheduler.busy:
        scheduler.step()
    assert isinstance(heard[-1], Failure) and "too little memory for one text more" in heard[-1].sentence
    ask(2)
    while scheduler.busy:
        scheduler.step()
    assert isinstance(heard[-1], Finished) and heard[-1].id == 2
