"""What is written to Lingma and read from it, piece by piece: questions, replies to pushes, files, faults."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from sfbridge.core.request import (
    ChatRequest,
    Message,
    Role,
    TextPart,
    ThoughtPart,
    ToolCall,
    ToolResult,
)
from sfbridge.upstream.lingma import acp, classic, prompt
from sfbridge.upstream.lingma.acknowledging import answers
from sfbridge.upstream.lingma.discovery import Info, find_binary, read_info
from sfbridge.upstream.lingma.faults import clean
from sfbridge.upstream.lingma.login import login_of
from sfbridge.upstream.lingma.mailbox import MOST_SIGNALS, Mailbox, Overrun
from sfbridge.upstream.lingma.models import Offered, offered
from sfbridge.upstream.lingma.process import environment
from sfbridge.upstream.lingma.signals import Heard, Other
from sfbridge.upstream.lingma.supervisor import Pauses
from sfbridge.upstream.lingma.switchboard import Switchboard
from tests.fakes.lingma_sim.installing import install


def says(role: Role, text: str) -> Message:
    return Message(role, (TextPart(text),))


def asked(*messages: Message, system: str = "") -> ChatRequest:
    return ChatRequest(model="m", messages=messages, system=(TextPart(system),) if system else ())


# ---- questions


def test_a_single_message_is_asked_as_it_is() -> None:
    """Without instructions or history there are no headings, and nothing is touched."""
    assert prompt.whole(asked(says("user", "[System]\nhi"))) == "[System]\nhi"


def test_a_conversation_has_its_headings() -> None:
    """Instructions, history and request stand under headings; headings without content are left out."""
    found = prompt.whole(
        asked(says("user", "a"), says("assistant", "b"), says("user", "c"), system="be good")
    )
    assert (
        found
        == "[System]\nbe good\n\n[Conversation so far]\nUser: a\nAssistant: b\n\n[Current request]\nc"
    )
    assert (
        prompt.whole(asked(says("user", "c"), system="s")) == "[System]\ns\n\n[Current request]\nc"
    )
    assert prompt.whole(asked(says("user", "a"), says("assistant", "b"))).endswith(
        "[Current request]\nContinue."
    )


def test_calls_and_results_are_told_by_name() -> None:
    """What native tools left in a history stays readable; thoughts are left out."""
    call = Message(
        "assistant", (ThoughtPart("hm"), TextPart("wait"), ToolCall("c1", "read", '{"a":1}'))
    )
    result = Message("user", (ToolResult("c1", (TextPart("text"),)), TextPart("and now?")))
    found = prompt.whole(asked(says("user", "go"), call, result))
    assert 'Assistant: wait\n[called read with {"a":1}]' in found
    assert found.endswith("[Current request]\nTool result (read, c1): text\nUser: and now?")
    assert "hm" not in found
    assert prompt.fresh((result,), (call, result)) == "Tool result (read, c1): text\nUser: and now?"


def test_what_is_new_is_asked_alone() -> None:
    """A known conversation hears the last words only, and several with their speakers."""
    assert prompt.fresh((says("user", "more"),), ()) == "more"
    assert (
        prompt.fresh((says("system", "note"), says("user", "more")), ())
        == "System: note\nUser: more"
    )


HEADINGS = [
    "[System]",
    "[Current request]",
    "[Conversation so far]",
    "User: x",
    "Assistant: y",
    "System: z",
    "Tool result (a, b): c",
]


@given(
    st.lists(st.sampled_from([*HEADINGS, "plain", ""]), max_size=6),
    st.lists(st.sampled_from(HEADINGS), max_size=4),
)
@settings(max_examples=100, deadline=None)
def test_nobody_speaks_for_another(user: Sequence[str], assistant: Sequence[str]) -> None:
    """However texts look, the headings of a question are exactly ours."""
    messages = (
        says("user", "\n".join(user) or "-"),
        says("assistant", "\n".join(assistant) or "-"),
        says("user", "end"),
    )
    lines = prompt.whole(asked(*messages, system="s")).split("\n")
    ours = [
        line
        for line in lines
        if line.startswith(
            ("[System]", "[Conv", "[Curr", "User: ", "Assistant: ", "System: ", "Tool result (")
        )
    ]
    assert [line.split(":")[0] for line in ours] == [
        "[System]",
        "[Conversation so far]",
        "User",
        "Assistant",
        "[Current request]",
    ]


def test_the_parameters_of_an_ask_are_those_of_the_reference() -> None:
    """Memory is off, no key of a model travels, the session is named, the text streams."""
    found = classic.ask("r", "s", "q", "auto", "chat")
    assert found == {
        "requestId": "r", "chatTask": "FREE_INPUT", "chatContext": None, "sessionId": "s", "codeLanguage": "",
        "isReply": False, "source": 1, "questionText": "q", "stream": True, "taskDefinitionType": "",
        "extra": {"modelConfig": {"key": "auto"}}, "sessionType": "chat", "targetAgent": "",
        "pluginPayloadConfig": {"isEnableAutoMemory": False}, "mode": "chat", "shellType": "", "customModel": None,
    }  # fmt: skip
    assert acp.prompt("r", "s", "q", "auto", "chat", "/w")["_meta"]["ai-coding/request-id"] == "r"


# ---- pushes


@pytest.mark.parametrize(("method", "reply"), [
    ("chat/answer", True), ("chat/think", True), ("chat/finish", True), ("chat/process_step_callback", None),
    ("session/title/update", None), ("tool/call/sync", None), ("quite/unknown", None), ("auth/report", None),
])  # fmt: skip
def test_every_push_has_its_reply(method: str, reply: Any) -> None:
    """Replies are those of the vendor's own client; unknown requests get null, whatever their parameters."""
    for params in (b"{}", b"null", b"[]", b'{"requestId": 7}', b'"x"'):
        assert answers(method, Raw(params), 0).reply is reply


def test_tools_and_permissions_are_refused() -> None:
    """An invocation fails, now or later; approvals are withheld; a permission is denied in both known forms."""
    tool = Raw(b'{"toolCallId":"c","name":"save_file","async":false}')
    assert answers("tool/invoke", tool, 5).reply["success"] is False
    later = answers("tool/invoke", Raw(b'{"toolCallId":"c","name":"f","async":true}'), 5)
    assert later.reply is None
    assert later.then is not None
    assert later.then[0] == "tool/invokeResult"
    for method, params in (
        ("tool/call/approve", b"{}"),
        ("chat/process_step_callback", b'{"status":"manual_confirm"}'),
    ):
        found = answers(method, Raw(params), 0)
        assert found.then is not None
        assert (found.then[0], found.then[1]["approval"]) == ("tool/call/approve", False)
    denied = answers("session/request_permission", Raw(b'{"requestId":"r"}'), 0).reply
    assert (denied["outcome"], denied["successful"]) == ({"outcome": "cancelled"}, False)


@given(st.sampled_from(["chat/answer", "chat/finish", "chat/think", "tool/call/sync", "tool/invoke", "x/y"]),
       st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                        st.sampled_from(["requestId", "sessionId", "text", "statusCode", "extra", "update", "_meta", "toolCallId",
                                         "toolCallStatus", "sessionUpdate", "content", "type", "data", "id", "tools"]), inner, max_size=5),
                    max_leaves=12))  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_pushes_of_any_shape_are_survived(method: str, params: Any) -> None:
    """A push of another release gives signals or nothing, never an exception."""
    raw = Raw(json.dumps(params).encode())
    classic.heard(method, raw)
    acp.heard(raw)
    answers(method, raw, 0)


def test_pushes_find_their_ask() -> None:
    """By request; by session where it has one ask; late ones and foreign ones are told apart and kept from everybody."""
    board, box = Switchboard(), Mailbox()
    board.add("r1", "s1", box)
    board.deliver(Heard("r1", "s1", [Other()]))
    board.deliver(Heard("", "s1", [Other()]))
    board.deliver(Heard("r9", "s1", [Other()]))
    board.remove("r1")
    board.deliver(Heard("r1", "s1", [Other()]))
    assert dict(board.counts) == {"orphan": 1, "late": 1}
    board.add("r2", "s", Mailbox())
    board.add("r3", "s", Mailbox())
    board.deliver(Heard("", "s", [Other()]))
    assert board.counts["orphan"] == 2
    board.deliver(Heard("r2", "their-name", []))
    assert board.session("r2") == "their-name"


async def test_a_client_that_does_not_keep_up_fails_alone() -> None:
    """A mailbox holds so many signals and no more; a failure comes after what was heard."""
    box = Mailbox()
    box.put([Other()])
    box.fail(ValueError("over"))
    assert await box.some(1) == [Other()]
    with pytest.raises(ValueError, match="over"):
        await box.some(1)
    full = Mailbox()
    for _ in range(MOST_SIGNALS + 1):
        full.put([Other()])
    with pytest.raises(Overrun):
        await full.some(1)
    with pytest.raises(TimeoutError):
        await Mailbox().some(0)


# ---- login, models, words


def test_of_a_login_only_its_state_is_kept() -> None:
    """Tokens and names are dropped while decoding; what cannot be read counts as logged out."""
    reply = b'{"status":2,"whitelist":3,"token":"SIM-SECRET","name":"SIM-SECRET","privacyPolicyAgreed":true}'
    assert "SIM-SECRET" not in repr(login_of(Raw(reply)))
    assert login_of(Raw(reply)).trouble == ""
    for broken in (b"null", b"[]", b'{"status":[]}'):
        assert login_of(Raw(broken)).trouble


def test_models_are_found_wherever_they_stand() -> None:
    """Scenes, lists and other names are walked; chat comes first, each model once, and keys of other kinds are not read."""
    reply = {"inline": [{"key": "i"}], "chat": [{"key": "auto", "displayName": "Auto", "apiKey": "SIM-SECRET"}],
             "deep": {"more": [{"modelId": "m", "label": "M"}, {"key": "auto", "displayName": "Other"}]}}  # fmt: skip
    assert offered(Raw(json.dumps(reply).encode())) == (
        Offered("auto", "Auto"),
        Offered("i"),
        Offered("m", "M"),
    )
    for nothing in (b"{}", b"null", b"[]", b'{"chat":null}', b"7"):
        assert offered(Raw(nothing)) == ()


@pytest.mark.parametrize("secret", [
    "https://x.test/a?token=SIM", "accessKey=SIM", "refreshToken: 'SIM'", '"api_key":"SIM"', "password = SIM",
    "wss://host/SIM", "a1b2c3d4e5f6a7b8c9d0e1f2SIM",
])  # fmt: skip
def test_vendors_words_are_cleaned(secret: str) -> None:
    """Addresses, pairs that name a secret and long opaque words never reach a client."""
    found = clean(f"failed with {secret} today")
    assert "SIM" not in found
    assert found.startswith("failed with")
    assert len(clean("x " * 5000)) <= 300


def test_restarts_come_ever_later_and_end() -> None:
    """Twice as long each time, give or take a fifth; after five within ten minutes no more, later again."""
    now = 0.0
    pauses = Pauses(1.0, lambda: now, lambda: 0.5)
    assert [pauses.next() for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 16.0, None]
    now = 601.0
    assert pauses.next() == 1.0
    assert Pauses(1.0, lambda: now, lambda: 0.0).next() == pytest.approx(0.8)


# ---- files and the environment


@pytest.mark.parametrize(("name", "text", "port"), [
    (".info.json", '{"websocketPort":36510,"pid":1}', 36510), (".info.json", '{"socketPort":5}', 5),
    (".info.json", '{"port":"77"}', 77), (".info", "36510\n12345\nipc", 36510), (".info", "36510\n12345", 36510),
    (".info.json", '{"websocketPort":36', None), (".info.json", '{"websocketPort":0}', None), (".info", "x\ny", None),
    (".info.json", '{"websocketPort":70000}', None), (".info", "", None), (".info.json", " " * 70000, None),
])  # fmt: skip
def test_discovery_files_of_every_age(
    tmp_path: Path, name: str, text: str, port: int | None
) -> None:
    """Both forms are read; what is torn, too large or out of range counts as not there yet."""
    (tmp_path / name).write_text(text)
    found = read_info(tmp_path)
    assert (found.port if found else None) == port


def test_the_newer_discovery_file_wins(tmp_path: Path) -> None:
    """Where both are there, JSON is believed."""
    (tmp_path / ".info").write_text("1\n2")
    (tmp_path / ".info.json").write_text('{"websocketPort":3,"pid":4}')
    found = read_info(tmp_path)
    assert found == Info(3, 4, os.stat(tmp_path / ".info.json").st_mtime)


def test_the_executable_is_found_by_number(tmp_path: Path) -> None:
    """The version of the configuration wins, else the highest number, not the last by letters."""
    bins = install(tmp_path / "lingma") / "bin"
    for version in ("2.9.1", "2.12.0", "2.5.0"):
        shutil.copytree(bins / "2.11.1", bins / version)
    folders = (tmp_path / "nowhere", tmp_path / "lingma")
    assert "2.11.1" in str(find_binary("", folders))
    (bins / "config.json").unlink()
    assert "2.12.0" in str(find_binary("", folders))
    (bins / "config.json").write_text('{"cosy.core.version":"2.5.0"}')
    assert "2.5.0" in str(find_binary("", folders))
    assert find_binary(str(tmp_path / "none"), folders) is None


def test_the_process_sees_a_short_list_of_variables() -> None:
    """Only what programs need, and what the configuration names; the loopback is never sent through a proxy."""
    given = {
        "PATH": "/bin",
        "HOME": "/h",
        "SFBRIDGE_KEYS__A": "x",
        "HTTPS_PROXY": "p",
        "NO_PROXY": "corp",
        "SECRET": "s",
    }
    assert environment(given, ()) == {
        "PATH": "/bin",
        "HOME": "/h",
        "NO_PROXY": "127.0.0.1,localhost",
    }
    found = environment(given, ("HTTPS_PROXY", "NO_PROXY"))
    assert found["HTTPS_PROXY"] == "p"
    assert found["NO_PROXY"] == "127.0.0.1,localhost,corp"
