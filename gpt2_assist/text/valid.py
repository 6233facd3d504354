"""Text that can be sent and stored: what comes from outside may hold lone surrogates, which no encoding has."""


def valid(text: str) -> str:
    """`text` with nothing in it that UTF-8 lacks.

    Bytes that Python could not read (a command line, a name of a file) are read as UTF-8 after all, two halves of a
    character become it, and what is left of either becomes U+FFFD.
    """
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        pass
    try:
        return text.encode("utf-8", "surrogateescape").decode()
    except UnicodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
