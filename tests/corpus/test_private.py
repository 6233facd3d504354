"""E-mail addresses and secrets: what is found, and what only looks so."""
import sysconfig

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt2_assist.corpus.documents import Document
from gpt2_assist.corpus.private import Private, Removed, find_private, without_private
from gpt2_assist.corpus.reading import read_corpus

HEX = "9f8b7c6d5e4f3a2b1c0d9e8f7a6b5c4d"
MIXED = "q7Rz2LkP9vXw4TnB8mYc3HdJ"
SECRETS = {
    "a private key": ["-----BEGIN RSA PRIVATE KEY-----\nMIIE", "-----BEGIN PRIVATE KEY-----",
                      "-----BEGIN PGP PRIVATE KEY BLOCK-----", "-----BEGIN OPENSSH PRIVATE KEY-----"],
    "a key of AWS": ["AKIA" + "ABCDEFGH12345678", "id=ASIA" + "ABCDEFGH12345678;"],
    "a token of GitHub": ["ghp_" + MIXED + MIXED, "github_pat_" + MIXED],
    "a token of GitLab": ["glpat-" + MIXED],
    "a token of Hugging Face": ["hf_" + MIXED + MIXED],
    "a token of Slack": ["xoxb-" + MIXED],
    "a web token": ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"],
    "a key of Google": ["AIza" + "SyA-1234567890abcdefghijklmnopqrstu"],
    "an API key": ["sk-" + MIXED, "sk-proj-" + MIXED, f"key = 'sk-{MIXED}'"],
    "a password": ['password = "hunter22"', "PASSWORD='correcthorse'", '"db_password": "s3cr3t!x",', "passwd: hunter22",
                   "Passwort: geheim123", 'pwd := "zxcvbnm"'],
    "what looks like a secret key": [f'api_key = "{MIXED}"', f"SECRET_KEY: {HEX}", f"key={HEX}"],
    "what looks like a secret token": [f'"token": "{MIXED}"', f"export TOKEN={MIXED}"],
}
HARMLESS = [
    "password = input()", "password: str", 'password = ""', 'password = "<your password>"', 'password = "${SECRET}"',
    "password = config.password1", 'password = "changeme"', 'password = "xxxxxxxx"', "The password: see below.",
    "key = value", 'key = "a_long_name_without_any_digits_in_it"', "token = tokens[position + 1]", "monkey: banana123",
    "key=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1", "sk-learn-is-a-library-of-python", "AKIA",
    "a risk-averse-and-careful-person",
    "key = self._lib.NID_aes_256_cbc_and_more", "PWD=/home/somebody/project1", "-----BEGIN PUBLIC KEY-----", "",
    "secret: " + "long words of prose without any key in them 12"]


def of(text: str) -> Private:
    return find_private([Document(text, "notes/x.md", 10)])


@pytest.mark.parametrize(("what", "text"), [(what, text) for what, all_ in SECRETS.items() for text in all_])
def test_secrets_are_found_and_never_shown(what, text):
    found = of(f"first line\nsome words {text}\nlast line")
    assert (found.emails, found.secrets) == (0, 1)
    assert found.examples == (f"notes/x.md:11: {what}",)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_a_secret(text):
    assert of(f"first line\n{text}\nlast line") == Private(0, 0, ())


@pytest.mark.parametrize("text", [
    "anna.meier+list@mail.company.org", "<anna@company.co.uk>", "mailto:anna@company.de.", "ANNA_1@COMPANY.COM,",
    "x,anna@company.com", "(anna@x-y.com)"])
def test_addresses(text):
    assert of(f"\n\nWrite to {text}\n") == Private(1, 0, ("notes/x.md:12: an e-mail address",))


@pytest.mark.parametrize("text", [
    "user@example.com", "user@mail.example.org", "user@localhost", "@decorator", "a@b", "git@github.com:user/x.git",
    "matrix @ other.T", "x@1.2", "foo@bar@baz.com.", "@name.of"])
def test_what_only_looks_like_an_address(text):
    assert of(text).emails == 0


def test_examples_are_few_and_secrets_come_first():
    found = find_private([Document("a@b.de\n" * 7, "mail", 1), Document('password = "hunter22"\n' * 2, "code", 5),
                          Document("a\na@b.de", "lines.jsonl", 3, one_line=True)])
    assert (found.emails, found.secrets) == (8, 2)
    assert found.examples == ("code:5: a password", "code:6: a password", "mail:1: an e-mail address",
                              "mail:2: an e-mail address", "mail:3: an e-mail address")


def test_a_library_of_code_holds_next_to_none():
    corpus = read_corpus([sysconfig.get_path("stdlib") + "/json", sysconfig.get_path("stdlib") + "/asyncio"])
    assert find_private(corpus.documents).secrets == 0


@pytest.mark.parametrize("text", ["a" * 300_000, "a." * 200_000, "a@" * 200_000, "a@" + "b." * 200_000,
                                  "sk-" * 100_000, "eyJ" * 100_000, "key=" * 100_000, "password" + " " * 300_000,
                                  "-----BEGIN " * 50_000 + "PRIVATE KEY", "key='" + "x" * 300_000])
def test_no_text_takes_long(text):
    of(text)  # the time limit of the tests is the assertion


@given(st.text(), st.text())
def test_wild_texts(before, behind):
    found = of(before + '\npassword = "hunter22"\n' + behind)
    assert found.secrets >= 1
    assert all("hunter22" not in example for example in found.examples)


@pytest.mark.parametrize("text", [text for all_ in SECRETS.values() for text in all_] + ["Write to anna@company.org"])
def test_what_is_private_is_left_out_and_lines_stay_where_they_are(text):
    document = Document(f"first line\n\nsome words {text}\nlast line", "notes/x.md", 10)
    short = Document(text, "table.csv", 3, short=True)
    kept, removed = without_private([document, Document("harmless", "y"), short])
    assert find_private(kept) == Private(0, 0, ())
    assert [entry.text.split("\n")[0] for entry in kept] == ["first line", "harmless"]
    assert removed == Removed(1, 1)
    assert kept[0].text.count("\n") == document.text.count("\n") and kept[0].text.endswith("last line")


def test_a_private_key_goes_as_a_whole():
    key = "-----BEGIN RSA PRIVATE KEY-----\n" + ("MIIEpAIBAAKCAQEA7s3x\n" * 5) + "-----END RSA PRIVATE KEY-----"
    cut = "-----BEGIN PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA7s3x\n" * 3
    kept, removed = without_private([
        Document(f"before\n{key}\nafter", "x"), Document(f"{cut}what follows is prose.", "y"), Document(key, "z")])
    assert [(document.text.replace("\n", "|"), document.line) for document in kept] == [
        ("before" + "|" * 8 + "after", 1), ("what follows is prose.", 5)]
    assert removed == Removed(7 + 4, 1)


@given(st.lists(st.sampled_from(["a@b.de", "password = 'hunter22'", "words", "", "password:", "hunter22", "key=",
                                 "-----BEGIN PRIVATE KEY-----"])).map("\n".join))
def test_nothing_private_is_left(text):
    kept, removed = without_private([Document(text, "x")] if text.strip() else [])
    assert find_private(kept) == Private(0, 0, ())
    assert removed.lines or removed.documents or not text.strip() or kept == [Document(text, "x")]
