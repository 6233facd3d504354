"""The language server over its pipe, with the bundled model through a real daemon: what LSP and our page promise."""
import asyncio
import os
import signal
import subprocess
import sys

import pytest
from editor import AUTOMATIC, INVOKED, PROSE, Editor, editor
from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcRequestCancelled

from gpt2_assist.config import home
from gpt2_assist.ipc.client import AsyncClient

URI = "file:///nowhere/story.txt"
WITH_INLINE = types.ClientCapabilities(text_document=types.TextDocumentClientCapabilities(
    inline_completion=types.InlineCompletionClientCapabilities()))


def with_encoding(encoding: str) -> types.ClientCapabilities:
    return types.ClientCapabilities(general=types.GeneralClientCapabilities(position_encodings=[encoding]))


async def mini_worker(client: AsyncClient) -> dict:
    return next(worker for worker in (await client.status())["workers"] if worker["model"] == "mini")


async def worker_states() -> list[str]:
    async with await AsyncClient.connect("tests") as client:
        return [worker["state"] for worker in (await client.status())["workers"]]


async def test_capabilities_are_those_of_the_standard_and_ours_only_where_asked_for():
    async with editor(capabilities=WITH_INLINE) as one:
        offered = one.result.capabilities
        assert offered.inline_completion_provider == types.InlineCompletionOptions()
        assert offered.completion_provider is None and offered.experimental is None
        assert offered.text_document_sync.change == types.TextDocumentSyncKind.Incremental
        assert set(offered.execute_command_provider.commands) >= {"gpt2.status", "gpt2.toggle", "gpt2.model"}
    async with editor({"streaming": True}) as one:
        assert one.result.capabilities.experimental == {"gpt2": {"streaming": True}}
        assert one.result.capabilities.completion_provider is None
    async with editor() as one:
        assert one.result.capabilities.completion_provider is not None


async def test_auto_is_shown_as_the_model_that_it_is_and_a_better_one_said_once(monkeypatch):
    monkeypatch.setenv("GPT2_ASSIST_OFFLINE", "")
    catalogue = home() / "catalogue.toml"
    catalogue.write_text('auto = ["other", "mini"]\n[models.other]\ngood_for = "tests"\nparameters = 1\n'
                         'bytes = 5000000\nlicence = "MIT"\nrepository = "someone/other"\n')
    try:
        async with editor({"model": "auto"}) as one:
            status = await one.status(state="ready")
            assert status.model == "mini"
            assert status.message == "A better model can be had: `gpt2-assist pull other`, 5 MB."
            one.open(URI, PROSE)
            await one.ask(URI)
            await one.command("gpt2.model", "mini")
            assert (await one.command("gpt2.status")).message == ""
    finally:
        catalogue.unlink()


async def test_an_automatic_question_gets_one_item_at_the_cursor_an_explicit_one_more_with_that_first():
    async with editor() as one:
        one.open(URI, PROSE)
        result = await one.ask(URI)
        (item,) = result.items
        assert item.insert_text and item.range == types.Range(one.end(URI), one.end(URI))
        assert item.command.command == "gpt2.accepted"
        several = await one.texts_at(URI, INVOKED)
        assert several[0] == item.insert_text and 2 <= len(set(several)) == len(several) <= 3
        assert await one.texts_at(URI, INVOKED) == several


async def test_snapshots_grow_into_the_answer():
    async with editor({"streaming": True, "proseUnit": "paragraph"}) as one:
        grown = 0
        for number in range(10):  # now and then the model is quicker than the pipe, and all comes at once
            uri = f"file:///nowhere/{number}.txt"
            one.snapshots.clear()
            one.open(uri, f"Chapter {number}. She said that the ")
            answer = await one.ask_streamed(uri)
            texts = [snapshot["text"] for snapshot in one.snapshots]
            assert all(later.startswith(sooner) for sooner, later in zip(texts, texts[1:]))
            assert [snapshot["sequence"] for snapshot in one.snapshots] == list(range(len(texts)))
            assert one.snapshots[-1]["final"] and answer.items[0].insertText == texts[-1]
            assert {snapshot["session"] for snapshot in one.snapshots} == {answer.session}
            grown += len(texts) > 1
        assert grown


async def test_typing_along_shows_the_rest_and_costs_no_model_work():
    async with editor() as one:
        one.open(URI, PROSE)
        (shown,) = await one.texts_at(URI)
        session = (await one.ask(URI)).items[0].command.arguments[0]["session"]
        for count in range(1, len(shown)):
            one.type(URI, shown[count - 1])
            (item,) = (await one.ask(URI)).items
            assert item.insert_text == shown[count:]
            assert item.command.arguments[0]["session"] == session


async def test_accepting_all_goes_on_at_once_and_deleting_brings_the_same_back():
    async with editor({"proseUnit": "paragraph", "maxTokens": 12, "deadlineMs": 10_000}) as one:
        one.open(URI, PROSE)
        (shown,) = await one.texts_at(URI)
        end = one.end(URI)
        one.type(URI, shown)
        assert await one.texts_at(URI, INVOKED)
        one.change(URI, end, one.end(URI), "")
        one.texts[URI] = PROSE
        assert await one.texts_at(URI) == [shown]


async def test_typing_something_else_gives_another_text_for_the_new_place():
    async with editor() as one:
        one.open(URI, PROSE)
        (shown,) = await one.texts_at(URI)
        letter = "q" if not shown.startswith("q") else "z"
        one.type(URI, letter)
        result = await one.ask(URI)
        assert all(item.range.start == one.end(URI) for item in result.items)


async def test_an_older_question_is_answered_with_null_once_a_newer_came_and_never_after_it():
    async with editor({"maxTokens": 200, "proseUnit": "paragraph", "deadlineMs": 10_000}) as one:
        one.open(URI, PROSE)
        answered = []
        questions = []
        for number in range(8):
            question = one.ask(URI)
            question.add_done_callback(lambda _, number=number: answered.append(number))
            questions.append(question)
            one.type(URI, "xyz "[number % 4])
        questions.append(one.ask(URI))
        *older, newest = await asyncio.gather(*questions)
        assert all(result is None for result in older)
        assert newest is not None and newest.items and newest.items[0].range.start == one.end(URI)
        assert answered == sorted(answered)


async def test_a_cancelled_question_is_answered_as_cancelled():
    async with editor({"idleMs": 60_000}) as one:
        one.open(URI, PROSE)
        question = one.ask(URI)
        one.client.cancel_request(types.CancelParams(next(reversed(one.client.protocol._request_futures))))
        with pytest.raises(JsonRpcRequestCancelled):
            await question
        assert await one.texts_at(URI, INVOKED)


async def test_the_model_stops_when_nobody_looks_any_more():
    async with editor({"maxTokens": 512, "proseUnit": "paragraph", "streaming": True}) as one:
        one.open(URI, PROSE)
        question = one.ask_streamed(URI)
        await one.snapshot_came.wait()
        one.client.protocol.notify("gpt2/dismissed", {"textDocument": {"uri": URI}})
        assert (await question).reason in ("superseded", "")
        async with asyncio.timeout(5):
            while "generating" in await worker_states():
                pass


@pytest.mark.parametrize("encoding, width", [
    ("utf-8", 4), pytest.param("utf-16", 2, marks=pytest.mark.slow), pytest.param("utf-32", 1, marks=pytest.mark.slow)])
async def test_positions_are_counted_as_agreed(encoding, width):
    async with editor(capabilities=with_encoding(encoding)) as one:
        assert one.result.capabilities.position_encoding == encoding
        emoji = "😀😀 "
        one.open(URI, emoji + PROSE)
        end = types.Position(0, 2 * width + 1 + len(PROSE))
        (shown,) = await one.texts_at(URI, position=end)
        one.change(URI, types.Position(0, 0), types.Position(0, width), "")  # one emoji less
        moved = types.Position(0, end.character - width)
        first = await one.texts_at(URI, position=moved)
        one.open("file:///nowhere/other.txt", "😀 " + PROSE)
        assert first == await one.texts_at("file:///nowhere/other.txt", position=moved)


@pytest.mark.parametrize("capabilities", [None, pytest.param(with_encoding("utf-16"), marks=pytest.mark.slow)])
async def test_half_a_character_keeps_no_document_from_its_completions(capabilities):
    async with editor(capabilities=capabilities) as one:
        one.open("file:///nowhere/half.txt", PROSE + "\ud83d " + PROSE)
        assert await one.texts_at("file:///nowhere/half.txt")
        one.open(URI, PROSE)
        (shown,) = await one.texts_at(URI)
        one.change(URI, types.Position(0, 0), types.Position(0, 0), "\ud83d")
        one.change(URI, types.Position(0, 1), types.Position(0, 1), "\ude00 ")
        whole = await one.texts_at(URI, position=types.Position(0, 3 + len(PROSE)))
        one.change(URI, types.Position(0, 1), types.Position(0, 3), "")  # its second half
        one.change(URI, types.Position(0, 0), types.Position(0, 1), "")
        assert await one.texts_at(URI, position=types.Position(0, len(PROSE))) == [shown]
        one.open("file:///nowhere/whole.txt", "😀 " + PROSE)
        assert await one.texts_at("file:///nowhere/whole.txt") == whole
        one.change(URI, types.Position(0, 0), types.Position(0, 0), "😀")
        one.change(URI, types.Position(0, 1), types.Position(0, 1), "x")  # between its halves
        one.change(URI, types.Position(0, 1), types.Position(0, 2), "")
        one.change(URI, types.Position(0, 0), types.Position(0, 2), "")
        assert await one.texts_at(URI, position=types.Position(0, len(PROSE))) == [shown]


async def test_the_text_of_a_selected_menu_entry_is_gone_on_from():
    async with editor() as one:
        text = "The lighthouse keeper saw the sh"
        one.open(URI, text)
        start = types.Position(0, len(text) - 2)
        info = types.SelectedCompletionInfo(types.Range(start, one.end(URI)), "ship")
        (item,) = (await one.ask(URI, info=info)).items
        assert item.insert_text.startswith("ship") and len(item.insert_text) > 4 and item.range == info.range


async def test_documents_are_answered_side_by_side():
    async with editor({"deadlineMs": 10_000}) as one:
        uris = [f"file:///nowhere/{number}.txt" for number in range(6)]
        for number, uri in enumerate(uris):
            one.open(uri, f"Chapter {number}. {PROSE}")
        together = await asyncio.gather(*(one.texts_at(uri) for uri in uris))
        assert all(together)
    async with editor({"deadlineMs": 10_000}) as one:
        for number, (uri, texts) in enumerate(zip(uris, together)):
            one.open(uri, f"Chapter {number}. {PROSE}")
            assert await one.texts_at(uri) == texts


async def test_clients_without_inline_completion_get_one_entry_that_begins_with_the_word():
    async with editor() as one:
        one.open(URI, "The lighthouse keeper went down to the se")
        result = await one.client.text_document_completion_async(
            types.CompletionParams(types.TextDocumentIdentifier(URI), one.end(URI)))
        (item,) = result.items
        assert result.is_incomplete and item.filter_text == "se" and item.text_edit.new_text.startswith("se")
        assert item.text_edit.range.start.character == len(one.texts[URI]) - 2
        assert item.text_edit.range.end == one.end(URI)


async def test_a_menu_asked_for_twice_at_a_place_was_opened_by_hand():
    async with editor({"confidence": 1}) as one:
        async def menu() -> list[types.CompletionItem]:
            return (await one.client.text_document_completion_async(
                types.CompletionParams(types.TextDocumentIdentifier(URI), one.end(URI)))).items
        one.open(URI, PROSE)
        assert not await menu()
        items = await menu()
        assert len(items) > 1 and [item.sort_text for item in items] == sorted(item.sort_text for item in items)
        one.type(URI, "old ")
        assert not await menu()


@pytest.mark.parametrize("options, uri, language, reason", [
    ({"enabled": False}, URI, "plaintext", "off"),
    ({}, "file:///nowhere/.env", "dotenv", "excluded"),
    ({"confidence": 1}, URI, "plaintext", "nothing confident"),
    *(pytest.param(*case, marks=pytest.mark.slow) for case in (
        ({"disabledLanguages": ["plaintext"]}, URI, "plaintext", "off in this language"),
        ({}, "file:///home/me/.ssh/config", "sshconfig", "excluded"),
        ({"exclude": ["*.md"]}, "file:///nowhere/a.md", "markdown", "excluded"),
        ({"maxFileKb": 1}, URI, "plaintext", "too large")))])
async def test_a_reason_is_given_whenever_nothing_is_shown(options, uri, language, reason):
    async with editor({**options, "streaming": True}) as one:
        one.open(uri, PROSE * 30, language)
        answer = await one.ask_streamed(uri)
        assert not answer.items and answer.reason.startswith(reason)
        assert (await one.command("gpt2.status", {"uri": uri})).reason.startswith(reason)
        assert not (await one.ask(uri)).items


async def test_inside_a_word_nothing_is_shown_unless_asked_for():
    async with editor({"streaming": True}) as one:
        one.open(URI, PROSE)
        inside = types.Position(0, 5)
        assert await one.texts_at(URI, AUTOMATIC, inside) == []
        assert (await one.command("gpt2.status")).reason == "inside a word"


async def test_off_means_no_model_work_at_all_and_on_again_works():
    async with await AsyncClient.connect("tests") as client:
        await client.shutdown()  # whatever model is loaded goes
    async with editor({"enabled": False}) as one:
        one.open(URI, PROSE)
        for letter in "and so on":
            one.type(URI, letter)
            assert not (await one.ask(URI)).items
        assert await worker_states() == []
        assert (await one.command("gpt2.toggle", {"scope": "all"})).enabled
        assert await one.texts_at(URI) or await one.texts_at(URI, INVOKED)


async def test_languages_and_files_are_switched_by_themselves():
    async with editor() as one:
        other = "file:///nowhere/other.txt"
        one.open(URI, PROSE)
        one.open(other, PROSE)
        await one.command("gpt2.toggle", {"scope": "file", "uri": URI, "enabled": False})
        assert not (await one.ask(URI)).items and (await one.ask(other)).items
        await one.command("gpt2.toggle", {"scope": "file", "uri": URI})
        await one.command("gpt2.toggle", {"scope": "language", "uri": URI})
        assert not (await one.ask(URI)).items and not (await one.ask(other)).items
        await one.command("gpt2.toggle", {"scope": "language", "language": "plaintext", "enabled": True})
        assert (await one.ask(URI)).items
        with pytest.raises(JsonRpcException, match="can't switch"):
            await one.command("gpt2.toggle", {"scope": "galaxy"})


async def test_models_are_listed_and_switched(tiny_model):
    async with editor() as one:
        one.open(URI, PROSE)
        (before,) = await one.texts_at(URI)
        names = {model["name"]: model["current"] for model in await one.command("gpt2.models")}
        assert names["mini"] is True
        status = await one.command("gpt2.model", str(tiny_model))
        assert status.model == str(tiny_model) and status.state == "ready"
        assert await one.texts_at(URI, INVOKED) != [before]
        status = await one.command("gpt2.model", "no-such-model")
        assert status.state == "error" and "no-such-model" in status.message
        assert not (await one.ask(URI)).items
        await one.command("gpt2.model", "mini")
        assert await one.texts_at(URI) == [before]


async def test_settings_change_without_a_restart_and_nonsense_is_said():
    async with editor() as one:
        one.open(URI, PROSE)
        assert await one.texts_at(URI)
        one.client.workspace_did_change_configuration(types.DidChangeConfigurationParams(
            {"gpt2Assist": {"confidence": 1, "maxLines": "many"}}))
        assert not (await one.ask(URI)).items
        assert any("maxLines" in message for message in one.messages)


async def test_the_deadline_gives_the_first_useful_text_and_the_rest_is_announced():
    options = {"proseUnit": "paragraph", "finishedNotifications": True, "maxTokens": 256}
    texts = {f"file:///nowhere/{number}.txt": f"Chapter {number}. She said that the " for number in range(60)}
    async with editor({**options, "deadlineMs": 10_000}) as patient, editor({**options, "deadlineMs": 0}) as hurried:
        for uri, text in texts.items():
            patient.open(uri, text)
            hurried.open(uri, text)
            (whole,), (early,) = await patient.texts_at(uri), await hurried.texts_at(uri)
            assert whole.startswith(early)
            if early != whole:  # now and then the model is quicker than the pipe
                announced = await asyncio.wait_for(hurried.finished.get(), 10)
                assert (announced.uri, announced.version) == (uri, 1)
                assert await hurried.texts_at(uri) == [whole]
                return
        pytest.fail("No text was ever given before it was whole.")


async def test_a_worker_that_stands_still_keeps_no_question_waiting():
    async with editor({"deadlineMs": 120}) as one, await AsyncClient.connect("tests") as client:
        one.open(URI, PROSE)
        while not await one.texts_at(URI):
            pass
        pid = (await mini_worker(client))["pid"]
        os.kill(pid, signal.SIGSTOP)
        while (await mini_worker(client))["state"] != "standing still":
            pass
        one.open("file:///nowhere/again.txt", PROSE)
        assert await one.texts_at("file:///nowhere/again.txt") == []
        status = await one.command("gpt2.status")
        assert status.reason == "loading: its worker stands still; if it stays so, another one takes over"
        os.kill(pid, signal.SIGCONT)
        while not await one.texts_at("file:///nowhere/again.txt"):
            pass


async def test_on_battery_nothing_is_done_before_a_pause():
    async with editor({"idleMs": 60_000}) as one:
        one.open(URI, PROSE)
        waiting = one.ask(URI)
        await one.command("gpt2.status")
        assert not waiting.done()
        one.type(URI, "x")
        assert await waiting is None
        assert await one.texts_at(URI, INVOKED)


async def test_a_killed_daemon_is_started_again_in_the_middle_of_a_question():
    async with editor({"deadlineMs": 60_000, "maxTokens": 512, "proseUnit": "paragraph", "streaming": True}) as one:
        one.open(URI, PROSE)
        async with await AsyncClient.connect("tests") as client:
            pid = (await client.status())["pid"]
        question = one.ask_streamed(URI)
        await one.snapshot_came.wait()
        os.kill(pid, signal.SIGKILL)
        answer = await question
        one.open("file:///nowhere/again.txt", PROSE)
        again = await one.ask_streamed("file:///nowhere/again.txt")
        assert answer.items and answer.items[0].insertText == again.items[0].insertText


async def test_a_killed_server_takes_nothing_with_it():
    one = Editor()
    await one.start({"confidence": 0})
    one.open(URI, PROSE)
    os.kill(one.pid, signal.SIGKILL)
    await one.client._server.wait()
    await one.client.stop()
    async with editor() as another:
        another.open(URI, PROSE)
        assert await another.texts_at(URI)


async def test_every_request_is_answered_whatever_it_holds():
    async with editor({"streaming": True}) as one:
        one.open(URI, PROSE)
        request = one.client.protocol.send_request_async
        for method, params in [
                ("gpt2/inlineCompletion", {}), ("gpt2/inlineCompletion", None), ("gpt2/inlineCompletion", [1]),
                ("gpt2/inlineCompletion", {"textDocument": {"uri": URI}, "position": {"line": "x", "character": 1}}),
                ("gpt2/unknown", {}),
                ("workspace/executeCommand", types.ExecuteCommandParams("gpt2.nothing", arguments=[])),
                ("workspace/executeCommand", types.ExecuteCommandParams("gpt2.model", arguments=[3]))]:
            with pytest.raises(JsonRpcException):
                await request(method, params)
        far = await one.ask(URI, position=types.Position(1_000_000, 1_000_000))
        assert far.items is not None
        gone = await one.ask("file:///nowhere/never-opened.txt", position=types.Position(0, 0))
        assert not gone.items
        assert (await one.ask_streamed(URI, version=77)).reason == "superseded"
        assert await one.texts_at(URI)


async def test_no_text_is_in_the_logs(tmp_path):
    secret = "xylophonequartz"
    log = tmp_path / "log"
    one = Editor()
    await one.client.start_io("sh", "-c", f"exec {sys.executable} -m gpt2_lsp 2>{log}", env=dict(os.environ))
    await one.client.initialize_async(types.InitializeParams(capabilities=types.ClientCapabilities()))
    one.client.initialized(types.InitializedParams())
    one.open(URI, PROSE + secret)
    await one.ask(URI)
    for params in ({"textDocument": secret}, secret, {"textDocument": {"uri": [secret]}}):
        one.client.protocol.notify("gpt2/accepted", params)
    await one.command("gpt2.status")
    await one.stop()
    text = log.read_text()
    assert secret not in text and "lighthouse" not in text


def test_the_server_is_thin():
    code = "import sys, gpt2_lsp.server; print({'torch', 'numba', 'numpy', 'llvmlite'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
