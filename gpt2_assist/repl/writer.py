"""Has the model go on with a session's text, through the daemon; comes back after the daemon was gone."""
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from gpt2_assist.console.terminal import on_interrupt, without_echo
from gpt2_assist.errors import AssistError, DaemonError, StorageError
from gpt2_assist.frontend.sampling import new_seed
from gpt2_assist.ipc.client import Client
from gpt2_assist.ipc.messages import Chunk, Finished, Generation, Loaded, Loading, SampleDone
from gpt2_assist.repl.page import Page, Toolbar
from gpt2_assist.writing.session import Session

if TYPE_CHECKING:
    from gpt2_assist.frontend.copied import Copied
    from gpt2_assist.originality.marking import CopyMarks


class Writer:
    """Holds the connection to the daemon."""

    def __init__(self, page: Page, toolbar: Toolbar, precision: str, device: str) -> None:
        self._page, self._toolbar = page, toolbar
        self._where = {"precision": precision, "device": device}
        self._client: Client | None = None
        self.marks_copied = False
        """Whether what is copied from the training texts is marked as it comes."""
        self._copied: dict[tuple[str, int], Copied | None] = {}
        """Of the last model that it was asked of."""

    def warm(self, model: str) -> None:
        """Starts the daemon and the model in the background, while the user begins to type."""
        threading.Thread(target=self._warm, args=(model,), daemon=True).start()

    def _warm(self, model: str) -> None:
        try:
            with Client.connect("repl") as client:
                client.load(model, **self._where)
        except AssistError:
            pass  # it will be said where somebody waits for it

    def load(self, model: str) -> Loaded:
        """Makes a model ready, or raises the error that says why it can't be."""
        try:
            return self._connected().load(model, **self._where)
        except DaemonError:
            self.close()
            return self._connected().load(model, **self._where)

    def go_on(self, session: Session, settings: Generation, parent: int | None = None) -> None:
        """Streams a new passage, after the passage `parent` or at the text's end. Ctrl-C ends it; what came stays.
        Raises AssistError."""
        seed = new_seed() if settings.seed is None else settings.seed
        settings = replace(settings, seed=seed)
        prompt = session.text if parent is None else session.text_at(parent)
        session.begin_reply({"model": session.model, "settings": asdict(settings)}, parent)
        facts: dict = {"finish_reason": "interrupted"}
        trouble = None
        try:
            trouble = self._stream(session, prompt, settings, facts)
        except DaemonError:
            self.close()
            raise
        finally:
            self._page.end_line()
            session.end_reply(facts)
        if trouble:
            raise trouble

    def _stream(self, session: Session, prompt: str, settings: Generation, facts: dict) -> StorageError | None:
        """Raises DaemonError if the daemon is lost. A disk that refuses doesn't end the stream: it is told after."""
        marks = self._marks(session.model) if self.marks_copied else None
        stream = self._connected().generate(session.model, prompt, settings, "session", document=session.name,
                                            **self._where)
        trouble, begun, tokens = None, 0.0, 0
        with without_echo(), on_interrupt(stream.cancel), self._rest_shown(marks):
            for message in stream:
                if isinstance(message, Loading):
                    self._page.note(f"loading {message.model} …" if not message.words else f"… {message.words}")
                elif isinstance(message, Chunk):
                    tokens += len(message.tokens)
                    begun = begun or time.monotonic()
                    try:
                        session.grow(message.text)  # before it is shown: what was on the screen is never lost
                    except StorageError as error:
                        trouble = error
                    for text, copied in marks.feed(message.text, message.tokens) if marks else [(message.text, False)]:
                        self._page.model_text(text, copied)
                elif isinstance(message, SampleDone):
                    facts["finish_reason"] = message.finish_reason
                elif isinstance(message, Finished):
                    self._toolbar.context, self._toolbar.n_ctx = message.context, message.n_ctx
        if begun and tokens > 1:
            self._toolbar.tokens_per_second = (tokens - 1) / max(1e-6, time.monotonic() - begun)
        return trouble

    def _marks(self, model: str) -> "CopyMarks | None":
        """None where nothing is known of the model's training texts, or what is known can't be read: that is said."""
        from gpt2_assist.frontend.copied import Copied, age  # here, since it brings numpy
        try:
            key = model, age(model)  # a run made anew has other texts
            if key not in self._copied:
                self._copied = {key: Copied.of(model)}
            copied = self._copied[key]
            return copied.marks() if copied else None
        except AssistError as error:
            self._page.note(str(error))
            return None

    @contextmanager
    def _rest_shown(self, marks: "CopyMarks | None") -> Generator[None]:
        """However the stream ends, what waits for its mark is shown."""
        try:
            yield
        finally:
            for text, copied in marks.finish() if marks else []:
                self._page.model_text(text, copied)

    def _connected(self) -> Client:
        if self._client is None:
            self._client = Client.connect("repl")
        return self._client

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
