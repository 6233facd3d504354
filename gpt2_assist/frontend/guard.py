"""Whatever ends a program, its user reads one sentence and its caller gets an exit code."""
import sys

from gpt2_assist.errors import AssistError, OutputError

_INTERRUPTED = 130


def guarded(work) -> int:
    """The exit code of `work()`; what it raises becomes a sentence on the error stream."""
    code = _said(_begin) or _said(work)
    return _said(lambda: sys.stdout and sys.stdout.flush()) or code


def _begin() -> None:
    from gpt2_assist.console import streams  # here, so that Ctrl-C finds us soon after the start
    from gpt2_assist.files import modes
    streams.ready()
    modes.begin()


def _said(work) -> int:
    try:
        return work() or 0
    except AssistError as error:
        from gpt2_assist.console.streams import silence
        from gpt2_assist.console.terminal import visible
        if isinstance(error, OutputError):
            silence()
        if str(error):
            print(visible(str(error)), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return _INTERRUPTED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except MemoryError:
        print("There is too little memory for this: end some programs and try again.", file=sys.stderr)
        return AssistError.exit_code
    except Exception as error:
        from gpt2_assist.console.terminal import interrupted, unwinding
        if unwinding():
            return interrupted()
        print(recorded(error), file=sys.stderr)
        return 1


def recorded(error: Exception) -> str:
    """A sentence for an error that nobody expected; its details are written to a file in the home folder."""
    import traceback

    from gpt2_assist import config
    try:
        path = config.home() / "error.log"
        place = f"the details could not be written to {path}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8", errors="replace") as log:
            traceback.print_exception(error, file=log)
        place = f"the details are in {path}"
    except AssistError as none:
        place = f"there is no place for the details. {none}".removesuffix(".")
    except OSError:
        pass
    return f"Something went wrong inside gpt2-assist ({type(error).__name__}); {place}."
