"""A pytest plugin: no test and no teardown waits without an end, and no process outlives its test.

What tests begin, and what that begins, has this session's mark in its environment. What a test began itself is ended
when the test is over; only the daemon stays, which tests share. Where a test or its teardown takes longer than its
limit, first its processes are ended, which is mostly what it waits for, then all of the session's, and then the session
ends with the stacks of all threads, as it does where all tests take longer than `suite_timeout`. However pytest ends, a
helper that waits for that ends what is left, also the `busy_loops`, which run beside the tests where some are wanted.
What tests begin hears the signals that end it, also where the session was told to ignore them (`nohup`, `&`). Of
xdist's workers each is a session inside that of the process that began them.
"""
import faulthandler
import math
import os
import signal
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
_ENDING = {signal.SIGINT, signal.SIGTERM} | {getattr(signal, name, signal.SIGTERM) for name in ("SIGHUP", "SIGQUIT")}
_TOLD_S = 1.0
"""For the sentence to be written before the stacks."""


class Ends:
    def __init__(self, config: pytest.Config) -> None:
        outer = os.environ.get(MARK, "")
        self.mark = f"{outer}/{os.getpid()}"
        self._began, self._item_ends = False, math.inf
        sys.addaudithook(self._hear)
        with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            self._errors = os.dup(2)
        helper = {name: value for name, value in os.environ.items() if name != MARK}
        self._helper = subprocess.Popen([sys.executable, __file__, self.mark], stdin=subprocess.PIPE, env=helper,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        os.environ[MARK] = self.mark
        self._busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                      for _ in range(0 if hasattr(config, "workerinput") else int(config.getini("busy_loops")))]
        self._limit = float(config.getini("suite_timeout")) or math.inf
        if config.getoption("dist", "no") != "no":
            self._limit += GRACE_S  # xdist's workers have the same limit, and are the ones whose stacks say something
        self._all_end, self._over = time.monotonic() + self._limit + 3 * GRACE_S, threading.Event()
        self._arm()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self):
        self._all_end = time.monotonic() + self._limit
        self._arm()
        threading.Thread(target=self._watch_all, daemon=True).start()
        return (yield)

    def _arm(self, seconds: float = math.inf) -> None:
        """In so many seconds, or where the whole has had its time, the stacks are printed and the session ends. Nothing
        that Python still has to do is needed for it."""
        left = min(seconds, self._all_end + _TOLD_S - time.monotonic())
        if left < math.inf:
            faulthandler.dump_traceback_later(max(left, 0.001), exit=True, file=self._errors)

    def _watch_all(self) -> None:
        if not self._over.wait(self._limit if self._limit < threading.TIMEOUT_MAX else None):
            os.write(self._errors, f"\nThe tests took longer than suite_timeout, {self._limit:g} seconds.\n".encode())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_exception_interact(self):
        try:
            return (yield)
        finally:  # pytest's own plugin has just cancelled what was armed
            self._arm(self._item_ends - time.monotonic())

    def _hear(self, event: str, arguments: tuple) -> None:
        self._began = self._began or event in _BEGIN

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item):
        limit, over = _limit(item), threading.Event()
        self._item_ends = time.monotonic() + limit + 3 * GRACE_S
        self._arm(limit + 3 * GRACE_S)
        threading.Thread(target=self._watch, args=(limit, over, time.time()), daemon=True).start()
        try:
            return (yield)
        finally:
            over.set()
            self._item_ends = math.inf
            faulthandler.cancel_dump_traceback_later()
            self._arm()

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
        own = {process.pid for process in (self._helper, *self._busy)}
        return [process for process in found if process.pid not in own]

    def pytest_unconfigure(self) -> None:
        self._over.set()
        faulthandler.cancel_dump_traceback_later()
        for loop in self._busy:
            loop.kill()
            loop.wait()
        self._helper.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._helper.wait(GRACE_S)


_CALLED = pytest.StashKey[float]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("suite_timeout", "seconds that all tests may take together; 0: any", default="0")
    parser.addini("busy_loops", "processes that compute for nothing beside the tests", default="0")


def pytest_configure(config: pytest.Config) -> None:
    for number in _ENDING:
        if signal.getsignal(number) is signal.SIG_IGN:  # what is ignored stays so in programs; what is handled doesn't
            signal.signal(number, lambda *heard: None)
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
