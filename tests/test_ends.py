"""The suite's own promise, over a small suite in a process of its own: nothing waits for ever, and nothing is left."""
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

WAIT_S = 60
BEGIN = """
import asyncio, os, subprocess, sys, time
import pytest

def sleeper(name):
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=True)
    with open(name, "w") as file:
        file.write(str(process.pid))
    return process

@pytest.fixture
def process():
    process = sleeper("pid")
    yield process
    process.wait()
"""


def suite(folder: Path, tests: str, *settings: str, **more) -> subprocess.Popen:
    """A session of pytest under way, with `tests` and a limit of a second, or with other settings."""
    (folder / "test_it.py").write_text(BEGIN + tests)
    (folder / "pytest.ini").write_text("[pytest]\ntimeout = 1\nasyncio_mode = auto\n")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "GPT2_ASSIST_TESTS_GRACE_S": "1",
                   "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # hypothesis takes a second to begin
    plugins = [f"-p{name}" for name in ("ends", "pytest_timeout", "pytest_asyncio.plugin", "no:cacheprovider")]
    words = ["-q", "-x", *plugins, *(f"-o{setting}" for setting in settings)]
    return subprocess.Popen([sys.executable, "-m", "pytest", *words], cwd=folder, env=environment,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)


def gone(pid: int) -> bool:
    """Whether a process has ended, or does so soon."""
    try:
        process = psutil.Process(pid)
        return process.status() == psutil.STATUS_ZOMBIE or process.wait(WAIT_S) is None
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("tests", [
    "def test_it(process): time.sleep(1000)\n",
    pytest.param("async def test_it():\n"
                 "    process = await asyncio.create_subprocess_exec('sleep', '1000')\n"
                 "    open('pid', 'w').write(str(process.pid))\n"
                 "    try: await asyncio.sleep(1000)\n"
                 "    finally: await process.wait()\n", marks=pytest.mark.slow)])
def test_a_teardown_that_waits_for_a_process_ends_with_it(tmp_path, tests):
    with suite(tmp_path, tests) as session:
        said = session.communicate(timeout=WAIT_S)[0]
    assert "Timeout" in said and "1 failed" in said
    assert gone(int((tmp_path / "pid").read_text()))


@pytest.mark.slow
def test_what_waits_for_nothing_that_can_end_is_ended_with_its_stacks(tmp_path):
    with suite(tmp_path, "def test_stubborn(process):\n"
               "    while True:\n"
               "        try: time.sleep(1000)\n"
               "        except BaseException: pass\n") as session:
        said = session.communicate(timeout=WAIT_S)[0]
    assert session.returncode == 1 and "in test_stubborn" in said
    assert gone(int((tmp_path / "pid").read_text()))


def test_what_a_test_leaves_behind_ends_with_it(tmp_path):
    with suite(tmp_path, "def test_leaves(): sleeper('pid')\n"
               "def test_after():\n"
               "    import psutil\n"
               "    pid = int(open('pid').read())\n"
               "    assert not psutil.pid_exists(pid) or psutil.Process(pid).wait(60) is not None\n") as session:
        said = session.communicate(timeout=WAIT_S)[0]
    assert "2 passed" in said


def test_nothing_is_left_where_pytest_itself_is_killed(tmp_path):
    with suite(tmp_path, "def test_it(process):\n"
               "    os.kill(os.getpid(), 9)\n") as session:
        session.communicate(timeout=WAIT_S)
    assert gone(int((tmp_path / "pid").read_text()))


@pytest.mark.slow
@pytest.mark.parametrize("tests", [
    "def test_it(): time.sleep(1000)\n",
    pytest.param("@pytest.mark.parametrize('number', range(10_000))\n"
                 "def test_it(number): time.sleep(0.1)\n", marks=pytest.mark.slow)])
def test_a_session_that_takes_too_long_ends_with_the_stack_of_each_thread(tmp_path, tests):
    began = ("import threading\n"
             "threading.Thread(target=lambda: time.sleep(1000), name='other', daemon=True).start()\n")
    with suite(tmp_path, began + tests, "timeout=500", "suite_timeout=3") as session:
        said = session.communicate(timeout=WAIT_S)[0]
    assert session.returncode == 1 and "took longer than suite_timeout, 3 seconds" in said
    assert "in test_it" in said and "in <lambda>" in said


@pytest.mark.slow
def test_a_failed_test_doesnt_put_the_end_off(tmp_path):
    with suite(tmp_path, "@pytest.fixture\n"
               "def slow():\n"
               "    yield\n"
               "    time.sleep(1000)\n"
               "def test_it(slow): assert False\n", "timeout=500", "suite_timeout=3") as session:
        said = session.communicate(timeout=WAIT_S)[0]
    assert session.returncode == 1 and "in slow" in said


@pytest.mark.parametrize("end, code", [("", 0), ("    os.kill(os.getpid(), 9)\n", -9)])
def test_busy_loops_run_beside_the_tests_and_end_with_them(tmp_path, end, code):
    with suite(tmp_path, "def test_it():\n"
               "    import psutil\n"
               "    loops = [child for child in psutil.Process().children() if 'while True' in child.cmdline()[-1]]\n"
               "    open('pid', 'w').write(' '.join(str(loop.pid) for loop in loops))\n"
               "    while not all(loop.cpu_times().user > 0.1 for loop in loops): pass\n" + end,
               "busy_loops=2", "timeout=100") as session:
        session.communicate(timeout=WAIT_S)
    pids = (tmp_path / "pid").read_text().split()
    assert session.returncode == code and len(pids) == 2 and all(gone(int(pid)) for pid in pids)


def test_programs_hear_signals_that_the_session_ignores(tmp_path):
    def ignoring() -> None:
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    with suite(tmp_path, "import signal\n"
               "@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGHUP])\n"
               "def test_it(number):\n"
               "    os.kill(os.getpid(), number)\n"
               "    with subprocess.Popen(['sleep', '1000']) as process:\n"
               "        process.send_signal(number)\n"
               "        assert process.wait(60) == -number\n", "timeout=100", preexec_fn=ignoring) as session:
        said = session.communicate(timeout=WAIT_S)[0]
    assert "2 passed" in said
