"""Standard streams that are full, closed, left by their reader or of another encoding: each program says so in a
sentence, or nothing where nobody reads, and none ends in a fault of its own."""
import json
import os
import re
import subprocess
import sys

import pytest

COMMANDS = ["gpt2_assist --help", "gpt2_assist --version", "gpt2_assist.cli generate --help", "gpt2_assist.cli models",
            "gpt2_assist.cli daemon status", "gpt2_assist.cli doctor", "gpt2_assist.repl.main --help",
            "gpt2_assist.cli generate hello --max-new-tokens 3 --model {model}",
            "gpt2_assist.cli generate hello --max-new-tokens 3 --model {model} -n 2 --json",
            "gpt2_assist.repl.main --model {model}"]


def shell(command: str, model, redirection: str, **more) -> subprocess.CompletedProcess:
    words = f"{sys.executable} -m {command.format(model=model)} {redirection}"
    return subprocess.run(["bash", "-o", "pipefail", "-c", words], capture_output=True, timeout=100,
                          **{"input": b"hello\n", **more})


@pytest.fixture(scope="module", autouse=True)
def daemon(tiny_model):
    """Runs already, so that `daemon status` has something to say and exits with 0."""
    assert shell("gpt2_assist.cli generate hello --max-new-tokens 3 --model {model}", tiny_model, "").returncode == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_output_that_is_refused_is_one_sentence_and_a_reader_that_left_is_none(command, tiny_model):
    for redirection in ("> /dev/full", ">&-"):
        done = shell(command, tiny_model, redirection)
        assert done.returncode == 6 and done.stderr.startswith(b"The output can't be written"), done
        assert done.stderr.count(b"\n") == 1
    done = shell(command, tiny_model, "| true")
    assert done.returncode in (0, 141) and not done.stderr, done  # 0: it was quicker than its reader's end


@pytest.mark.parametrize("command", COMMANDS)
def test_closed_streams_disturb_nobody(command, tiny_model):
    done = shell(command, tiny_model, "2>&-")
    assert done.returncode == 0 and done.stdout
    done = shell(command, tiny_model, "<&- >&- 2>&-")
    assert done.returncode in (4, 6)  # 4: it wanted to read
    done = shell(command, tiny_model, "<&-")
    if "repl.main --model" in command:
        assert done.returncode == 4 and b"Standard input can't be read" in done.stderr
    else:
        assert done.returncode == 0 and done.stdout and not done.stderr


@pytest.mark.parametrize("locale", [
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    *(pytest.param({"PYTHONIOENCODING": name}, marks=pytest.mark.slow) for name in ("ascii", "latin-1", "cp1252"))])
def test_what_an_encoding_lacks_has_a_stand_in(locale, tiny_model, tmp_path):
    environment = {**os.environ, **locale}
    (tmp_path / "春.txt").write_text("春眠不覺曉 é", encoding="utf-8")
    for command, code in ((f"gpt2_assist.cli generate -f '{tmp_path}/春.txt'", 0),
                          ("gpt2_assist.cli generate '春眠不覺曉 é'", 0), ("gpt2_assist.repl.main", 0),
                          ("gpt2_assist.cli models show", 2), ("gpt2_assist.cli models show 春", 3),
                          ("gpt2_assist.cli runs show 春", 4), ("gpt2_assist.cli originality 春 --run 春", 4)):
        more = " --include-prefix --max-new-tokens 3" if "generate" in command else ""
        model = " --model {model}" if code == 0 else ""
        done = shell(command + more + model, tiny_model, "", env=environment, input="春眠\n".encode())
        assert done.returncode == code and b"inside" not in done.stderr, done
    command = "gpt2_assist.cli generate '春眠 é' --include-prefix --json --max-new-tokens 3 --model {model}"
    done = shell(command, tiny_model, "", env=environment)
    assert json.loads(done.stdout)["text"].startswith("春眠 é")
    written = tmp_path / "out.txt"
    done = shell(command.replace("--json", f"-o {written}"), tiny_model, "", env=environment)
    assert written.read_text(encoding="utf-8").startswith("春眠 é")


def test_a_command_line_that_is_no_utf_8_is_a_prompt_and_a_file_all_the_same(tiny_model, tmp_path):
    command = "gpt2_assist.cli generate --max-new-tokens 3 --include-prefix --model {model}"
    done = shell(command + " $'caf\\xe9' --stop $'\\xe9x'", tiny_model, "")
    assert done.returncode == 0 and done.stdout.decode().startswith("caf\ufffd"), done
    file = os.path.join(os.fsencode(tmp_path), b"caf\xe9.txt")
    with open(file, "w", encoding="utf-8") as output:
        output.write("The model")
    done = shell(command + f" -f '{tmp_path}/'$'caf\\xe9.txt' -o '{tmp_path}/'$'out\\xe9.txt'", tiny_model, "")
    assert done.returncode == 0, done
    with open(os.path.join(os.fsencode(tmp_path), b"out\xe9.txt"), encoding="utf-8") as made:
        assert made.read().startswith("The model")
    done = shell("gpt2_assist runs", tiny_model, "", env={**os.environ, "GPT2_ASSIST_HOME": "/tmp/caf\udce9"})
    assert done.returncode == 2 and "The home folder /tmp/caf\ufffd" in done.stderr.decode()
    for words in ("generate hi --model", "models show", "models import"):
        done = shell(f"gpt2_assist {words} $'/tmp/no\\xe9'", tiny_model, "")
        assert done.returncode in (3, 4) and b"inside" not in done.stderr and done.stderr.count(b"\n") == 1, done
    done = shell(command + f" -f '{tmp_path}/'$'no\\xe9\\e[31m.txt'", tiny_model, "")
    assert done.returncode == 4 and b"No such file" in done.stderr and b"\x1b" not in done.stderr


def test_a_work_goes_on_where_nobody_hears_of_it(tiny_model):
    program = ("import os, sys; from gpt2_assist.console.streams import Telling, ready\n"
               "ready() if sys.argv[1] == 'ready' else None\n"
               "told = Telling('the work')\n"
               "os.close(int(sys.argv[2])) if sys.argv[2] != '-' else None\n"
               "for line in range(3): told.write(f'{line} ▁▂ 春\\n')\n"
               "print('done', file=sys.stderr)")
    for streams in ("ready", "plain"):
        for descriptor, redirection in (("-", "> /dev/full"), ("-", ">&-"), ("1", "")):
            done = subprocess.run(["bash", "-c", f"\"$0\" -c \"$1\" {streams} {descriptor} {redirection}",
                                   sys.executable, program], capture_output=True, text=True, timeout=60)
            note = "" if (streams, redirection) == ("plain", ">&-") else "note"  # nobody is told of what isn't there
            assert re.sub("^.+; the work goes on.\n", "note", done.stderr) == note + "done\n", done
    done = subprocess.run([sys.executable, "-c", program, "plain", "-"], capture_output=True, timeout=60,
                          env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    assert done.stdout == b"0 ?? ?\n1 ?? ?\n2 ?? ?\n" and done.stderr == b"done\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_what_is_written_to_both_streams_keeps_its_order(unbuffered):
    words = ("import sys; from gpt2_assist.console.streams import ready; ready(); print('first', file=sys.stderr); "
             "print('second', flush=True); print('third', file=sys.stderr)")
    done = subprocess.run([sys.executable, "-c", words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                          env={**os.environ, "PYTHONUNBUFFERED": unbuffered})
    assert done.stdout.split() == [b"first", b"second", b"third"]
