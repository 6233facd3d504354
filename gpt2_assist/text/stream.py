"""From the bytes of decoded tokens to text that can be shown at once: whole characters, no part of a stop string."""
import codecs

from gpt2_assist.text.stops import StopMatcher


class TextStream:
    """One sample's text. It withholds at most an unfinished character and what may yet become a stop string."""

    def __init__(self, stops: list[str]) -> None:
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")
        self._matcher = StopMatcher(stops)

    @property
    def stopped(self) -> bool:
        """Whether a stop string was found; its text and all after it are dropped."""
        return self._matcher.stopped

    def feed(self, data: bytes) -> str:
        """The text that `data` makes safe to show. Bytes that are no UTF-8 become U+FFFD."""
        return self._matcher.feed(self._characters.decode(data))

    def finish(self) -> str:
        """The rest, when the sample ends without a stop string; an unfinished character becomes U+FFFD."""
        return self._matcher.feed(self._characters.decode(b"", final=True)) + self._matcher.finish()
