"""What a stream answers on its way, and how it goes on."""
from gpt2_lsp.documents import Cursor

from gpt2_assist.completion.filters.draft import Place
from gpt2_assist.completion.spots import Spot
from gpt2_assist.completion.streams import Recent, Stream
from gpt2_assist.completion.views import View

PLACE = Place(before="It was ", after="", language="plaintext", prose=True)


def stream_of(text: str) -> Stream:
    stream = Stream(Spot(Cursor(3, 7), "It was "), View(PLACE, 64))
    stream.begin()
    stream.add(text, [])
    return stream


def test_a_stream_reaches_the_places_where_its_text_was_typed_and_no_others():
    stream = stream_of("late,\nand dark")
    for typed in range(len(stream.text) + 1):
        assert stream.reaches(stream.spot.behind(stream.text[:typed])) == typed
    for text in ("late.", "late,\nor", "late,\nand dark now", "l\nate"):
        assert stream.reaches(stream.spot.behind(text)) is None
    assert stream.reaches(Spot(Cursor(2, 7), "It was ")) is None


def test_what_rewriting_held_back_comes_once_when_the_model_goes_on():
    stream = stream_of("late\r")
    assert stream.text == "late"
    stream.begin()  # the model is asked to go on from "late"
    stream.add("\r\nand", [])
    assert stream.text == "late\nand"


def test_after_a_lost_daemon_only_what_came_since_comes_anew():
    stream = stream_of("late")
    stream.begin()
    stream.add(" and da", [])
    stream.again()
    assert stream.text == "late"
    stream.add(" and dark", [])
    assert stream.text == "late and dark"


def test_an_alternative_stands_behind_the_text_that_was_shown():
    recent, first, second = Recent(), stream_of("late"), stream_of("early")
    recent.add(first)
    recent.add_behind(second, first)
    assert [stream for stream, _ in recent.at(first.spot)] == [first, second]
    assert recent.at(first.spot.behind("ea")) == [(second, 2)]
