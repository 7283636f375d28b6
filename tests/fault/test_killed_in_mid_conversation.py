"""A real server that is killed, or told to stop, while conversations go on: what was answered whole is kept, nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
from collections import defaultdict
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession
from launched import Server, launched, up
from speak import PATHS, WIRES, ask, body_of, heard

from sfbridge.core.kept import unpack
from sfbridge.core.request import Message, text_of
from sfbridge.state.sessions import fault_of

TALKERS, ENOUGH = 12, 60


class Talk:
    """Some conversations with the echoing sandbox, and what of them was answered whole."""

    def __init__(self) -> None:
        self.whole: dict[str, list[str]] = defaultdict(list)
        self.sessions = ["new"] * TALKERS
        self.rounds = 0
        self.enough = asyncio.Event()

    async def on(self, http: ClientSession, url: str, talker: int, most: int) -> None:
        """Speak, in both protocols and both manners by turns, until the server is gone."""
        with contextlib.suppress(ClientError):
            while True:
                self.rounds += 1
                prompt = f"Message {self.rounds} of {talker}."
                answer = await ask(
                    http, url, WIRES[self.rounds % 2], "gpt-4o", prompt,
                    headers={"X-Session-ID": self.sessions[talker]}, stream=self.rounds % 3 == 0,
                )  # fmt: skip
                if not answer.whole:
                    return
                assert answer.text == f"Echo: {prompt}"
                self.sessions[talker] = answer.headers["X-Session-ID"]
                self.whole[self.sessions[talker]].append(prompt)
                if sum(map(len, self.whole.values())) >= most:
                    self.enough.set()


def on_disk(file: Path) -> dict[str, list[tuple[Message, ...]]]:
    """The turns of every session, as another program finds them."""
    found: dict[str, list[tuple[Message, ...]]] = defaultdict(list)
    with contextlib.closing(sqlite3.connect(file)) as database:
        for session, body in database.execute("SELECT session, body FROM turn ORDER BY number"):
            found[session].append(unpack(body)[0])
    return found


async def test_a_kill_loses_no_finished_turn(tmp_path: Path) -> None:
    """SIGKILL under load, three times: the file is sound, each whole answer is in it, and each turn in it is whole."""
    file, talk = tmp_path / "sessions.db", Talk()
    for life in range(1, 4):
        arguments = ("--set", f"sessions.path={file}", "--set", "log.level=warning")
        async with launched(*arguments) as server, ClientSession() as http:
            await up(http, server)
            talk.enough.clear()
            talking = [
                asyncio.create_task(talk.on(http, server.url, talker, life * ENOUGH))
                for talker in range(TALKERS)
            ]
            async with asyncio.timeout(20):
                await talk.enough.wait()
            server.process.send_signal(signal.SIGKILL)
            await server.process.wait()
            await asyncio.gather(*talking)
        assert fault_of(file) == ""
        check(talk, on_disk(file))
    assert (
        max(map(len, talk.whole.values())) > ENOUGH // TALKERS
    )  # conversations went on after a kill


def check(talk: Talk, disk: dict[str, list[tuple[Message, ...]]]) -> None:
    for session, turns in disk.items():
        asked = [text_of(turn[0].parts) for turn in turns]
        assert [text_of(turn[1].parts) for turn in turns] == [f"Echo: {text}" for text in asked]
        assert all(len(turn) == 2 for turn in turns)
        # a turn may be on disk whose answer did not get through any more
        assert [text for text in asked if text in talk.whole[session]] == talk.whole[session]
    assert set(talk.whole) <= set(disk)


async def told(http: ClientSession, server: Server, session: str) -> Any:
    async with http.get(f"{server.url}/v1/sfbridge/sessions/{session}") as answer:
        return (await answer.json())["session"]


async def test_stopping_in_mid_answer_leaves_the_history_as_it_was(tmp_path: Path) -> None:
    """A stream that the stop interrupts is no turn; the session goes on from before it when the server is back."""
    arguments = (
        "--set",
        f"sessions.path={tmp_path / 's.db'}",
        "--set",
        "server.shutdown_grace=0.2",
    )
    async with launched(*arguments) as server, ClientSession() as http:
        await up(http, server)
        first = await ask(http, server.url, "openai", "gpt-4o", headers={"X-Session-ID": "new"})
        session = {"X-Session-ID": first.headers["X-Session-ID"]}
        body = body_of("openai", "sfdc_ai__Defaultsandbox-stall", stream=True)
        async with http.post(server.url + PATHS["openai"], json=body, headers=session) as answer:
            begun = await answer.content.readany()
            stopping = asyncio.create_task(server.stop())
            found = heard("openai", 200, answer.headers, begun + await answer.read())
        assert await stopping == 0
    assert not found.whole
    assert "Traceback" not in server.errors, server.errors
    assert "Warning" not in server.errors, server.errors
    async with launched(*arguments) as server, ClientSession() as http:
        await up(http, server)
        assert (await told(http, server, session["X-Session-ID"]))["turns"] == 1
