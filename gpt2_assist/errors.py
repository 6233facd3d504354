"""Errors that a user can meet: each has one plain sentence and an exit code."""


class AssistError(Exception):
    """Base of all errors that are shown to people; str() is the sentence."""

    exit_code = 1


class UsageError(AssistError):
    """A setting or an argument makes no sense."""

    exit_code = 2


class ModelError(AssistError):
    """A model is missing, damaged or of another kind."""

    exit_code = 3


class DataError(AssistError):
    """A file that the user gave can't be read as what it should be."""

    exit_code = 4


class NetworkError(AssistError):
    """A hub can't be reached or refuses."""

    exit_code = 5


class StorageError(AssistError):
    """A file can't be written."""

    exit_code = 6


class OutputError(AssistError):
    """Standard output can't be written. That nobody reads it any more is no news to anybody: the sentence is empty."""

    def __init__(self, error: OSError) -> None:
        self.broken_pipe = isinstance(error, BrokenPipeError)
        super().__init__("" if self.broken_pipe else
                         f"The output can't be written: {error.strerror or error}.")
        self.exit_code = 141 if self.broken_pipe else StorageError.exit_code
        """Of a closed pipe the one that a shell gives programs that a signal ends."""


class DaemonError(AssistError):
    """The daemon can't be started, reached or trusted."""

    exit_code = 7


class ProtocolError(AssistError):
    """The peer sent something that is no frame of this protocol."""

    exit_code = 70
