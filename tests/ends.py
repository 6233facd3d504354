"""A pytest plugin: no test and no teardown waits without an end, and no process outlives its test.

What tests begin, and what that begins, has this session's mark in its environment. What a test began itself is ended
when the test is over; only the daemon stays, which tests share. Where a test or its teardown takes longer than its
limit, first its processes are ended, which is mostly what it waits for, then all of the session's, and then the session
ends with the stacks of all threads. However pytest ends, a helper that waits for that ends what is left.
"""
import faulthandler
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress

import psutil
import pytest

MARK = "GPT2_ASSIST_TESTS"
GRACE_S = float(os.environ.get("GPT2_ASSIST_TESTS_GRACE_S", "20"))
_BEGIN = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn")
_SHARED = "gpt2_assist.daemon"


class Ends:
    def __init__(self, config: pytest.Config) -> None:
        outer = os.environ.get(MARK, "")
        self.mark = f"{outer}/{os.getpid()}"
        self._began = False
        sys.addaudithook(self._hear)
        with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            self._errors = os.dup(2)
        helper = {name: value for name, value in os.environ.items() if name != MARK}
        self._helper = subprocess.Popen([sys.executable, __file__, self.mark], stdin=subprocess.PIPE, env=helper,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        os.environ[MARK] = self.mark

    def _hear(self, event: str, arguments: tuple) -> None:
        self._began = self._began or event in _BEGIN

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item):
        limit, over = _limit(item), threading.Event()
        faulthandler.dump_traceback_later(limit + 3 * GRACE_S, exit=True, file=self._errors)
        threading.Thread(target=self._watch, args=(limit, over, time.time()), daemon=True).start()
        try:
            return (yield)
        finally:
            over.set()
            faulthandler.cancel_dump_traceback_later()

    def _watch(self, limit: float, over: threading.Event, began: float) -> None:
        if not over.wait(limit + GRACE_S):
            end(self._children(began))
        if not over.wait(GRACE_S):
            end(marked(self.mark))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item):
        self._began, item.stash[_CALLED] = False, time.time()
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item):
        try:
            return (yield)
        finally:
            if self._began and _CALLED in item.stash:
                end(self._children(item.stash[_CALLED]))

    def _children(self, since: float) -> list[psutil.Process]:
        """Processes that this one has begun since then, and theirs; the shared daemon and its own left out."""
        found, waiting = [], psutil.Process().children()
        while waiting:
            process = waiting.pop()
            with suppress(psutil.Error):
                if process.create_time() >= since - 1 and _SHARED not in " ".join(process.cmdline()):
                    waiting += process.children()
                    found.append(process)
        return [process for process in found if process.pid != self._helper.pid]

    def pytest_unconfigure(self) -> None:
        self._helper.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._helper.wait(GRACE_S)


_CALLED = pytest.StashKey[float]()


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Ends(config))


def _limit(item: pytest.Item) -> float:
    """The test's limit in seconds, as pytest-timeout has it."""
    marker = item.get_closest_marker("timeout")
    named = marker and (marker.args[0] if marker.args else marker.kwargs.get("timeout"))
    return float(named or item.config.getoption("timeout", None) or item.config.getini("timeout") or 120)


def marked(mark: str) -> list[psutil.Process]:
    """All processes of a session and of those inside it."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if f"{process.environ().get(MARK, '')}/".startswith(f"{mark}/"):
                found.append(process)
    return found


def end(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.kill()


def _helper(mark: str) -> None:
    sys.stdin.read()
    while processes := marked(mark):
        end(processes)
        psutil.wait_procs(processes, GRACE_S)


if __name__ == "__main__":
    _helper(sys.argv[1])
