"""A program that is killed leaves every word that it had taken, and its session opens again."""
import subprocess
import sys
import textwrap

from gpt2_assist.writing.session import Session
from gpt2_assist.writing.store import SessionStore


def test_a_reply_that_grew_when_its_program_was_killed_is_there(tmp_path):
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from gpt2_assist.writing.session import Session
        from gpt2_assist.writing.store import SessionStore
        folder = Path(sys.argv[1])
        session = Session(SessionStore(folder / "sessions.sqlite"), folder, "m", "s")
        session.write("Once ")
        session.begin_reply({"model": "m"})
        session.grow("upon a ")
        session.grow("time")
        session.save_draft("unsent", 2)
        print("grown", flush=True)
        sys.stdin.read()
        """)
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "grown\n"
    finally:
        process.kill()
        process.communicate(timeout=60)
    store = SessionStore(tmp_path / "sessions.sqlite")
    session = Session.reopen(store, tmp_path, "s")
    assert session.text == "Once upon a time" and (session.draft, session.draft_cursor) == ("unsent", 2)
    assert session.last.finished and session.saved
    assert store.search("upon", 9) == [("s", 2, "upon a time")]
    session.close()
    store.close()
