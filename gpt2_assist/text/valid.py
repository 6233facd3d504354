"""Text that can be sent and stored: what comes from outside may hold lone surrogates, which no encoding has."""

from gpt2_assist.errors import ModelError


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


def model_path(path: str) -> str:
    """`path` itself. Raises ModelError where UTF-8 lacks it: neither the daemon nor what reads weights takes it then.
    """
    if valid(path) != path:
        raise ModelError(f"The name of {valid(path)} is no UTF-8, so no model can be read there: rename it.")
    return path
