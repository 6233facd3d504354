"""What the commands know of a run's training texts: whether a sample is among them, and what of it stands there."""
from gpt2_assist.corpus.duplicates import normal
from gpt2_assist.errors import DataError, UsageError
from gpt2_assist.model.store import find_model, stamp
from gpt2_assist.originality.index import CopyIndex
from gpt2_assist.originality.likeness import short_documents
from gpt2_assist.originality.marking import CopyMarks
from gpt2_assist.originality.report import Originality, measure
from gpt2_assist.runs import copies_of, find_run
from gpt2_assist.text.tokenizer import TextTokenizer


def age(model: str) -> int:
    """When what is known of a model's training texts was made; 0 where nothing is."""
    copies = copies_of(find_model(model).own)
    return stamp(copies) if copies else 0


class Copied:
    """What a model that was fine-tuned here has of its training texts."""

    def __init__(self, model: str) -> None:
        """Raises UsageError for another model."""
        found = find_model(model)
        copies = copies_of(found.own)
        if not copies:
            raise UsageError("Only models that were fine-tuned here know what they were trained on; this one's texts "
                             "can't be compared.")
        self._tokenizer = TextTokenizer.from_folder(found.tokenizer)
        self._index = CopyIndex.load(copies)
        self._shorts = short_documents(self._index, self._tokenizer.decode)

    @classmethod
    def of(cls, model: str) -> "Copied | None":
        """None for a model of which nothing is known."""
        return cls(model) if copies_of(find_model(model).own) else None

    @property
    def short_texts(self) -> list[str]:
        """The short ones among the training texts."""
        return self._shorts[0].texts

    def marks(self) -> CopyMarks:
        """For one text that comes piece by piece."""
        return CopyMarks(self._index)

    def lines(self, text: str) -> list[str]:
        """What of a text stands in the training texts, for people."""
        return measure(self._index, self._tokenizer.encode(text), self._tokenizer.decode, shorts=self._shorts).lines()


class Known:
    """The texts that no one wants twice: those that came before, and the short ones that the model learned from."""

    def __init__(self, copied: Copied | None) -> None:
        self._known = {normal(text) for text in copied.short_texts} if copied else set()

    def is_known(self, text: str) -> bool:
        """Whether a text is empty, stands in the training texts as a whole, or came before, but for case and space."""
        plain = normal(text)
        known = not plain or plain in self._known
        self._known.add(plain)
        return known


def report_on(text: str, run_name: str, n: int) -> Originality:
    """How much of a text is copied from what a run learned from; spans of fewer than n tokens don't count.

    Raises DataError where there is no such run, or none with an index that is whole.
    """
    found = find_run(run_name)
    folder = found.folder / "copies"
    if not folder.is_dir():
        raise DataError(f"The run {run_name} has no index of its training data, which is made when a run is trained.")
    tokenizer = TextTokenizer.from_folder(found.tokenizer.parent)
    return measure(CopyIndex.load(folder), tokenizer.encode(text), tokenizer.decode, n)
