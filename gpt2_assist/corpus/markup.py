"""The text of HTML and of the XML of office programs, as a reader sees it."""
import re
from collections.abc import Iterable

from gpt2_assist.corpus.documents import clean
from gpt2_assist.corpus.encodings import decoded

_UNSEEN = frozenset((
    "script", "style", "head", "noscript", "template", "svg", "math", "nav", "select", "button", "textarea", "iframe",
    "object", "canvas", "audio", "video", "map"))
_APART = frozenset((
    "p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "ul", "ol", "dl", "table", "figure", "hr", "article",
    "section", "main", "header", "footer", "aside", "address", "details", "form", "fieldset"))
_LINES = frozenset(("div", "li", "tr", "dt", "dd", "figcaption", "caption", "summary", "center", "legend", "body"))
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})|\A\s*<\?xml[^>]{0,200}?encoding=[\"']"
                      rb"([\w.:-]{1,40})", re.IGNORECASE)
_GAP, _LINE = "\x1d", "\x1e"
"""Between blocks: an empty line, a new line."""
_BESIDE_GAP, _BESIDE_LINE = re.compile("[\x1d\x1e \n]*\x1d[\x1d\x1e \n]*"), re.compile(" *\x1e[\x1e ]*")
_CONTROLS = re.compile("[\x0b\x1d\x1e]")
_SPACES = re.compile(r"[ \t\r\n\f]+")
_MANY_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")


def page_text(content: bytes) -> str:
    """The text of an HTML page; raises ImportError where lxml isn't there, ValueError where the page is no text."""
    from lxml import etree
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True)
    try:
        root = etree.fromstring(_unicode(content).encode(), parser)
    except etree.XMLSyntaxError:
        root = None
    return "" if root is None else _flat(_pieces(root))


def _unicode(content: bytes) -> str:
    said = _CHARSET.search(content[:4096])
    if said:
        try:
            return content.decode((said[1] or said[2]).decode("ascii"))
        except (LookupError, UnicodeError):
            pass
    read = decoded(content)
    if read is None:
        raise ValueError("no text")
    return read[0]


def _pieces(root) -> Iterable[str]:
    """Text, with line ends where blocks begin and end."""
    from lxml import etree
    verbatim = 0
    walker = etree.iterwalk(root, events=("start", "end"))
    for event, element in walker:
        name = element.tag.rpartition("}")[2].lower() if isinstance(element.tag, str) else ""
        if event == "start":
            if name in _UNSEEN or not name:
                walker.skip_subtree()
                continue
            verbatim += name == "pre"
            yield _break(name, True)
            yield _spaced(element.text, verbatim)
        else:
            if name and name not in _UNSEEN:
                verbatim -= name == "pre"
                yield _break(name, False)
            yield _spaced(element.tail, verbatim)


def _break(name: str, begins: bool) -> str:
    if name in _APART:
        return _GAP
    if name in _LINES:
        return _LINE + "- " * (name == "li" and begins)
    if begins:
        return "\n" if name == "br" else ""
    return "\t" if name in ("td", "th") else ""


def _spaced(text: str | None, verbatim: int) -> str:
    """What HTML shows as one space becomes one; line ends that count stay apart from those that don't as \\v."""
    if not text:
        return ""
    text = _CONTROLS.sub("", text)
    return text.replace("\n", "\v") if verbatim else _SPACES.sub(" ", text)


def _flat(pieces: Iterable[str]) -> str:
    """Where one block ends and the next begins there is one line end, or one gap."""
    text = _BESIDE_LINE.sub("\n", _BESIDE_GAP.sub("\n\n", "".join(pieces)))
    lines = [line.strip(" ").rstrip() for line in text.replace("\v", "\n\v").split("\n")]
    text = "\n".join(line for line in lines if line != "-").replace("\v", "")
    return clean(re.sub(r"(?<=\S) {2,}", " ", _MANY_LINES.sub("\n\n", text))).strip("\n")


def xml_text(content: bytes, text: frozenset[str], marks: dict[str, str], ends: dict[str, str],
             unseen: frozenset[str]) -> str:
    """The text of an XML file of an office program, by its elements' names.

    `text` are those whose own text counts (all of it where there are none), `marks` stand for characters, `ends` say
    what follows an element, what is in `unseen` doesn't count. Raises ImportError where lxml isn't there, ValueError
    where it is damaged.
    """
    from lxml import etree
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(str(error)) from None
    pieces = []
    walker = etree.iterwalk(root, events=("start", "end"))
    for event, element in walker:
        name = element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
        if event == "start":
            if name in unseen or not name:
                walker.skip_subtree()
                continue
            pieces.append(marks.get(name, ""))
            if not text or name in text:
                pieces.append(element.text or "")
        else:
            pieces.append(ends.get(name, "") if name not in unseen else "")
            if not text:
                pieces.append(element.tail or "")
    return clean(_MANY_LINES.sub("\n\n", "".join(pieces).replace("\n\t", "\t"))).strip("\n")
