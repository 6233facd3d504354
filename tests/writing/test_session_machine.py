"""Whatever a writer does, in whatever order, the text is what a plain model in memory says, and nothing gets lost."""
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gpt2_assist.writing.session import Session
from gpt2_assist.writing.store import SessionStore

TEXT = st.text(st.sampled_from("ab \n\"é字"), min_size=1, max_size=6)


class WritingMachine(RuleBasedStateMachine):
    """The model: the text that each step of the journal shows, and every text that ever was one."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = SessionStore(self.folder / "sessions.sqlite")
        self.session = Session(self.store, self.folder, "m", "s")
        self.shown, self.step = [""], 0
        self.ever: set[str] = set()
        self.places = [0]
        self.growing: int | None = None

    def show(self, text):
        """The text changes by something that undo takes back."""
        if self.session.current != self.places[self.step]:
            self.shown[self.step + 1:], self.places[self.step + 1:] = [text], [self.session.current]
            self.step += 1
        self.ever.add(text)

    @property
    def text(self):
        return self.shown[self.step]

    @rule(text=TEXT)
    @precondition(lambda self: self.growing is None)
    def write(self, text):
        self.session.write(text)
        self.show(self.text + text)

    @rule(retry=st.booleans())
    @precondition(lambda self: self.growing is None)
    def begin(self, retry):
        last = self.session.last
        parent = last.parent if retry and last is not None and last.author == "model" else None
        self.base = self.text if parent is None else self.text[:len(self.text) - len(last.text)]
        self.growing, self.words = self.session.begin_reply({"model": "m"}, parent).number, ""

    @rule(text=TEXT)
    @precondition(lambda self: self.growing is not None)
    def grow(self, text):
        self.session.grow(text, self.growing)
        self.words += text
        if self.words == text:
            self.show(self.base + text)
        else:
            self.shown[self.step] = self.base + self.words
            self.ever.add(self.text)

    @rule()
    @precondition(lambda self: self.growing is not None)
    def stop(self):
        self.session.end_reply({"finish_reason": "cancelled"}, self.growing)
        self.growing = None

    @rule()
    @precondition(lambda self: self.growing is None)
    def undo(self):
        assert self.session.undo() == bool(self.step)
        self.step = max(0, self.step - 1)

    @rule()
    @precondition(lambda self: self.growing is None and self.step + 1 < len(self.shown))
    def redo(self):
        assert self.session.redo()
        self.step += 1

    @rule(data=st.data())
    @precondition(lambda self: self.growing is None and self.session.passages())
    def choose(self, data):
        passage = data.draw(st.sampled_from(self.session.passages()))
        self.session.choose(passage.number, down=data.draw(st.booleans()))
        assert self.session.text.startswith(self.session.text_at(passage.number))
        self.show(self.session.text)

    @rule(data=st.data(), text=TEXT)
    @precondition(lambda self: self.growing is None)
    def edit(self, data, text):
        place = data.draw(st.integers(0, len(self.text)))
        end = data.draw(st.integers(place, len(self.text)))
        new = self.text[:place] + text + self.text[end:]
        self.session.edit(new)
        self.show(new)

    @rule(killed=st.booleans())
    def reopen(self, killed):
        if self.growing is not None and not killed:
            self.stop()
        self.growing = None
        self.session.close()  # of a killed program the system lets the lock go
        self.store.close()
        self.store = SessionStore(self.folder / "sessions.sqlite")
        again = Session.reopen if self.store.names() else lambda *args: Session(*args[:2], "m", "s")
        self.session = again(self.store, self.folder, "s")

    @invariant()
    def the_text_is_the_models(self):
        assert self.session.text == self.text == "".join(passage.text for passage in self.session.path)
        assert self.session.saved

    @invariant()
    def whatever_was_text_can_be_reached(self):
        within = {self.session.text_at(passage.number) for passage in self.session.passages()} | {""}
        assert all(any(text.startswith(known) for text in within) for known in self.ever)
        assert all(passage.text for passage in self.session.passages())

    def teardown(self):
        self.session.close()
        self.store.close()
        shutil.rmtree(self.folder)


class TestWriting(WritingMachine.TestCase):
    settings = settings(max_examples=6, stateful_step_count=20, deadline=None)


@pytest.mark.slow
class TestWritingLong(WritingMachine.TestCase):
    settings = settings(max_examples=300, stateful_step_count=50, deadline=None)
