"""From the bytes of decoded tokens to text that can be shown at once: whole characters, no part of a stop string."""
import codecs
from copy import copy

from gpt2_assist.text.stops import StopMatcher

_BROKEN = "\ufffd"


class TextStream:
    """One sample's text. It withholds at most an unfinished character, what may yet become a stop string, and broken
    characters at the end, which nobody sees unless others follow."""

    def __init__(self, stops: list[str]) -> None:
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")
        self._matcher = StopMatcher(stops)
        self._broken = ""

    @property
    def stopped(self) -> bool:
        """Whether a stop string was found; its text and all after it are dropped."""
        return self._matcher.stopped

    def feed(self, data: bytes) -> str:
        """The text that `data` makes safe to show. Bytes that are no UTF-8 become U+FFFD, once a character follows."""
        text = self._broken + self._matcher.feed(self._characters.decode(data))
        whole = text.rstrip(_BROKEN)
        self._broken = "" if self.stopped else text[len(whole):]
        return whole

    def would_stop(self, data: bytes) -> bool:
        """Whether a stop string would be found if `data` came next."""
        other = copy(self)
        other._characters = codecs.getincrementaldecoder("utf-8")("replace")
        other._characters.setstate(self._characters.getstate())
        other._matcher = copy(self._matcher)
        other.feed(data)
        return other.stopped

    def finish(self) -> str:
        """The rest, when the sample ends without a stop string. Of a character that was cut off nothing is left."""
        return (self._broken + self._matcher.finish()).rstrip(_BROKEN)
