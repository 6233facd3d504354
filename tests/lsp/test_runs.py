"""What a run answers on its way, and how it goes on."""
from gpt2_lsp.documents import Cursor
from gpt2_lsp.filters.draft import Place
from gpt2_lsp.runs import Recent, Run, Spot

PLACE = Place(before="It was ", after="", language="plaintext", prose=True)


def run_of(text: str) -> Run:
    run = Run(Spot(Cursor(3, 7), "It was "), PLACE)
    run.begin()
    run.add(text, [])
    return run


def test_a_run_reaches_the_places_where_its_text_was_typed_and_no_others():
    run = run_of("late,\nand dark")
    for typed in range(len(run.text) + 1):
        assert run.reaches(run.spot.behind(run.text[:typed])) == typed
    for text in ("late.", "late,\nor", "late,\nand dark now", "l\nate"):
        assert run.reaches(run.spot.behind(text)) is None
    assert run.reaches(Spot(Cursor(2, 7), "It was ")) is None


def test_what_rewriting_held_back_comes_once_when_the_model_goes_on():
    run = run_of("late\r")
    assert run.text == "late"
    run.begin()  # the model is asked to go on from "late"
    run.add("\r\nand", [])
    assert run.text == "late\nand"


def test_after_a_lost_daemon_only_what_came_since_comes_anew():
    run = run_of("late")
    run.begin()
    run.add(" and da", [])
    run.again()
    assert run.text == "late"
    run.add(" and dark", [])
    assert run.text == "late and dark"


def test_an_alternative_stands_behind_the_text_that_was_shown():
    recent, first, second = Recent(), run_of("late"), run_of("early")
    recent.add(first)
    recent.add_behind(second, first)
    assert [run for run, _ in recent.at(first.spot)] == [first, second]
    assert recent.at(first.spot.behind("ea")) == [(second, 2)]
