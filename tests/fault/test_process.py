"""The real command as a real process: it starts, serves, stops well, and says what is wrong when it cannot start."""

from __future__ import annotations

import asyncio
import signal

import pytest
from aiohttp import ClientSession
from launched import launched, up
from speak import PATHS, WIRES, body_of, heard


@pytest.mark.parametrize("entry", [("run.py",), ("-m", "sfbridge")])
@pytest.mark.parametrize("with_signal", [signal.SIGINT, signal.SIGTERM])
async def test_the_command_serves_and_stops_well(entry: tuple[str, ...], with_signal: int) -> None:
    """Both entry points serve the shipped configuration, say that it is a sandbox, and exit with 0, without a warning."""
    async with launched(entry=entry) as server, ClientSession() as http:
        await up(http, server)
        body = body_of("openai", "gpt-4o")
        async with http.post(server.url + PATHS["openai"], json=body) as answer:
            assert answer.status == 200
        assert await server.stop(with_signal) == 0
    assert "sandbox" in server.errors
    assert "Warning" not in server.errors, server.errors
    assert "Traceback" not in server.errors, server.errors


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("fault", ["stall", "slow-30"])
async def test_stopping_ends_open_streams_visibly(wire: str, fault: str) -> None:
    """A stream that outlasts its grace ends with the protocol's error, and the process with 0."""
    arguments = ("--set", "server.shutdown_grace=0.2", "--set", "stream.patience=0.1")
    async with launched(*arguments) as server, ClientSession() as http:
        await up(http, server)
        body = body_of(wire, f"sfdc_ai__Defaultsandbox-{fault}", stream=True)
        async with http.post(server.url + PATHS[wire], json=body) as answer:
            assert answer.status == 200
            first = await answer.content.readany()
            stopping = asyncio.create_task(server.stop())
            rest = await answer.read()
            found = heard(wire, 200, answer.headers, first + rest)
        assert await stopping == 0
    assert not found.whole
    assert "stopped" in found.error["message"]
    assert "Warning" not in server.errors, server.errors
    assert "Traceback" not in server.errors, server.errors


@pytest.mark.parametrize("with_signal", [signal.SIGINT, signal.SIGTERM])
async def test_a_second_signal_ends_the_grace(with_signal: int) -> None:
    """Impatient users press Ctrl-C twice: streams still end with their error, and the exit code is still 0."""
    arguments = ("--set", "server.shutdown_grace=30", "--set", "stream.patience=0.1")
    async with launched(*arguments) as server, ClientSession() as http:
        await up(http, server)
        body = body_of("anthropic", "sfdc_ai__Defaultsandbox-stall", stream=True)
        async with http.post(server.url + PATHS["anthropic"], json=body) as answer:
            first = await answer.content.readany()
            server.process.send_signal(with_signal)
            await server.says("stopping")  # the first signal was heard
            ended = asyncio.create_task(server.stop(with_signal))
            found = heard("anthropic", 200, answer.headers, first + await answer.read())
        assert await ended == 0
    assert "stopped" in found.error["message"]
    assert "Traceback" not in server.errors, server.errors


async def test_an_answer_may_finish_within_its_grace() -> None:
    """Stopping accepts no new request but lets an open one finish."""
    async with launched("--set", "stream.patience=0.1") as server, ClientSession() as http:
        await up(http, server)
        body = body_of("anthropic", "sfdc_ai__Defaultsandbox-slow-1", stream=True)
        async with http.post(server.url + PATHS["anthropic"], json=body) as answer:
            first = await answer.content.readany()
            stopping = asyncio.create_task(server.stop())
            found = heard("anthropic", 200, answer.headers, first + await answer.read())
        assert await stopping == 0
    assert found.whole


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--set", "server.prot=1"), "server.prot: there is no such key"),
        (("--set", "upstream.salesforce.surfice=gateway"), "upstream.salesforce.surfice"),
        (("--set", "upstream.salesforce.kind=sailsforce"), "upstream.salesforce.kind"),
        (("--set", "server.host=0.0.0.0"), "at least one key"),
        (("--set", "models.default=no-such"), "no-such"),
        (("--set", "log.level=loud"), "log.level"),
        (("--set", "upstream.salesforce.my_domain=https://login.salesforce.com"), "my_domain"),
        (("--set", "sandbox.scenario=no-such-file.toml"), "no-such-file.toml"),
        (("--set", "sandbox.scenario=tests/scenarios/broken.py"), "sandbox.scenario"),
        (("--set", "sandbox.enabled=maybe"), "sandbox.enabled"),
        (("--set", "sandbox.port=abc"), "sandbox.port"),
        (("--set", "sandbox.port=70000"), "sandbox.port"),
        (("--set", "keys.a=same-key-1234", "--set", "keys.b=same-key-1234"), "keys: "),
        (("--set", "http.connections=-3"), "http.connections"),
    ],
)
async def test_what_cannot_work_is_said_in_one_line(arguments: tuple[str, ...], words: str) -> None:
    """A configuration that cannot work ends the start with its path and exit code 1, without a trace."""
    async with launched(*arguments) as server:
        assert await server.ended() == 1
    assert words in server.errors
    assert "Traceback" not in server.errors
    assert "Warning" not in server.errors


async def test_a_taken_port_is_said_so() -> None:
    """Starting twice on one port explains itself."""
    async with launched() as first, ClientSession() as http:
        await up(http, first)
        port = first.url.rsplit(":", 1)[1]
        async with launched("--port", port) as second:
            assert await second.ended() == 1
        assert (
            f"server.port: cannot listen on 127.0.0.1:{port} (Address already in use)"
            in second.errors
        )
        assert "--port" in second.errors
        assert "Traceback" not in second.errors


async def test_the_secret_stays_out_of_every_output() -> None:
    """A canary secret appears in no log line and no answer, also when the org refuses it."""
    canary = "canary-3f9a8b7c6d5e"
    env = {
        "SFBRIDGE_UPSTREAM__SALESFORCE__CLIENT_SECRET": canary,
        "SFBRIDGE_KEYS__ME": f"key-{canary}",
    }
    async with launched("--set", "log.level=debug", **env) as server, ClientSession() as http:
        await up(http, server)
        bodies = b""
        for wire in WIRES:
            headers = {"Authorization": f"Bearer key-{canary}"}
            async with http.post(
                server.url + PATHS[wire], json=body_of(wire, "gpt-4o"), headers=headers
            ) as answer:
                assert answer.status in (401, 403)
                bodies += await answer.read() + str(answer.headers).encode()
            async with http.get(server.url + "/readyz") as ready:
                assert ready.status == 503
                bodies += await ready.read()
        assert await server.stop() == 0
    assert canary not in server.errors
    assert canary.encode() not in bodies
