"""Conversations with the `claude` command (imitated): in one process, in its session, or told anew."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from claude_bench import StartClaude, openai_tools, results, said, user
from speak import WIRES

BOTH = pytest.mark.parametrize("wire", WIRES)
MODES = pytest.mark.parametrize("stream", [False, True], ids=["fold", "stream"])


@BOTH
@MODES
async def test_words_come_back(claude: StartClaude, wire: str, stream: bool) -> None:
    """A question is answered on both wires, with the usage that the command reported."""
    bench = await claude()
    answer = await bench.ask(wire, "Say hello.", stream=stream, **_told(wire, stream))
    assert (answer.whole, answer.text) == (True, "You said: Say hello.")
    counted = answer.usage.get("completion_tokens") or answer.usage.get("output_tokens")
    assert counted == 42


async def test_a_stream_comes_as_it_is_spoken(claude: StartClaude) -> None:
    """Every piece that the command prints leaves as one of the stream, and no text leaves twice."""
    bench = await claude()
    answer = await bench.ask("openai", "Speak slowly.", stream=True)
    deltas = re.findall(rb'"content":"([^"]+)"', answer.body)
    assert len(deltas) >= 2
    assert b"".join(deltas) == b"You said: Speak slowly."


async def test_the_prompt_is_in_no_argument(claude: StartClaude) -> None:
    """Prompt, system prompt and key are not among the arguments, which other users of the machine can read."""
    bench = await claude(billing="api_key", api_key="sk-ant-api-secret")
    await bench.chat([{"role": "system", "content": "Be brief."}, user("Say hello.")])
    (argv,) = bench.noted("argv")
    assert not re.search("hello|brief|secret", " ".join(argv))
    assert bench.noted("system") == ["Be brief."]


async def test_the_environment_is_a_list(
    claude: StartClaude, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command sees what it needs and what the configuration names; no key and no mark of a session around us."""
    for name in ("CLAUDECODE", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "SECRET_TOKEN"):
        monkeypatch.setenv(name, "from outside")
    monkeypatch.setenv("AWS_PROFILE", "mine")
    bench = await claude(pass_environment=["AWS_PROFILE"])
    await bench.ask("openai")
    (env,) = bench.noted("env")
    assert "from outside" not in env.values()
    assert (env["AWS_PROFILE"], env["CLAUDE_CODE_DISABLE_ATTACHMENTS"]) == ("mine", "1")
    assert env["PATH"]


async def test_its_own_tools_are_off(claude: StartClaude) -> None:
    """None of the command's tools is there unless it is named, and nothing bypasses permissions."""
    bench = await claude()
    await bench.ask("openai")
    (argv,) = bench.noted("argv")
    assert argv[argv.index("--tools") + 1] == ""
    assert argv[argv.index("--permission-mode") + 1] == "dontAsk"
    assert argv[argv.index("--allowedTools") + 1] == "mcp__c"


async def test_named_tools_are_on(claude: StartClaude) -> None:
    """A tool with a rule is there, and permitted as far as the rule goes."""
    bench = await claude(tools=["Read", "Bash(git log *)"])
    await bench.ask("openai")
    (argv,) = bench.noted("argv")
    assert argv[argv.index("--tools") + 1] == "Read,Bash"
    assert argv[argv.index("--allowedTools") + 1] == "mcp__c,Read,Bash(git log *)"


async def test_nobody_permits_anything(claude: StartClaude) -> None:
    """A question for permission is answered with no."""
    bench = await claude()
    assert (await bench.ask("openai", "fault=asks")).whole
    assert bench.noted("permission")[0]["behavior"] == "deny"


# ---- one conversation


async def test_a_conversation_stays_in_its_process(claude: StartClaude) -> None:
    """The next turn goes to the process that has the conversation, and only the new words are said."""
    bench = await claude()
    first = [user("my name is Ada")]
    answer = await bench.chat(first)
    more = [*first, said(answer), user("what is my name")]
    answer = await bench.chat(more)
    assert answer.text == "Your name is Ada."
    assert bench.starts == 1
    assert bench.noted("user")[-1] == "what is my name"


async def test_a_session_is_resumed(claude: StartClaude) -> None:
    """Without a waiting process, the command's own session goes on in a new one, with the new words alone."""
    bench = await claude(keep_seconds=0)
    first = [user("my name is Ada")]
    answer = await bench.chat(first)
    answer = await bench.chat([*first, said(answer), user("what is my name")])
    assert answer.text == "Your name is Ada."
    opened, resumed = bench.noted("argv")
    assert opened[opened.index("--session-id") + 1] == resumed[resumed.index("--resume") + 1]
    assert bench.noted("user") == ["my name is Ada", "what is my name"]


async def test_a_lost_session_is_told_anew(claude: StartClaude) -> None:
    """A session that the command does not find any more costs a start, and nothing else."""
    bench = await claude(keep_seconds=0)
    first = [user("my name is Ada")]
    answer = await bench.chat(first)
    for file in (bench.folder / "sessions").iterdir():
        file.unlink()
    answer = await bench.chat([*first, said(answer), user("what is my name")])
    assert answer.text == "Your name is Ada."
    assert bench.starts == 3


async def test_nothing_is_kept_where_that_is_wanted(claude: StartClaude) -> None:
    """With persist = false the command writes no transcript; the history is told."""
    bench = await claude(keep_seconds=0, persist=False)
    first = [user("my name is Ada")]
    answer = await bench.chat(first)
    answer = await bench.chat([*first, said(answer), user("what is my name")])
    assert answer.text == "Your name is Ada."
    assert all("--no-session-persistence" in argv for argv in bench.noted("argv"))
    assert not (bench.folder / "sessions").exists()


async def test_a_restart_in_between(claude: StartClaude) -> None:
    """After a restart of the server, the conversation goes on from what the client resends."""
    bench = await claude()
    first = [user("my name is Ada")]
    answer = await bench.chat(first)
    await bench.stop()
    assert bench.alive() == []
    bench = await claude()
    answer = await bench.chat([*first, said(answer), user("what is my name")])
    assert answer.text == "Your name is Ada."
    record = bench.noted("user")[-1].splitlines()
    assert json.loads(record[1]) == {"role": "user", "text": "my name is Ada"}
    assert record[-1] == "what is my name"


async def test_an_edited_history_is_another_conversation(claude: StartClaude) -> None:
    """A client that changes what was said gets an answer to what it says now."""
    bench = await claude()
    await bench.chat([user("my name is Ada")])
    hello = {"role": "assistant", "content": "Hello."}
    answer = await bench.chat([user("my name is Bob"), hello, user("what is my name")])
    assert answer.text == "Your name is Bob."


async def test_another_system_prompt_needs_another_process(claude: StartClaude) -> None:
    """What a process cannot change any more is never taken from another request."""
    bench = await claude()
    first = [user("my name is Ada")]
    answer = await bench.chat(first)
    await bench.chat([{"role": "system", "content": "Be rude."}, *first, said(answer), user("Hm.")])
    assert bench.noted("system") == ["", "Be rude."]


@pytest.mark.parametrize("persist", [True, False])
async def test_a_conversation_goes_on_after_an_answer_at_its_limit(
    claude: StartClaude, persist: bool
) -> None:
    """The process that was ended at the limit is asked nothing more: another one is told the history at once."""
    bench = await claude(persist=persist, stop_timeout=0.2)
    first = [user("my name is Ada, fault=limit")]
    cut = await bench.chat(first, max_tokens=50)
    assert (cut.finish, cut.text) == ("length", "As far as it goes, ")
    answer = await bench.chat([*first, said(cut), user("what is my name")], max_tokens=50)
    assert answer.status == 200, answer.body
    _, record = bench.noted("user")  # asked twice in all
    assert '"role":"assistant","text":"As far as it goes, "' in record
    assert not [argv for argv in bench.noted("argv") if "--resume" in argv]


async def test_a_limit_of_tokens_ends_the_answer(claude: StartClaude) -> None:
    """A client's limit ends its answer with the right reason; without one the command may go on."""
    bench = await claude()
    cut = await bench.ask("openai", "fault=limit", max_tokens=50)
    assert (cut.text, cut.finish) == ("As far as it goes, ", "length")
    assert bench.noted("env")[0]["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] == "50"
    whole = await bench.ask("openai", "fault=limit")
    assert (whole.text, whole.finish) == ("As far as it goes, and further.", "stop")


async def test_thoughts_are_asked_for(claude: StartClaude) -> None:
    """Thinking is off unless the client asks for it, and then as much as it asks for."""
    bench = await claude()
    plain = await bench.ask("anthropic")
    thinking = {"type": "enabled", "budget_tokens": 2048}
    thoughtful = await bench.ask("anthropic", thinking=thinking, max_tokens=4000)
    assert b"Let me think." not in plain.body
    assert b"Let me think." in thoughtful.body
    first, second = bench.noted("argv")
    assert first[first.index("--thinking") + 1] == "disabled"
    assert second[second.index("--max-thinking-tokens") + 1] == "2048"


async def test_pictures_reach_the_command(claude: StartClaude) -> None:
    """A picture goes as a picture."""
    bench = await claude()
    url = {"url": "data:image/png;base64,aGk="}
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": url}]
    assert (await bench.chat([{"role": "user", "content": parts}])).whole
    assert bench.noted("user") == ["What is this?\n<image>"]


# ---- the client's tools


@MODES
async def test_a_call_is_answered_in_its_process(claude: StartClaude, stream: bool) -> None:
    """A call goes to the client; its result reaches the very process that made it."""
    bench = await claude()
    first = [user("use look")]
    call = await bench.chat(first, stream=stream, tools=openai_tools())
    assert (call.finish, call.calls_made) == ("tool_calls", [("look", {"q": "look"})])
    answer = await bench.chat(
        [*first, said(call), *results(call, "a cat")], stream=stream, tools=openai_tools()
    )
    assert answer.text == "You said: look gave a cat"
    assert bench.starts == 1


async def test_the_command_is_shown_the_tools(claude: StartClaude) -> None:
    """Names that the command does not take are changed for it and restored for the client."""
    bench = await claude()
    tools = openai_tools(("look", "look.at.it"))
    tools[1]["function"]["description"] = "Looks."
    await bench.chat([user("Say hello.")], tools=tools)
    offered = bench.noted("tools")[0]
    assert [tool["name"] for tool in offered] == ["look", "look_at_it"]
    assert offered[1]["description"] == "Looks."
    assert offered[1]["inputSchema"]["properties"] == {"q": {"type": "string"}}


async def test_parallel_calls_are_answered_together(claude: StartClaude) -> None:
    """Several calls leave in one answer; their results, in whatever order, reach the calls they belong to."""
    bench = await claude()
    first = [user("use look and use count")]
    call = await bench.chat(first, tools=openai_tools())
    assert [name for _, name, _ in call.calls] == ["look", "count"]
    given = results(call, "a cat", "seven")[::-1]
    answer = await bench.chat([*first, said(call), *given], tools=openai_tools())
    assert answer.text == "You said: look gave a cat; count gave seven"


async def test_words_beside_a_result_arrive(claude: StartClaude) -> None:
    """What the user says together with a tool's result is not lost."""
    bench = await claude()
    first = [user("use look")]
    call = await bench.chat(first, tools=openai_tools())
    more = [*first, said(call), *results(call, "a cat"), user("/quick please")]
    answer = await bench.chat(more, tools=openai_tools())
    assert answer.text == "You said: look gave a cat;  /quick please"


async def test_a_failed_tool_is_told_as_failed(claude: StartClaude) -> None:
    """A result that is an error reaches the model as one."""
    bench = await claude()
    tool = {
        "name": "look",
        "input_schema": {"type": "object", "properties": {"q": {"type": "string"}}},
    }
    call = await bench.chat([user("use look")], "anthropic", tools=[tool])
    ((call_id, name, arguments),) = call.calls
    use = {"type": "tool_use", "id": call_id, "name": name, "input": json.loads(arguments)}
    bad = {"type": "tool_result", "tool_use_id": call_id, "content": "too dark", "is_error": True}
    messages = [
        user("use look"),
        {"role": "assistant", "content": [{"type": "text", "text": call.text}, use]},
        {"role": "user", "content": [bad]},
    ]
    answer = await bench.chat(messages, "anthropic", tools=[tool])
    assert answer.text == "You said: look failed too dark"
    assert bench.starts == 1


async def test_a_call_is_found_by_its_id(claude: StartClaude) -> None:
    """A client that gives the answer back changed, but for the ids of its calls, reaches the process as well."""
    bench = await claude()
    first = [user("use look")]
    call = await bench.chat(first, tools=openai_tools())
    shortened = {**said(call), "content": None}
    answer = await bench.chat([*first, shortened, *results(call, "a cat")], tools=openai_tools())
    assert answer.text == "You said: look gave a cat"
    assert bench.starts == 1


async def test_a_faulty_call_is_corrected_in_its_process(claude: StartClaude) -> None:
    """A call that does not fit its tool's schema is shown to the model as failed, in the process that made it."""
    bench = await claude()
    tools = openai_tools()
    tools[0]["function"]["parameters"] = {
        "type": "object", "properties": {"q": {"type": "integer"}}, "required": ["q"],
    }  # fmt: skip
    answer = await bench.chat([user("use look")], tools=tools)
    assert "look failed" in answer.text
    assert bench.noted("result")[0]["isError"] is True
    assert bench.starts == 1


async def test_what_it_costs_is_told(claude: StartClaude) -> None:
    """The readiness page sums up what the command says that its answers cost."""
    bench = await claude()
    first = [user("my name is Ada")]
    answer = await bench.chat(first)
    await bench.chat([*first, said(answer), user("what is my name")])
    async with bench.http.get(bench.url + "/readyz") as page:
        assert (await page.json())["upstreams"]["claude"]["cost_usd"] == "0.5000"


async def test_calls_of_others_are_not_found(claude: StartClaude) -> None:
    """Knowing the id of somebody else's call does not lead into their conversation."""
    keys = {"ada": "key-of-ada", "bob": "key-of-bob"}
    bench = await claude(config={"keys": keys})
    first = [user("use look")]
    ada, bob = ({"Authorization": f"Bearer {key}"} for key in keys.values())
    call = await bench.chat(first, tools=openai_tools(), headers=ada)
    more = [*first, said(call), *results(call, "a cat")]
    answer = await bench.chat(more, tools=openai_tools(), headers=bob)
    assert answer.whole
    assert bench.starts == 2
    answer = await bench.chat(more, tools=openai_tools(), headers=ada)
    assert answer.text == "You said: look gave a cat"


async def test_a_client_that_never_comes_back(claude: StartClaude) -> None:
    """A process waits for a result for so long and is ended then; a client that comes later is answered too."""
    bench = await claude(hold_seconds=0.05)
    first = [user("use look")]
    call = await bench.chat(first, tools=openai_tools())
    await bench.all_gone()
    answer = await bench.chat([*first, said(call), *results(call, "a cat")], tools=openai_tools())
    assert answer.whole
    assert bench.starts == 2
    lines = [
        json.loads(line) for line in bench.noted("user")[-1].splitlines() if line.startswith("{")
    ]
    assert lines[-1] == {"role": "tool", "call": call.calls[0][0], "text": "a cat"}


async def test_a_restart_while_a_call_is_open(claude: StartClaude) -> None:
    """A restart between a call and its result leaves no process behind, and the result is not lost."""
    bench = await claude()
    first = [user("use look")]
    call = await bench.chat(first, tools=openai_tools())
    await bench.stop()
    assert bench.alive() == []
    bench = await claude()
    answer = await bench.chat([*first, said(call), *results(call, "a cat")], tools=openai_tools())
    assert answer.whole
    assert '"text":"a cat"' in bench.noted("user")[-1]


async def test_many_at_a_time(claude: StartClaude) -> None:
    """Twenty requests at once are all answered by at most four processes at a time, none of which stays."""
    bench = await claude(max_children=4)
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, len(bench.alive()))
            await asyncio.sleep(0.005)

    watching = asyncio.create_task(watch())
    answers = await asyncio.gather(*(bench.ask("openai", f"number {n}") for n in range(20)))
    watching.cancel()
    assert [answer.text for answer in answers] == [f"You said: number {n}" for n in range(20)]
    assert 1 <= most <= 4
    await bench.stop()
    assert bench.alive() == []


async def test_waiting_calls_make_room(claude: StartClaude) -> None:
    """Where all places are taken by processes that wait for results, a new request is answered all the same."""
    bench = await claude(max_children=1)
    first = [user("use look")]
    call = await bench.chat(first, tools=openai_tools())
    assert (await bench.ask("openai", "Say hello.")).whole
    answer = await bench.chat([*first, said(call), *results(call, "a cat")], tools=openai_tools())
    assert answer.whole


def _told(wire: str, stream: bool) -> dict[str, object]:
    return {"stream_options": {"include_usage": True}} if stream and wire == "openai" else {}
