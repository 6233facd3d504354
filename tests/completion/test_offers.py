"""What is offered to somebody who writes prose, by the bundled model through a real daemon."""
import asyncio
import os
import random
import re
import signal
from contextlib import aclosing, asynccontextmanager

import pytest

from gpt2_assist.completion.daemon import Daemon
from gpt2_assist.completion.offers import Offers, OfferSettings, first_word
from gpt2_assist.ipc.client import AsyncClient
from gpt2_assist.ipc.messages import Chunk, Generation

PROSE = "The old man went down to the sea and looked at the "
SURE = OfferSettings(confidence=0)


class CountingDaemon(Daemon):
    """Counts what is asked of the model, and knows when all of it has ended."""

    def __init__(self) -> None:
        super().__init__("tests")
        self.requests, self._going, self._ended = 0, 0, asyncio.Event()

    async def generate(self, *args, **asked):
        self.requests += 1
        self._going += 1
        try:
            async with aclosing(super().generate(*args, **asked)) as messages:
                async for message in messages:
                    yield message
        finally:
            self._going -= 1
            self._ended.set()

    async def idle(self) -> None:
        while self._going:
            self._ended.clear()
            await self._ended.wait()


class Writing:
    """Somebody who types."""

    def __init__(self, settings: OfferSettings) -> None:
        self.daemon, self.told, self.text = CountingDaemon(), asyncio.Event(), ""
        self.texts: list[str] = []
        self.offers = Offers(self.daemon, self._changed, settings)

    def _changed(self) -> None:
        self.texts.append(self.offers.text)
        self.told.set()

    def type(self, text: str, model: str = "mini", **asked) -> str:
        self.text = text
        self.offers.typed(text, model, **asked)
        return self.offers.text

    async def until(self, condition) -> str:
        while not condition():
            self.told.clear()
            await self.told.wait()
        return self.offers.text

    async def whole(self) -> str:
        return await self.until(lambda: self.offers.whole)

    async def begun(self) -> str:
        return await self.until(lambda: self.offers.text)


async def worker() -> dict:
    async with await AsyncClient.connect("tests") as client:
        return next(worker for worker in (await client.status())["workers"] if worker["model"] == "mini")


@asynccontextmanager
async def writing(settings: OfferSettings = SURE):
    async with asyncio.timeout(60):
        one = Writing(settings)
        try:
            yield one
        finally:
            one.offers.stop()
            await one.daemon.close()


async def test_what_is_offered_grows_and_is_a_sentence_at_most():
    async with writing() as one:
        assert one.type(PROSE) == "" and not one.offers.whole
        shown = await one.whole()
        assert shown and not re.search(r"\.\s|\n\n", shown)
        assert all(later.startswith(earlier) for earlier, later in zip(one.texts, one.texts[1:]))
        async with await AsyncClient.connect("tests") as client:
            plain = Generation(max_new_tokens=64, temperature=0)
            messages = [message async for message in await client.generate("mini", PROSE, plain)]
            assert "".join(part.text for part in messages if isinstance(part, Chunk)).startswith(shown)


async def test_typing_along_accepting_words_deleting_and_coming_back_ask_nothing_of_the_model():
    async with writing() as one:
        one.type(PROSE)
        shown = await one.whole()
        await one.daemon.idle()
        for count in [*range(1, len(shown)), *range(len(shown) - 1, -1, -1)]:
            assert one.type(PROSE + shown[:count]) == shown[count:]
        words = []
        while one.offers.text:
            words.append(one.offers.word())
            if len("".join(words)) == len(shown):
                break
            one.type(one.text + words[-1])
        assert "".join(words) == shown and len(words) == len(shown.split())
        assert one.daemon.requests == 1


async def test_after_all_was_accepted_more_is_there_at_once():
    async with writing(OfferSettings(confidence=0, unit="paragraph", max_tokens=12)) as one:
        one.type(PROSE)
        shown = await one.whole()
        await one.daemon.idle()
        assert one.type(PROSE + shown) and one.daemon.requests == 1


async def test_something_else_typed_gives_another_text_and_a_text_without_words_none():
    async with writing() as one:
        one.type(PROSE)
        shown = await one.whole()
        one.type(PROSE + ("z" if shown[0] == "q" else "q"))
        await one.whole()
        assert one.type("") == "" and one.type(" \n") == "" and one.offers.whole and one.daemon.requests == 2


async def test_the_least_likely_is_not_offered_where_sureness_is_asked_for_but_among_alternatives():
    async with writing(OfferSettings(confidence=1)) as one:
        one.type(PROSE)
        assert await one.whole() == ""
        assert await one.offers.alternatives(3)
        assert one.offers.text == ""


async def test_nothing_keeps_the_model_away_any_more_once_it_has_come():
    async with writing(OfferSettings(confidence=1)) as one:
        one.type(PROSE)
        await one.whole()
        os.kill((await worker())["pid"], signal.SIGKILL)
        one.type(PROSE + "q")
        assert await one.whole() == "" and one.offers.reason == ""


async def test_alternatives_differ_and_are_gone_on_with_as_what_was_offered():
    async with writing() as one:
        one.type(PROSE)
        shown = await one.whole()
        texts: list[str] = []
        while len(texts) < 3:
            texts = await one.offers.alternatives(3)
        assert texts[0] == shown and len(set(texts)) == len(texts) == 3
        assert one.offers.text == shown
        assert await one.offers.alternatives(3) == texts
        asked = one.daemon.requests
        other = next(text for text in texts if text[0] != shown[0])
        assert one.type(PROSE + other[:1]) == other[1:] and one.daemon.requests == asked


async def test_alternatives_end_when_something_is_typed():
    async with writing() as one:
        one.type(PROSE)
        asking = asyncio.create_task(one.offers.alternatives(8))
        await one.begun()
        one.type(PROSE + "q")
        assert await asking == []


async def test_nothing_is_done_any_more_once_it_stops():
    async with writing(OfferSettings(confidence=0, unit="paragraph", max_tokens=512)) as one:
        one.type(PROSE)
        await one.begun()
        one.offers.stop()
        assert one.offers.text == "" and one.offers.whole
        await one.daemon.idle()
        assert one.type(PROSE)


async def test_a_killed_worker_and_a_killed_daemon_cost_no_text():
    async with writing() as one:
        one.type(PROSE)
        expected = await one.whole()
        for kind in ("worker", "daemon"):
            async with await AsyncClient.connect("tests") as client:
                pid = (await worker())["pid"] if kind == "worker" else (await client.status())["pid"]
            async with writing(OfferSettings(confidence=0, unit="paragraph", max_tokens=400)) as other:
                other.type(PROSE)
                await other.begun()
                os.kill(pid, signal.SIGKILL)
                assert (await other.whole()).startswith(expected)
        assert one.type(PROSE + expected[:1]) == expected[1:]
        one.type(PROSE + "q")
        await one.whole()
        assert one.offers.reason == "" and one.daemon.requests == 2


async def test_what_keeps_the_model_away_is_said_and_the_next_key_tries_again():
    async with writing() as one:
        one.type(PROSE, "no such model")
        await one.until(lambda: one.offers.reason)
        assert "no such model" in one.offers.reason and one.offers.text == ""
        one.type(PROSE)
        assert one.offers.reason == "" and await one.whole()


async def test_other_settings_of_a_request_give_another_text_anew():
    async with writing() as one:
        one.type(PROSE)
        shown = await one.whole()
        assert one.type(PROSE, path="story.txt") == "" and await one.whole() == shown
        assert one.daemon.requests == 2


async def test_of_a_long_text_the_end_is_read_alone():
    async with writing() as one:
        story = ("It rained. " * 500_000)[:5_000_000 - len(PROSE)] + "\n\n" + PROSE
        for count in range(20):
            one.type(story + "word "[:count % 5])
        one.type(story)
        shown, asked = await one.whole(), one.daemon.requests
        assert shown
        assert one.type(story[-4000:] + shown[0], above=len(story) - 4000) == shown[1:]
        assert one.daemon.requests == asked


@pytest.mark.parametrize("offered, words", [
    (" and then, he", [" and", " then,", " he"]), ("ing it.", ["ing", " it."]), ("\n\nShe said", ["\n\nShe", " said"]),
    ("他来了。她说", ["他", "来", "了。", "她", "说"]), ("“No!” he", ["“No!”", " he"])])
def test_a_word_comes_with_its_marks_and_the_space_before_it(offered, words):
    taken = []
    while offered:
        taken.append(first_word(offered))
        offered = offered.removeprefix(taken[-1])
    assert taken == words


async def test_whatever_is_typed_what_was_offered_is_gone_on_with():
    dice = random.Random(3)
    async with writing() as one:
        one.type(PROSE)
        for _ in range(150):
            shown, whole = one.offers.text, one.offers.whole
            kind = dice.choice(["key", "along", "along", "word", "delete", "wait", "turn"])
            if kind == "wait":
                await one.whole()
            elif kind == "turn":
                await asyncio.sleep(0)
            elif kind == "delete":
                one.type(one.text[:-dice.randrange(1, 9)])
            elif kind == "key" or not shown:
                one.type(one.text + dice.choice("aeq .\n"))
            else:
                taken = one.offers.word() if kind == "word" else shown[:1]
                rest = shown.removeprefix(taken)
                assert one.type(one.text + taken).startswith(rest) or not whole
        await one.whole()
        assert one.offers.reason == ""
