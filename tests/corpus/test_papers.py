"""Documents of other programs and mail: their text, and a sentence for what is damaged."""
import io
import random
import subprocess
import sys
import zipfile

import pytest

from gpt2_assist.corpus.documents import UnreadableFile
from gpt2_assist.corpus.formats import Choices, documents_in

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
MC = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'


def texts(kind: str, content: bytes) -> list[str]:
    return [document.text for document in documents_in(content, kind, "x" + kind, Choices())[0].documents]


def archive(**files: str | bytes) -> bytes:
    """A zip file; two underscores in a name are a folder, three a dot."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name.replace("___", ".").replace("__", "/"), data)
    return content.getvalue()


def docx(body: str) -> bytes:
    return archive(word__document___xml=f"<w:document {W} {MC}><w:body>{body}</w:body></w:document>")


def pdf(*pages: str) -> bytes:
    """A page for each text, with a line for each of its lines."""
    objects = [b"<</Type/Catalog/Pages 2 0 R>>",
               f"<</Type/Pages/Count {len(pages)}/Kids[{' '.join(f'{4 + 2 * n} 0 R' for n in range(len(pages)))}]>>"
               .encode(), b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>"]
    for number, page in enumerate(pages):
        shown = " T* ".join(f"({line}) Tj" for line in page.split("\n"))
        stream = f"BT /F1 12 Tf 14 TL 72 720 Td {shown} ET".encode("cp1252") if page else b""
        objects += [f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<</F1 3 0 R>>>>"
                    f"/Contents {5 + 2 * number} 0 R>>".encode(),
                    b"<</Length %d>>stream\n%b\nendstream" % (len(stream), stream)]
    content, places = b"%PDF-1.4\n", []
    for number, thing in enumerate(objects, 1):
        places.append(len(content))
        content += b"%d 0 obj\n%b\nendobj\n" % (number, thing)
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    return content + (f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n<</Size {len(objects) + 1}"
                      f"/Root 1 0 R>>\nstartxref\n{len(content)}\n%%EOF\n").encode()


HTML = """<!DOCTYPE html><html><head><title>No</title><style>p {color: red}</style><script>var x = "no";</script></head>
<body><nav><a href="/">Home</a></nav><h1>Title</h1><p>One <b>bold</b>
  word &amp; a caf&eacute;.<br>Next line.</p><ul><li>first</li><li>second</li></ul>
<pre>code
  more</pre><table><tr><td>a</td><td>b</td></tr></table><!-- no --><div>End</div></body></html>"""
SEEN = "Title\n\nOne bold word & a café.\nNext line.\n\n- first\n- second\n\ncode\n  more\n\na\tb\n\nEnd"


def test_a_web_page_is_what_one_sees():
    assert texts(".html", HTML.encode()) == [SEEN]
    assert texts(".htm", HTML.replace("caf&eacute;", "café").replace("<head>", '<head><meta charset="iso-8859-1">')
                 .encode("latin-1")) == [SEEN]
    assert texts(".xhtml", b'<?xml version="1.0" encoding="utf-8"?>' + HTML.replace("<br>", "<br/>").encode()) == [SEEN]
    assert texts(".html", b"<div>" * 30_000 + b"deep") in (["deep"], [])
    assert texts(".html", b"") == [] and texts(".html", b"just words") == ["just words"]


def test_a_word_document_is_its_text_as_it_is_now():
    body = ("<w:p><w:r><w:t>One </w:t></w:r><w:ins><w:r><w:t>new</w:t></w:r></w:ins><w:del><w:r><w:delText>old"
            "</w:delText></w:r></w:del><w:r><w:tab/><w:t>word</w:t></w:r></w:p><w:p/><w:p><w:hyperlink><w:r><w:t>link"
            "</w:t></w:r></w:hyperlink><w:r><w:instrText>PAGE</w:instrText></w:r></w:p>"
            "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>b</w:t></w:r></w:p></w:tc>"
            "</w:tr></w:tbl><mc:AlternateContent><mc:Choice><w:p><w:r><w:t>box</w:t></w:r></w:p></mc:Choice>"
            "<mc:Fallback><w:p><w:r><w:t>box</w:t></w:r></w:p></mc:Fallback></mc:AlternateContent>")
    text, = texts(".docx", docx(body))
    assert [line.rstrip() for line in text.split("\n")] == ["One new\tword", "", "link", "a\tb", "box"]
    assert texts("", docx("<w:p><w:r><w:t>no suffix</w:t></w:r></w:p>")) == ["no suffix"]


def test_a_document_of_libreoffice():
    content = ('<o:document-content xmlns:o="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
               'xmlns:t="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><o:body><o:text><t:h>Title</t:h>'
               "<t:p>One<t:s/>two<t:line-break/>three <t:span>four</t:span> five<o:annotation><t:p>no</t:p>"
               "</o:annotation></t:p></o:text></o:body></o:document-content>")
    files = {"META-INF__manifest___xml": "<m/>", "content___xml": content}
    assert texts(".odt", archive(**files)) == ["Title\nOne two\nthree four five"]
    with pytest.raises(UnreadableFile, match="encrypted"):
        texts(".odt", archive(**{**files, "META-INF__manifest___xml": "<encryption-data/>"}))


BOOK = {
    "mimetype": "application/epub+zip",
    "META-INF__container___xml": '<container><rootfiles><rootfile full-path="OPS/book.opf"/></rootfiles></container>',
    "OPS__book___opf": '<package xmlns="http://www.idpf.org/2007/opf"><manifest><item id="b" href="b%20c.xhtml"/>'
                       '<item id="a" href="text/a.xhtml"/><item id="n" href="n.xhtml" properties="nav"/></manifest>'
                       '<spine><itemref idref="n"/><itemref idref="b"/><itemref idref="a"/><itemref idref="x"/></spine>'
                       "</package>",
    "OPS__b c___xhtml": "<html><body><p>First chapter.</p></body></html>",
    "OPS__text__a___xhtml": "<html><body><p>Second chapter.</p></body></html>", "OPS__n___xhtml": "<p>Contents</p>"}


def test_a_book_is_its_chapters_in_their_order():
    assert texts(".epub", archive(**BOOK)) == ["First chapter.", "Second chapter."]
    with pytest.raises(UnreadableFile, match="protected against copying"):
        texts(".epub", archive(**BOOK, **{"META-INF__rights___xml": ""}))


def test_a_pdf_is_its_lines_without_what_stands_on_each_page():
    pages = [f"The Book\nWords of page {word} are exam-\nples caf\xe9.\nPage {number}"
             for number, word in enumerate(("one", "two", "three", "four"), 1)]
    assert texts(".pdf", pdf(*pages)) == ["\n".join(
        f"Words of page {word} are examples caf\xe9." for word in ("one", "two", "three", "four"))]
    assert texts("", pdf("no suffix")) == ["no suffix"]
    with pytest.raises(UnreadableFile, match="holds pictures of pages, no text"):
        texts(".pdf", pdf("", ""))


def test_rich_text_and_other_books():
    assert texts(".rtf", rb"{\rtf1\ansi{\fonttbl{\f0 Arial;}}\f0 Caf\'e9 {\b bold}\par two\u8364?}") == [
        "Café bold\ntwo€"]
    assert texts(".txt", rb"{\rtf1\ansi no suffix}") == ["no suffix"]
    book = "<FictionBook><description>no</description><body><section><p>One.</p><p>Two.</p></section></body>" \
           "<binary>AAAA</binary></FictionBook>"
    assert texts(".fb2", book.encode()) == ["One.\nTwo."]
    notes = "<en-export><note><title>T</title><content><![CDATA[<?xml version='1.0'?><en-note><div>Words</div>" \
            "</en-note>]]></content><resource><data encoding='base64'>AAAA</data></resource></note></en-export>"
    assert texts(".enex", notes.encode()) == ["T\n\nWords"]


def test_bombs_do_not_go_off():
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha" * 10}">' for n in range(12))
    words = f"<w:document {W}><w:body><w:p><w:r><w:t>a&%s;</w:t></w:r></w:p></w:body></w:document>"
    bomb = f"<!DOCTYPE x [{entities}]>{words % 'e11'}"
    large = archive(word__document___xml=f"<w:document {W}/>", word__media__x=bytes(300 << 20))
    outside = f'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>{words % "f"}'
    for content in (archive(word__document___xml=bomb), large, archive(word__document___xml=outside)):
        try:
            assert all("root:" not in text and len(text) < 1000 for text in texts(".docx", content))
        except UnreadableFile:
            pass


SOUND = {".docx": docx("<w:p><w:r><w:t>words</w:t></w:r></w:p>" * 20), ".epub": archive(**BOOK),
         ".pdf": pdf("a\nb", "c"),
         ".html": HTML.encode(), ".rtf": rb"{\rtf1\ansi{\fonttbl{\f0 Arial;}}\f0 words\par two}",
         ".eml": b"From: a@b\nSubject: =?utf-8?q?x?=\nContent-Type: multipart/mixed; boundary=z\n\n--z\n\nw\n--z--\n"}


@pytest.mark.parametrize("kind", SOUND)
@pytest.mark.parametrize("seed", range(12))
def test_damaged_files_get_a_sentence(kind, seed):
    damaged = bytearray(SOUND[kind])
    chance = random.Random(seed)
    for _ in range(chance.randrange(1, 30)):
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
    for content in (bytes(damaged), bytes(damaged[:chance.randrange(len(damaged))]), b""):
        try:
            texts(kind, content)
        except UnreadableFile as error:
            assert "\n" not in str(error)


MAIL = b"""From: Anna <anna@company.org>
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="z"

--z
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Sch=F6ne Zeit.

On Monday, Bob wrote:
> What is up?
>> Nothing.
--=20
Anna, Company
--z
Content-Type: image/png
Content-Transfer-Encoding: base64

iVBORw0KGgo=
--z--
"""
PAGE = b"Subject: Page\nContent-Type: text/html; charset=utf-8\n\n<p>One <b>word</b></p>\n"


def test_what_is_called_otherwise_than_it_is():
    with pytest.raises(UnreadableFile, match="x.docx is encrypted"):
        texts(".docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99))
    with pytest.raises(UnreadableFile, match="save it as CSV"):
        texts(".csv", archive(xl__workbook___xml=""))
    assert texts(".txt", b"From there on\nNote: it is no mail.") == ["From there on\nNote: it is no mail."]
    assert texts(".pdf", b"") == texts(".ipynb", b"") == []


def test_mail_is_what_was_written():
    assert texts(".eml", MAIL) == ["Grüße\n\nSchöne Zeit."]
    assert texts(".eml", MAIL.replace(b"\n", b"\r\n")) == ["Grüße\n\nSchöne Zeit."]
    assert texts(".emlx", b"%d\n" % len(MAIL) + MAIL) == ["Grüße\n\nSchöne Zeit."]
    assert texts("", b"Return-Path: <a@b>\n" + MAIL) == ["Grüße\n\nSchöne Zeit."]
    assert texts(".eml", PAGE) == ["Page\n\nOne word"]


def test_a_box_of_mail_has_a_document_for_each():
    box = b"From a@b Mon Jan  1 10:00:00 2024\n" + MAIL + b"\nFrom c@d Tue Jan  2\n" + PAGE + \
        b"\nFrom e@f Wed Jan  3\nSubject: Third\n\n>From here on.\n"
    for kind in (".mbox", ""):
        documents = documents_in(box, kind, "x", Choices())[0].documents
        assert [document.text for document in documents] == [
            "Grüße\n\nSchöne Zeit.", "Page\n\nOne word", "Third\n\nFrom here on."]
        assert [box.split(b"\n")[document.line - 1].split(b":")[0] for document in documents] == [
            b"From", b"Subject", b"Subject"]


def test_without_the_extra_each_says_what_to_do(tmp_path):
    for kind, content in SOUND.items():
        (tmp_path / f"x{kind}").write_bytes(content)
    (tmp_path / "page.eml").write_bytes(PAGE)
    code = """
import sys
for name in ("lxml", "pypdf", "striprtf"):
    sys.modules[name] = None
from gpt2_assist.corpus.reading import read_corpus
from gpt2_assist.errors import DataError
corpus = read_corpus([sys.argv[1]])
print(len(corpus.documents), corpus.skipped)
for kind in (".docx", ".epub", ".pdf", ".html", ".rtf"):
    try:
        read_corpus([sys.argv[1] + "/x" + kind])
    except DataError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    first, *said = done.stdout.splitlines()
    assert first == "1 {'that need gpt2-assist[documents]': 6}"
    assert len(said) == 5 and all(line.endswith("is installed with gpt2-assist[documents].") for line in said)
