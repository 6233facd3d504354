"""A line that is typed by itself joins the text as a writer would have typed it there."""
import pytest

from gpt2_assist.writing.joining import joined


@pytest.mark.parametrize("before, text, after", [
    ("", "Once", "Once"),
    ("She ran", "and ran", " and ran"),
    ("She ran", ", then", ", then"),
    ("She ran ", "and", "and"),
    ("She ran", "\nNew line", "\nNew line"),
    ("She said", '"Stop!"', ' "Stop!"'),
    ('She said "Stop', '" and ran', '" and ran'),
    ('She said "', "Stop", "Stop"),
    ('She said "Stop!"', "and ran", " and ran"),
    ('She said "Stop!\nHe said', '"No"', ' "No"'),
    ("the dog", "'s tail", "'s tail"),
    ("They", "'ll come", "'ll come"),
    ("He said", "'No'", " 'No'"),
    ("He said 'don't", "' twice", "' twice"),
    ("the dogs'", "tails", " tails"),
    ("He said", "“No”", " “No”"),
    ("He said “No", "” twice", "” twice"),
    ("It was (", "almost", "almost"),
    ("wait", "—what", "—what"),
    ("wait—", "what", "what"),
    ("朝が来た。彼は", "歩いた", "歩いた"),
    ("words at the end  ", "stay ", "stay "),
    ("end", "stays   ", " stays   "),
    ("end", "", "")])
def test_joined(before, text, after):
    assert joined(before, text) == after
