"""What is read of paths, folders and patterns, and what is left out and why."""
import gzip
import io
import lzma
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gpt2_assist.corpus.documents import Document
from gpt2_assist.corpus.reading import Corpus, read_corpus
from gpt2_assist.errors import DataError


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def plant(**files: str | bytes) -> None:
    """Writes files; two underscores in a name are a folder, three a dot."""
    for name, content in files.items():
        path = Path(name.replace("___", ".").replace("__", "/"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def texts(corpus: Corpus) -> dict[str, str]:
    return {document.source: document.text for document in corpus.documents}


def test_a_folder_is_read_in_an_order_of_its_own(tmp_path):
    for name in ("notes/z.md", "notes/b/x.txt", "notes/a/y.py", "notes/a.txt", "notes/B/x", "notes/ä.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(f"text of {name}\n")
    corpus = read_corpus(["notes"])
    assert [document.source for document in corpus.documents] == [
        "notes/a.txt", "notes/z.md", "notes/ä.txt", "notes/B/x", "notes/a/y.py", "notes/b/x.txt"]
    assert corpus.documents[0] == Document("text of notes/a.txt", "notes/a.txt")
    assert (corpus.skipped, corpus.repaired, corpus.found) == ({}, {}, {})


def test_front_matter_is_text_like_other():
    plant(x___md="---\ntitle: x\n---\n\nHello.\n")
    assert texts(read_corpus(["x.md"])) == {"x.md": "---\ntitle: x\n---\n\nHello."}


def test_what_is_left_out_of_folders_is_counted(tmp_path):
    subprocess.run(["git", "init", "-q", "."], check=True)
    plant(___gitignore="*.log\n", ___gpt2ignore="drafts/\n", good___txt="good", x___log="log", drafts__a___txt="a",
          drafts__b___txt="b", ___env="KEY=1", id_rsa="x", image___png=b"\x89PNG\0\0\0" + bytes(range(256)),
          blank___txt=" \n\n", long___txt="x" * 3000, ___hidden__x___txt="x", table___csv="a,b\n1,2\n",
          broken___csv='"a\n', lines___jsonl='{"a": 1}\n', more___jsonl="{", ids___npz=b"PK", packed___xz=b"\xfd7zXZ",
          latin___txt="café".encode("latin-1"))
    os.symlink("good.txt", "link.txt")
    os.symlink("/nowhere", "dangling")
    os.symlink(".", "loop")
    if hasattr(os, "mkfifo"):
        os.mkfifo("pipe")  # reading would wait for ever
    corpus = read_corpus(["."], max_file_bytes=2048)
    assert texts(corpus) == {"./good.txt": "good", "./latin.txt": "café"}
    assert corpus.repaired == {"Windows-1252": 1}
    assert corpus.skipped == {
        "ignored by .gitignore": 1, "ignored by .gpt2ignore": 2, "secret": 2, "binary": 1, "empty": 1, "too large": 1,
        "hidden": 3, "without the column": 2, "with a broken table": 1, "with broken JSON": 1, "with token ids": 1,
        "damaged": 1, "linked": 1, "unreadable": 1 + hasattr(os, "mkfifo")}


def test_each_file_is_read_once():
    plant(notes__x___txt="x", notes__y___txt="y", notes__z___txt="", notes__id_rsa="")
    os.symlink("notes", "again")
    corpus = read_corpus(["notes/y.txt", "notes", "again", "./notes/x.txt", "notes/*"])
    assert corpus.skipped == {"empty": 1, "secret": 1}
    assert [document.source for document in corpus.documents] == ["notes/y.txt", "notes/x.txt"]


def test_circles_of_links_end():
    plant(a__b__x___txt="x")
    os.symlink("..", "a/b/up")
    os.symlink("self", "a/self")
    assert texts(read_corpus(["a"])) == {"a/b/x.txt": "x"}


def test_what_is_named_is_read_although_ignored_or_large():
    subprocess.run(["git", "init", "-q", "."], check=True)
    plant(___gitignore="*.txt\ndata/\n", x___txt="x" * 5000, data__sub__y="y", data__id_dsa="z", ___h="hidden")
    assert texts(read_corpus(["x.txt", ".h"], max_file_bytes=10)) == {"x.txt": "x" * 5000, ".h": "hidden"}
    for path in ("data", "data/sub", str(Path("data").absolute())):
        assert texts(read_corpus([path])) == {str(Path(path, "y" if "sub" in path else "sub/y")): "y"}
    assert read_corpus(["data"]).skipped == {"secret": 1}
    with pytest.raises(DataError, match="2 ignored by .gitignore, 1 secret; a file that you name itself is read"):
        read_corpus(["."])


def test_an_ignored_folder_can_be_taken_back():
    subprocess.run(["git", "init", "-q", "."], check=True)
    plant(___gitignore="data*/\n!data2/\n", data2__x="x", data2__y="y")
    Path("data2/.gitignore").write_text("y\n")
    assert texts(read_corpus(["data2"])) == {"data2/x": "x"}


def test_patterns_stand_for_files_unless_one_is_called_so():
    plant(a__x___md="x", a__y___txt="y", a__b__z___md="z", a__b___md__w="w", id_rsa___md="no")
    assert texts(read_corpus(["a/*.md"])) == {"a/x.md": "x"} | {"a/b.md/w": "w"}
    assert set(texts(read_corpus(["**/*.md"]))) == {"a/x.md", "a/b/z.md", "a/b.md/w"}
    assert read_corpus(["**/*.md"]).skipped == {"secret": 1}
    plant(**{"odd[1]___txt": "odd"})
    assert texts(read_corpus(["odd[1].txt"])) == {"odd[1].txt": "odd"}


@pytest.mark.parametrize(("path", "content", "sentence"), [
    ("none.txt", None, "There is no file or folder none.txt."),
    ("none/*.txt", None, "There is no file or folder none/*.txt."),
    ("nul\0", None, "There is no file or folder"),
    ("nul*\0", None, "There is no file or folder"),
    ("x" * 5000, None, "There is no file or folder"),
    ("odd\udcff", None, "There is no file or folder odd\ufffd."),
    ("odd\ud800", None, "There is no file or folder odd\ufffd."),
    ("empty.txt", b"", "empty.txt is empty."),
    ("blank.txt", b"\n \t\r\n<|endoftext|>\n", "blank.txt is empty."),
    ("head.csv", b"text\n", "head.csv is empty."),
    ("image.png", bytes(range(256)), "image.png holds no text."),
    ("pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", "pointer only points to a file"),
    ("x.gdoc", b'{"url": "https://docs"}', "x.gdoc only points to something"),
    ("old.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "old.doc can't be read as it is: save it as .docx."),
    ("x.zip", b"PK\3\4" + bytes(99), "x.zip can't be read as it is: unpack it."),
    ("sheet.xlsx", b"PK\3\4" + bytes(99), "sheet.xlsx can't be read as it is: save it as CSV."),
    ("x.tar.gz", gzip.compress(bytes(999), mtime=0), "x.tar.gz can't be read as it is: unpack it."),
    ("x.svg", b"<svg/>", "x.svg is a picture"),
    ("odd.txt", bytes(range(160, 256)) * 9, "odd.txt is text in an encoding that can't be told for certain"),
    ("/dev/zero", None, "/dev/zero is neither a file nor a folder"),
    ("/dev/null", None, "/dev/null is neither a file nor a folder"),
    ("deep.json", b"[" * 100_000, "deep.json is damaged"),
    ("x.gz", b"\x1f\x8b broken", "x.gz is damaged: it can't be unpacked."),
    ("x.txt.xz", lzma.compress(b"x" * 99)[:-9], "x.txt.xz is damaged: it can't be unpacked."),
    ("y.gz", gzip.compress(bytes(range(99)), mtime=0)[:-9], "y.gz is damaged: it can't be unpacked."),
    ("a.csv", b'"one\ntwo', "The table a.csv is broken at line 2: a quoted text must be closed"),
    ("a.npz", b"PK\3\4", "a.npz is no data set of token ids, or it is damaged."),
])
def test_what_is_named_and_no_use_gets_a_sentence(path, content, sentence):
    if content is not None:
        Path(path).write_bytes(content)
    with pytest.raises(DataError) as raised:
        read_corpus([path], decode=str)
    assert str(raised.value).startswith(sentence) and "\n" not in str(raised.value)
    str(raised.value).encode()


def test_files_of_secrets_are_read_where_they_are_named_themselves():
    plant(id_ed25519="x", ___ssh__notes="y", ___env="z", notes__passwords___md="w", notes__secrets___yaml="v")
    os.symlink("id_ed25519", "innocent.txt")
    corpus = read_corpus(["id_ed25519", ".ssh/notes", ".env"])
    assert texts(corpus) == {"id_ed25519": "x", ".ssh/notes": "y", ".env": "z"}
    assert corpus.secret == ["id_ed25519", ".ssh/notes", ".env"]
    with pytest.raises(DataError, match="innocent.txt leads to .*id_ed25519, which has the name of a file of secrets"):
        read_corpus(["innocent.txt"])
    for path in (".", "*", "**/*", "notes", "[.]env", "id_*", ".ssh/*"):
        try:
            assert not texts(read_corpus([path]))
        except DataError as error:
            assert "secret" in str(error) or "There is no file" in str(error)


def test_links_above_are_no_circles_for_patterns():
    plant(g__a__b__x___md="x", g__y___md="y", g__y___txt="no")
    for name in ("g/up", "g/a/up", "g/a/b/up", "g/a/b/again"):
        os.symlink("..", name)
    os.symlink("/", "g/root")
    for pattern in ("g/**/*.md", "g/**/**/*.md", "./g/**/*.md", "g/**/**/**/*.md"):
        corpus = read_corpus([pattern])
        assert sorted(Path(document.source).name for document in corpus.documents) == ["x.md", "y.md"]
        assert corpus.skipped == read_corpus(["g"]).skipped == {"linked": 5}
    assert set(texts(read_corpus(["g/**"]))) == set(texts(read_corpus(["g"])))
    assert set(texts(read_corpus(["g/*/x.md", "g/*/b/x.md"]))) == {"g/a/b/x.md"}
    assert texts(read_corpus(["g/a/up/*.md"])) == {"g/a/up/y.md": "y"}  # a link that is named is followed


def test_a_pattern_leaves_out_what_its_folder_leaves_out():
    subprocess.run(["git", "init", "-q", "."], check=True)
    plant(___gitignore="*.log\nbuild/\n", g___gpt2ignore="drafts/\n", g__a___md="a", g__x___log="no",
          g__drafts__b___md="no", g__build__c___md="no", g___hidden__d___md="no", g__e___env="no")
    Path("g/.gpt2ignore").write_text("drafts/\n")
    assert set(texts(read_corpus(["g/**/*"]))) == set(texts(read_corpus(["g"]))) == {"g/a.md"}
    assert set(texts(read_corpus(["g/build/*"]))) == set(texts(read_corpus(["g/build"]))) == {"g/build/c.md"}


def test_names_with_brackets_in_patterns():
    plant(**{"notes [1]__a___md": "a", "notes [1]__b___txt": "b"})
    assert texts(read_corpus(["notes [1]/*.md"])) == {"notes [1]/a.md": "a"}


def test_the_home_and_links_that_lead_nowhere(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    plant(notes__a___md="a")
    os.symlink("nowhere", "dangling")
    assert list(texts(read_corpus(["~/notes"])).values()) == ["a"]
    with pytest.raises(DataError, match="dangling is a link that leads nowhere"):
        read_corpus(["dangling"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such pipes")
def test_pipes_are_read_to_their_end_and_never_waited_for_without_one(monkeypatch):
    os.mkfifo("pipe")
    with subprocess.Popen([sys.executable, "-c", "open('pipe', 'w').write('word ' * 50_000)"]):
        assert read_corpus(["pipe"]).documents[0].text == ("word " * 50_000)
    monkeypatch.setattr("gpt2_assist.corpus.opening._WRITER_S", 0.3)
    with pytest.raises(DataError, match="Nobody writes into the pipe pipe"):
        read_corpus(["pipe"])


def test_what_unpacks_to_more_than_memory_holds(monkeypatch):
    Path("bomb.gz").write_bytes(gzip.compress(bytes(1 << 20)))
    monkeypatch.setattr("gpt2_assist.corpus.reading.available_bytes", lambda: 8 << 16)
    with pytest.raises(DataError, match="bomb.gz is too large: more than 0 MiB"):
        read_corpus(["bomb.gz"], max_file_bytes=1000)


def test_pictures_in_a_text_are_left_out():
    plant(x___md="One ![](data:image/png;base64," + "iVBORw0KGgo=" * 20 + ") two.\n\n[image1]: <data:image/jpeg;base64,"
          + "A" * 99 + ">\n", y___py='KEY = "data:text/plain;base64,QUJD"\n')
    corpus = read_corpus(["."])
    assert texts(corpus) == {"./x.md": "One ![]() two.\n\n[image1]: <>",
                             "./y.py": 'KEY = "data:text/plain;base64,QUJD"'}
    assert corpus.found == {"text, without the pictures in it": ["./x.md"]}


def test_a_corpus_of_nothing_says_what_was_left_out():
    plant(notes__a=b"\0\1", notes__b="", notes__c=b"\0\2")
    with pytest.raises(DataError, match=r"^There is nothing to read in notes: 2 binary, 1 empty\.$"):
        read_corpus(["notes"])
    Path("bare").mkdir()
    with pytest.raises(DataError, match=r"^There is nothing to read in bare\.$"):
        read_corpus(["bare"])
    with pytest.raises(DataError, match="nothing to read in no path"):
        read_corpus([])


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="permissions hold nobody up here")
def test_what_may_not_be_read():
    plant(notes__a="a", notes__b="b", notes__c__d="d")
    os.chmod("notes/a", 0)
    os.chmod("notes/c", 0)
    assert read_corpus(["notes"]).skipped == {"unreadable": 2}
    with pytest.raises(DataError, match="notes/a can't be read: Permission denied."):
        read_corpus(["notes/a"])


def test_names_that_are_no_text_are_shown():
    try:
        Path(os.fsdecode(b"caf\xe9.txt")).write_text("coffee")
    except OSError:
        pytest.skip("the file system allows no such names")
    assert texts(read_corpus(["."])) == {"./caf\ufffd.txt": "coffee"}


@pytest.mark.parametrize(("suffix", "pack"), [(".xz", lzma.compress), (".GZ", gzip.compress)])
def test_packed_files_are_what_is_in_them(suffix, pack):
    content = b"one\r\ntwo\n<|endoftext|>\nthree\n"
    Path("x.txt" + suffix).write_bytes(pack(content))
    Path("t.csv" + suffix).write_bytes(pack(b"text\none\ntwo\n"))
    Path("large" + suffix).write_bytes(pack(bytes([32, 120]) * 10_000))
    corpus = read_corpus(["."], max_file_bytes=5000)
    assert corpus.documents == [
        Document("one", f"./t.csv{suffix}", 2, short=True), Document("two", f"./t.csv{suffix}", 3, short=True),
        Document("one\ntwo", f"./x.txt{suffix}"), Document("three", f"./x.txt{suffix}", 4)]
    assert corpus.skipped == {"too large": 1}


def test_standard_input():
    code = "from gpt2_assist.corpus.reading import read_corpus as read; print(*read(['-', '-']).documents, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], input=b"one\n<|endoftext|>\ntwo\n", capture_output=True)
    assert done.stdout.decode().splitlines() == [
        str(Document("one", "standard input")), str(Document("two", "standard input", 3))]
    done = subprocess.run([sys.executable, "-c", code], input=b"\0\0", capture_output=True)
    assert b"Standard input holds no text." in done.stderr


def test_an_encoded_data_set_is_decoded():
    content = io.BytesIO()
    said = "one\n<|endoftext|>two<|endoftext|>\n<|startoftext|>three<|endoftext|>\n"
    np.savez_compressed(content, np.array([ord(letter) for letter in said]), np.array([102, 52], np.uint16))
    Path("ids.npz").write_bytes(content.getvalue())
    corpus = read_corpus(["ids.npz"], decode=lambda ids: "".join(map(chr, ids)))
    assert [(document.text, document.short) for document in corpus.documents] == [
        ("one", False), ("two", False), ("three", True), ("f4", False)]
    with pytest.raises(DataError, match="there is no tokenizer"):
        read_corpus(["ids.npz"])
    np.savez("floats.npz", np.array([1.5]))
    np.savez("objects.npz", np.array([{}], object))
    for name in ("floats.npz", "objects.npz"):
        with pytest.raises(DataError, match="no data set of token ids"):
            read_corpus([name], decode=str)


@pytest.mark.parametrize("seed", range(40))
def test_damaged_data_sets_get_a_sentence(seed):
    content = io.BytesIO()
    np.savez_compressed(content, np.arange(50), np.arange(9))
    damaged = bytearray(content.getvalue())
    chance = np.random.default_rng(seed)
    for place in chance.integers(len(damaged), size=chance.integers(1, 9)):
        damaged[place] = chance.integers(256)
    Path("x.npz").write_bytes(damaged)
    try:
        read_corpus(["x.npz"], decode=lambda ids: " ".join(map(str, ids)))
    except DataError:
        pass


def test_the_import_is_light():
    code = "import sys, gpt2_assist.corpus.reading; print(*{'torch', 'numba', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
