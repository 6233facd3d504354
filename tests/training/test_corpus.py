import lzma

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2_assist.errors import DataError
from gpt2_assist.training.pretraining.corpora import read_documents, split_documents
from gpt2_assist.training.pretraining.recipe import read_recipe


def test_a_separator_line_parts_documents_and_nothing_else_does(tmp_path):
    path = tmp_path / "texts.txt.xz"
    path.write_bytes(lzma.compress(b"one\ntwo\n<|endoftext|>\nthree <|endoftext|> four\n<|endoftext|>\n"))
    assert read_documents(str(path)) == ["one\ntwo", "three <|endoftext|> four"]


def test_the_standard_library_gives_python_files_without_tests():
    documents = read_documents("stdlib")
    assert any("class Thread" in document for document in documents)
    assert len(documents) > 300


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\xfd7zXZ\x00broken"])
def test_what_is_no_text_is_refused_by_a_sentence(tmp_path, content):
    path = tmp_path / ("texts.txt.xz" if content[0] == 0xfd else "texts.txt")
    path.write_bytes(content)
    with pytest.raises(DataError, match="texts.txt"):
        read_documents(str(path))


@given(st.lists(st.text(min_size=1), unique=True, min_size=2, max_size=50), st.randoms())
def test_the_split_depends_on_content_not_on_order(documents, random):
    training, held_out = split_documents(documents, 0.1)
    assert sorted(training + held_out) == sorted(documents) and held_out
    shuffled = list(documents)
    random.shuffle(shuffled)
    assert split_documents(shuffled, 0.1) == (training, held_out)


@pytest.mark.parametrize(("text", "complaint"), [
    ("name = ", "can't be understood"),
    ("name = 'a'", "lacks the entry source"),
    ("name='a'\ndescription=''\nshape={}\nschedule={}\n[[source]]\nname='b'", "can't be understood"),
])
def test_a_bad_recipe_gets_a_sentence(tmp_path, text, complaint):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(DataError, match=complaint):
        read_recipe(path)
