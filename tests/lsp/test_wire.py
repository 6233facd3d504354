"""The server's end: whatever its streams are and whatever comes on them, it says a sentence and is gone."""
import json
import os
import select
import signal
import subprocess
import sys

import pytest

SERVER = [sys.executable, "-m", "gpt2_lsp"]
WAIT_S = 60
"""Far more than any of this takes, and less than a test's limit."""


def message(method: str, id: int | None = None, **params: object) -> bytes:
    body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params} | ({} if id is None else {"id": id}))
    return f"Content-Length: {len(body)}\r\n\r\n{body}".encode()


INITIALIZE = message("initialize", 1, processId=None, rootUri=None, capabilities={}, initializationOptions={
    "enabled": False})


@pytest.mark.parametrize("streams", [
    "</dev/null", "<&- >&- 2>&-", *(pytest.param(streams, marks=pytest.mark.slow) for streams in (
        "<&-", "</dev/null >&-", "</dev/null 2>&-", "</dev/zero", f"<{__file__}"))])
def test_streams_that_no_editor_holds_end_it_with_a_sentence(streams):
    done = subprocess.run(["sh", "-c", f'exec "$@" {streams}', "sh", *SERVER], capture_output=True, text=True,
                          timeout=WAIT_S)
    assert done.returncode in (2, 70) and "Traceback" not in done.stderr
    assert done.stdout == "" and ("2>&-" in streams or done.stderr.count("\n") == 1)


@pytest.mark.parametrize("data, code", [
    (b"hello\n", 2), (b"\0" * 100_000, 70), (b"Content-Length: 20000\r\n\r\n" + b"[" * 20000, 1), (INITIALIZE, 1),
    (INITIALIZE + message("shutdown", 2) + message("exit"), 0),
    *(pytest.param(*case, marks=pytest.mark.slow) for case in (
        (b"Content-Length: 9\r\n\r\n{}", 2), (b"Content-Length: -9\r\n\r\n{}", 2),
        (b"Content-Length: 999999999999\r\n\r\n{}", 70), (b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}", 2),
        (b"Content-Length: 2\r\n\r\n{}", 1), (b"Content-Length: 4\r\n\r\n[1]\n", 1),
        (b"Content-Length: 2\r\n\r\n\xff\xff", 1), (INITIALIZE + message("exit"), 1),
        (INITIALIZE + message("shutdown", 2), 0)))])
def test_whatever_comes_is_no_traceback_and_the_exit_code_tells(data, code):
    done = subprocess.run(SERVER, input=data, capture_output=True, timeout=WAIT_S)
    assert (done.returncode, b"Traceback" in done.stderr, b"line " in done.stderr) == (code, False, False)


def test_headers_are_read_as_those_of_the_web():
    body = INITIALIZE.partition(b"\r\n\r\n")[2]
    data = b"content-type: x\r\ncontent-length:%d\n\n" % len(body) + body + message("exit")
    done = subprocess.run(SERVER, input=data, capture_output=True, timeout=WAIT_S)
    assert b'"id": 1' in done.stdout


def test_questions_after_a_shutdown_are_refused():
    data = INITIALIZE + message("shutdown", 2) + message("gpt2/inlineCompletion", 3) + message("exit")
    done = subprocess.run(SERVER, input=data, capture_output=True, timeout=WAIT_S)
    assert b'"id": 3' in done.stdout and b'"code": -32600' in done.stdout and done.returncode == 0


def test_it_ends_when_nobody_hears_it():
    with subprocess.Popen(SERVER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        server.stdout.close()
        server.stdin.write(INITIALIZE)
        server.stdin.flush()
        assert server.wait(WAIT_S) == 1


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="other systems have no handle of a process")
def test_it_ends_with_the_editor_though_others_hold_its_input():
    reading, writing = os.pipe()
    begin = ("import subprocess, sys, time; print(subprocess.Popen(sys.argv[1:], stdout=2).pid, flush=True); "
             "time.sleep(99)")
    with subprocess.Popen([sys.executable, "-c", begin, *SERVER], stdin=reading, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as editor:
        os.close(reading)
        server = os.pidfd_open(int(editor.stdout.readline()))
        os.write(writing, INITIALIZE)
        assert editor.stderr.readline()  # its answer
        editor.kill()
        ended = bool(select.select([server], [], [], WAIT_S)[0])
        if not ended:
            signal.pidfd_send_signal(server, signal.SIGKILL)
    os.close(writing)
    assert ended
