"""Errors that a user can meet: each has one plain sentence and an exit code."""


class AssistError(Exception):
    """Base of all errors that are shown to people; str() is the sentence."""

    exit_code = 1


class ProtocolError(AssistError):
    """The peer sent something that is no frame of this protocol."""

    exit_code = 70
