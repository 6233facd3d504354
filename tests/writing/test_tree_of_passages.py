"""Nothing that was ever text is out of reach: retries, alternatives, undo and redo, edits, bookmarks, copies."""
import json

import pytest

from gpt2_assist.errors import UsageError
from gpt2_assist.writing.session import Session


def test_a_retry_that_comes_to_nothing_leaves_all_as_it_was(session, reply):
    session.write("Once")
    old = reply(session, " a day")
    again = session.begin_reply({}, session.last.parent)
    assert session.text == "Once a day" and session.current == old
    session.end_reply({"finish_reason": "cancelled"})
    assert session.text == "Once a day"
    assert [passage.number for passage in session.passages()] == [1, old] and again.number not in (1, old)


def test_a_retry_takes_the_old_ones_place_with_its_first_word_and_undo_brings_the_old_one_back(session, reply):
    session.write("Once")
    reply(session, " a day")
    reply(session, " a night", session.last.parent)
    assert session.text == "Once a night"
    assert session.undo() and session.text == "Once a day"
    assert session.undo() and session.text == "Once"
    assert session.redo() and session.redo() and session.text == "Once a night"
    assert not session.redo()


def test_a_new_passage_after_an_undo_ends_what_could_be_redone_and_nothing_else(session, reply):
    session.write("Once")
    reply(session, " a day")
    session.undo()
    session.write(", twice")
    assert not session.redo()
    assert [child.text for child in session.children(1)] == [" a day", ", twice"]


def test_several_replies_grow_at_once_and_the_text_goes_over_to_the_first_of_them(session):
    session.write("Once")
    first, second, third = (session.begin_reply({}).number for _ in range(3))
    session.grow(" B", second)
    assert session.text == "Once"
    session.grow(" A", first)
    assert session.text == "Once A"
    session.grow("b", second)
    session.grow("a", first)
    for number in (second, third, first):
        session.end_reply({}, number)
    assert session.text == "Once Aa"
    assert [passage.text for passage in session.alternatives()] == [" Aa", " Bb"]


def test_where_the_first_comes_to_nothing_the_text_goes_over_to_the_next(session):
    session.write("Once")
    first, second = (session.begin_reply({}).number for _ in range(2))
    session.grow(" B", second)
    session.end_reply({}, second)
    session.end_reply({}, first)
    assert session.text == "Once B"


def test_a_reply_doesnt_move_a_user_who_went_elsewhere(session):
    session.write("Once")
    session.write(" more")
    number = session.begin_reply({}).number
    session.goto(1)
    session.grow(" and", number)
    assert session.text == "Once"
    session.end_reply({}, number)
    session.choose(number)
    assert session.text == "Once more and"


def test_what_grows_behind_the_users_back_is_in_the_text(session):
    number = session.begin_reply({}).number
    session.grow("a", number)
    session.write("!")
    session.grow("b", number)
    assert session.text == "ab!"
    session.end_reply({}, number)


def test_choosing_goes_down_as_the_text_went_on_last(session, reply):
    session.write("A")
    left = reply(session, "l")
    session.write("1")
    right = reply(session, "r", 1)
    session.choose(left)
    assert session.text == "Al1"
    session.choose(left, down=False)
    assert session.text == "Al"
    session.goto(0)
    assert session.text == "" and session.last is None
    assert session.redo() and session.text == "A"
    assert session.redo() and session.text == "Al"
    session.choose(right)
    assert [passage.text for passage in session.alternatives()] == ["l", "r"]
    with pytest.raises(UsageError, match="no passage 99"):
        session.choose(99)


def test_undo_and_redo_live_as_long_as_the_session(store, session, reply, tmp_path):
    session.write("Once")
    reply(session, " a day")
    reply(session, " a night", 1)
    session.undo()
    session.close()
    again = Session.reopen(store, tmp_path, "s")
    assert again.text == "Once a day"
    assert again.redo() and again.text == "Once a night"
    while again.undo():
        pass
    assert again.text == ""
    again.close()


@pytest.mark.parametrize("text, authors", [
    ("Once upon a day.\nThe end. More", ["user", "model", "user", "user"]),
    ("Once in a day.\nThe end.", ["user", "edit", "model", "user"]),
    ("Once upon a day.\nThe grand end.", ["user", "model", "user", "edit", "user"]),
    ("Once upon a day.", ["user", "model"]),
    ("Twice upon a day.\nThe end.", ["edit", "user", "model", "user"]),
    ("", []),
    ("Quite another", ["edit"])])
def test_an_edit_keeps_the_origin_of_what_it_leaves(session, reply, text, authors):
    session.write("Once ")
    reply(session, "upon a day.")
    session.write("\nThe end.")
    before = session.current
    session.edit(text)
    assert session.text == text
    met = [author for place, author in enumerate(authors) if place == 0 or authors[place - 1] != author]
    seen = [passage.author for passage in session.path]
    assert [author for place, author in enumerate(seen) if place == 0 or seen[place - 1] != author] == met or \
        seen == authors
    assert session.undo() and session.current == before and session.text == "Once upon a day.\nThe end."


def test_an_edit_that_changes_nothing_makes_nothing(session, reply):
    session.write("Once")
    reply(session, " more")
    session.edit("Once more")
    assert len(session.passages()) == 2 and session.current == 2


def test_bookmarks_hidden_branches_settings_and_the_draft_are_kept(store, session, reply, tmp_path):
    session.write("A")
    reply(session, "b")
    session.bookmark("start", 1)
    session.hide(2)
    session.settings, session.memory, session.note, session.note_depth = {"temperature": 0.5}, "fox", "sad", 2
    session.banned, session.bias = ["the the"], [["fox", 1.5]]
    session.save_draft("unse\nnt", 4)
    session.close()
    again = Session.reopen(store, tmp_path, "s")
    assert again.passage(1).bookmark == "start" and again.passage(2).hidden
    assert again.children(1) == [] and len(again.children(1, hidden=True)) == 1
    assert (again.settings, again.memory, again.note, again.note_depth) == ({"temperature": 0.5}, "fox", "sad", 2)
    assert (again.banned, again.bias) == (["the the"], [["fox", 1.5]])
    assert (again.draft, again.draft_cursor) == ("unse\nnt", 4)
    assert again.saved
    again.close()


def test_a_draft_alone_is_worth_a_session(store, session, tmp_path):
    assert store.names() == []
    session.save_draft("not yet sent", 3)
    assert store.read("s").state.draft == "not yet sent"


def test_a_finished_reply_says_how_it_was_made_with_its_tokens(store, session):
    session.write("A")
    number = session.begin_reply({"model": "m"}).number
    session.grow("b", number, [["b", -0.5, [["c", -1.0]]]])
    session.grow("é", number, [["é", -0.25, []]])
    session.end_reply({"model_hash": "abc", "precision": "int8"}, number)
    kept = store.read("s").passages[number]
    assert json.loads(kept.how) == {"model": "m", "model_hash": "abc", "precision": "int8"}
    assert json.loads(kept.tokens) == [["b", -0.5, [["c", -1.0]]], ["é", -0.25, []]]


def test_a_copy_goes_its_own_way(store, session, reply, tmp_path):
    session.write("A")
    reply(session, "b")
    reply(session, "c", 1)
    copy = session.copy("other")
    copy.write("!")
    assert copy.undo() and copy.undo() and copy.text == "Ab"
    assert session.text == "Ac"
    copy.close()
    Session.delete(store, tmp_path, "other")
    assert store.names() == ["s"]
    with pytest.raises(UsageError, match="another terminal"):
        Session.delete(store, tmp_path, "s")


def test_half_a_character_is_no_error(session):
    session.write("a\ud83d\ude00\ud800")
    session.save_draft("\ud800", 0)
    assert session.saved and session.text == "a\N{GRINNING FACE}�"
