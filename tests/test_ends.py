"""The suite's own promise, over a small suite in a process of its own: nothing waits for ever, and nothing is left."""
import os
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


def suite(folder: Path, tests: str) -> subprocess.Popen:
    """A session of pytest under way, with `tests` and a limit of a second."""
    (folder / "test_it.py").write_text(BEGIN + tests)
    (folder / "pytest.ini").write_text("[pytest]\ntimeout = 1\nasyncio_mode = auto\n")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "GPT2_ASSIST_TESTS_GRACE_S": "1"}
    return subprocess.Popen([sys.executable, "-m", "pytest", "-q", "-x", "-p", "ends", "-p", "no:cacheprovider"],
                            cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def gone(pid: int) -> bool:
    """Whether a process has ended, or does so soon."""
    try:
        process = psutil.Process(pid)
        return process.status() == psutil.STATUS_ZOMBIE or process.wait(WAIT_S) is None
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("tests", [
    "def test_it(process): time.sleep(1000)\n",
    "async def test_it():\n"
    "    process = await asyncio.create_subprocess_exec('sleep', '1000')\n"
    "    open('pid', 'w').write(str(process.pid))\n"
    "    try: await asyncio.sleep(1000)\n"
    "    finally: await process.wait()\n"])
def test_a_teardown_that_waits_for_a_process_ends_with_it(tmp_path, tests):
    with suite(tmp_path, tests) as session:
        said = session.communicate(timeout=WAIT_S)[0]
    assert "Timeout" in said and "1 failed" in said
    assert gone(int((tmp_path / "pid").read_text()))


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
