"""Lingma's processes: started, found, lost, started again, ended; never somebody else's, and never one left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, WSMsgType
from lingma_bench import SECRET, BeginLingma, Bench, install, running
from speak import WIRES

from sfbridge.formats.jsonrpc import request
from sfbridge.upstream.lingma.classic import ask

SLOW = {
    "rules": [{"match": "^slow$", "steps": [{"step": "start_end"}, {"answer": "a"}, {"sleep": 30}]}]
}


@pytest.mark.parametrize("sim", [
    {"start_delay": 0.5}, {"no_info": True}, {"torn_info": True}, {"legacy_info": True},
    {"taken_ports": 1}, {"stdout_noise": 1 << 20}, {"detach": True},
])  # fmt: skip
async def test_any_start_comes_to_an_answer(lingma: BeginLingma, sim: dict[str, Any]) -> None:
    """A slow start, no or torn or old discovery files, a taken port, a megabyte of output, a process that hands over
    to another one: all are waited for, and each process is ended."""
    bench = await lingma(sim=sim)
    assert (await bench.ask("openai")).text == "echo: hello"
    assert (await bench.ask("anthropic", stream=True)).text == "echo: hello"


async def test_a_stale_discovery_file_misleads_nobody(lingma: BeginLingma, tmp_path: Path) -> None:
    """A file of a dead process, or of a living one that is not ours, is removed; that process lives on."""
    bystander = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        install(tmp_path / "data" / "instance-0")
        info = {"websocketPort": 9, "pid": bystander.pid, "ipcServerPath": ""}
        (tmp_path / "data" / "instance-0" / ".info.json").write_text(json.dumps(info))
        bench = await lingma()
        assert (await bench.ask("openai")).text == "echo: hello"
        assert bystander.returncode is None
    finally:
        bystander.kill()
        await bystander.wait()


async def test_a_process_that_always_dies_is_given_up(lingma: BeginLingma) -> None:
    """After five starts in vain the instance has failed, and says so, at once."""
    bench = await lingma(sim={"exit_at_start": 3}, restart_delay=0.01)

    async def failed() -> bool:
        return str((await bench.facts())["instance_0"]).startswith("failed")

    await bench.until(failed, 20)
    for wire in WIRES:
        found = await bench.ask(wire)
        assert found.status == 502
        assert "in vain" in found.error["message"]
    assert bench.stats()["starts"] == 6


async def test_no_executable_is_said_so(lingma: BeginLingma, tmp_path: Path) -> None:
    """Where no executable is found, the error names the folders that were searched."""
    install(tmp_path / "installed")
    bench = await lingma(binary=str(tmp_path / "nowhere" / "Lingma"))
    found = await bench.ask("openai")
    assert found.error["code"] == "lingma_unavailable"
    assert "nothing is downloaded" in found.error["message"]


async def test_a_killed_process_is_started_again(lingma: BeginLingma) -> None:
    """A question whose process dies before the first word is asked again; one that had begun fails visibly."""
    steps = [{"step": "start_end"}, {"sleep": 0.05}, {"exit": 7}]
    sim = {"rules": [{"match": "^die$", "steps": steps}, *SLOW["rules"]]}
    bench = await lingma(sim=sim, instances=2)
    await bench.ready(2)
    found = await bench.ask("openai", "die")
    assert (found.status, found.error["code"]) == (502, "upstream_disconnected")
    assert sum(bench.stats(i)["asks"] for i in (0, 1)) == 2  # once more elsewhere, and no more
    await bench.ready(2)
    asked = asyncio.create_task(bench.ask("anthropic", "slow", stream=True))
    await bench.until(lambda: sum(bench.stats(i).get("begun", 0) for i in (0, 1)) == 1)
    for index in (0, 1):
        os.kill(bench.pid(index), signal.SIGKILL)
    late = await asked
    assert late.text == "a"
    assert late.error["type"] == "api_error"
    assert (await bench.ask("openai")).text == "echo: hello"
    assert (await bench.facts())["restarts"] >= 4


async def test_a_lost_socket_is_opened_again(lingma: BeginLingma) -> None:
    """A dropped connection to a living process is opened again; the process is not restarted."""
    sim = {"rules": [{"match": "^early$", "steps": [{"step": "start_end"}, {"drop_socket": True}]},
                     {"match": "^late$", "steps": [{"answer": "x"}, {"sleep": 0.1}, {"drop_socket": True}]}]}  # fmt: skip
    bench = await lingma(sim=sim)
    pid = bench.pid()
    assert (await bench.ask("openai", "early")).status == 502
    found = await bench.ask("openai", "late", stream=True)
    assert found.error["code"] == "upstream_disconnected"
    assert (await bench.ask("openai")).text == "echo: hello"
    assert bench.pid() == pid
    assert bench.stats()["connections"] == 4


@pytest.mark.parametrize("garbage", [
    "Content-Length: abc\r\n\r\n", "x" * 9000, "Content-Length: 99999999999\r\n\r\n{}", "No-Length: 3\r\n\r\n{}",
])  # fmt: skip
async def test_broken_framing_ends_the_connection(lingma: BeginLingma, garbage: str) -> None:
    """Headers that are none, or endless, or promise too much end the connection, which is then opened again."""
    sim = {
        "rules": [
            {
                "match": "^bad$",
                "steps": [{"answer": "x"}, {"sleep": 0.05}, {"garbage": garbage}, {"sleep": 9}],
            }
        ]
    }
    bench = await lingma(sim=sim)
    found = await bench.ask("openai", "bad", stream=True)
    assert found.error["code"] == "upstream_disconnected"
    assert (await bench.ask("openai")).text == "echo: hello"


async def test_a_body_that_is_no_json_is_skipped(lingma: BeginLingma) -> None:
    """Where only the body is broken, the connection goes on."""
    steps = [
        {"answer": "x"},
        {"garbage": "Content-Length: 5\r\n\r\n{{{{{"},
        {"answer": "y"},
        {"finish": 200},
    ]
    bench = await lingma(sim={"rules": [{"match": "^bad$", "steps": steps}]})
    assert (await bench.ask("openai", "bad")).text == "xy"
    assert bench.stats()["connections"] == 1


async def test_a_process_that_does_not_answer_is_reconnected(lingma: BeginLingma) -> None:
    """Two pings without an answer end the connection."""
    bench = await lingma(
        sim={"silent_ping": True}, ping_interval=0.1, ping_timeout=0.1, login_interval=60
    )
    await bench.until(lambda: bench.stats()["connections"] >= 2)
    assert bench.stats()["starts"] == 1


async def test_clients_that_leave_free_their_place(lingma: BeginLingma) -> None:
    """Who leaves while waiting, before the first word, or in mid-stream gives the place back, and Lingma is told."""
    sim = {
        "rules": [
            {"match": "^silent$", "steps": [{"step": "start_end"}, {"sleep": 30}]},
            *SLOW["rules"],
        ]
    }
    bench = await lingma(sim=sim)
    first = asyncio.create_task(bench.ask("openai", "silent"))
    await bench.until(lambda: bench.stats().get("asks") == 1)
    second = asyncio.create_task(bench.ask("anthropic", "queued"))

    async def queued() -> bool:
        return bool((await bench.facts())["waiting"] == 1)

    await bench.until(queued)
    for task in (second, first):
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await bench.until(lambda: bench.stats().get("stops") == 1, 2)
    await bench.idle()
    third = asyncio.create_task(bench.ask("openai", "slow", stream=True))
    await bench.until(lambda: bench.stats().get("asks") == 2)
    third.cancel()
    await asyncio.gather(third, return_exceptions=True)
    await bench.until(lambda: bench.stats().get("stops") == 2, 2)
    await bench.idle()
    assert (await bench.ask("openai")).text == "echo: hello"


@pytest.mark.parametrize("sim", [{"ignore_stop": True}, {"late_answers": 3}])
async def test_a_stop_that_is_not_obeyed_holds_nobody_up(
    lingma: BeginLingma, sim: dict[str, Any]
) -> None:
    """An ask that goes on after its stop gives its place back all the same; what it still says reaches nobody."""
    bench = await lingma(sim={**sim, **SLOW}, stop_timeout=0.3)
    asked = asyncio.create_task(bench.ask("openai", "slow", stream=True))
    await bench.until(lambda: bench.stats().get("asks") == 1)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await bench.idle()
    assert (await bench.ask("openai")).text == "echo: hello"


async def test_the_end_of_the_bridge_is_the_end_of_its_processes(
    lingma: BeginLingma, tmp_path: Path
) -> None:
    """Processes that ignore TERM, with questions under way, are gone when the bridge is; so is what they started."""
    bench = await lingma(sim={"survive_term": True, **SLOW}, instances=2, stop_timeout=0.3)
    await bench.ready(2)
    asked = [asyncio.create_task(bench.ask("openai", "slow", stream=True)) for _ in (0, 1)]
    await bench.until(lambda: sum(bench.stats(i).get("asks", 0) for i in (0, 1)) == 2)
    assert len(running(tmp_path / "data")) == 2
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)


async def test_an_orphan_of_a_killed_bridge_is_ended_first(
    lingma: BeginLingma, tmp_path: Path
) -> None:
    """A process that a bridge left behind when it was killed itself is ended before the workdir is used again."""
    source = install(tmp_path / "installed")
    work = install(tmp_path / "data" / "instance-0")
    shim = next(source.glob("bin/*/*/Lingma"))
    orphan = await asyncio.create_subprocess_exec(
        str(shim), "start", "--workDir", str(work),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    (work / ".sfbridge-pid").write_text(str(orphan.pid))
    bench = await lingma()
    assert (await bench.ask("openai")).text == "echo: hello"
    assert await orphan.wait() is not None


async def test_a_running_ide_s_process_may_be_used(lingma: BeginLingma, tmp_path: Path) -> None:
    """Attached, nothing is started, ended or removed: the process and its files are as before."""
    source = install(tmp_path / "installed")
    shim = next(source.glob("bin/*/*/Lingma"))
    ide = await asyncio.create_subprocess_exec(
        str(shim),
        "start",
        "--workDir",
        str(source),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        bench = await lingma(attach=True)
        assert (await bench.ask("openai")).text == "echo: hello"
        facts = await bench.facts()
        assert facts["externally_managed"] is True
        assert not (tmp_path / "data").exists()
        assert ide.returncode is None
        assert (source / ".info.json").exists()
    finally:
        ide.terminate()
        await ide.wait()


async def test_an_ide_may_come_and_go(lingma: BeginLingma, tmp_path: Path) -> None:
    """Attached to nothing yet, sfbridge looks again and again, and answers once the IDE's process is there."""
    source = install(tmp_path / "installed")
    bench = await lingma(attach=True, restart_delay=0.001, start_timeout=0.05)
    await bench.until(lambda: restarted(bench, 7))
    shim = next(source.glob("bin/*/*/Lingma"))
    ide = await asyncio.create_subprocess_exec(
        str(shim),
        "start",
        "--workDir",
        str(source),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        await bench.ready()
        assert (await bench.ask("openai")).text == "echo: hello"
    finally:
        ide.terminate()
        await ide.wait()


async def restarted(bench: Bench, times: int) -> bool:
    return bool((await bench.facts())["restarts"] >= times)


async def test_a_reload_hands_the_workdirs_over(lingma: BeginLingma) -> None:
    """A second bridge over the same workdirs waits for the first one to leave them, and goes on then."""
    first = await lingma()
    second = await lingma()
    assert "in use" in str((await second.facts())["instance_0"])
    waiting = asyncio.create_task(second.ask("openai"))
    await first.close()
    assert (await waiting).text == "echo: hello"


async def test_nothing_secret_is_passed_on_or_shown(
    lingma: BeginLingma, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process sees neither our keys nor other variables; its command line holds none; pages and receipts are clean."""
    monkeypatch.setenv("SFBRIDGE_KEYS__ME", "canary-1234567")
    monkeypatch.setenv("LINGMA_SIM_SCENARIO", "/nonexistent")
    bench = await lingma(config={"journal": {"contents": True}})
    assert (await bench.ask("openai")).text == "echo: hello"
    environment = Path(f"/proc/{bench.pid()}/environ").read_bytes()
    assert b"canary" not in environment
    assert b"SFBRIDGE" not in environment
    assert b"127.0.0.1" in environment
    assert b"canary" not in Path(f"/proc/{bench.pid()}/cmdline").read_bytes()
    for path in ("/readyz", "/v1/sfbridge/stats", "/v1/sfbridge/turns"):
        await bench.json(path)
    async with bench.http.get(bench.url + "/metrics") as answer:
        assert SECRET not in await answer.text()


@pytest.mark.parametrize("punishment", ["close", "mute", "defer"])
async def test_the_simulator_punishes_who_does_not_acknowledge(
    tmp_path: Path, punishment: str
) -> None:
    """A client that answers no push loses its stream, or finds its answer under the next question: what the reference
    reports, so that the bridge's acknowledgements are no accident."""
    source = install(tmp_path / "installed", ack_timeout=0.1, on_missing_ack=punishment)
    shim = next(source.glob("bin/*/*/Lingma"))
    process = await asyncio.create_subprocess_exec(
        str(shim),
        "start",
        "--workDir",
        str(source),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(20), ClientSession() as http:
            while not (source / ".info.json").exists():
                await asyncio.sleep(0.02)
            port = json.loads((source / ".info.json").read_text())["websocketPort"]
            async with http.ws_connect(f"ws://127.0.0.1:{port}/") as socket:
                await socket.send_str(request(1, "initialize", {}).decode())
                await socket.receive()
                await socket.send_str(
                    request(2, "chat/ask", ask("r1", "s1", "one", "auto", "chat")).decode()
                )
                if punishment == "mute":
                    while unacknowledged(source) < 1:
                        await asyncio.sleep(0.02)
                elif punishment == "close":
                    while (await socket.receive()).type is WSMsgType.TEXT:
                        pass
                else:
                    while "chat/finish" not in (await socket.receive()).data:
                        pass
                    second = ask("r2", "s2", "two", "auto", "chat")
                    await socket.send_str(request(3, "chat/ask", second).decode())
                    while '"r2"' not in (late := (await socket.receive()).data):
                        pass
                    assert "echo: one" in late
    finally:
        process.terminate()
        await process.wait()
    assert unacknowledged(source) >= 1
    assert (
        "no response from client, timeout reached" in (source / "logs" / "lingma.log").read_text()
    )


def unacknowledged(source: Path) -> int:
    return int(json.loads((source / "sim-stats.json").read_text())["unacknowledged"])


def test_the_simulator_is_strict(tmp_path: Path) -> None:
    """The stand-in refuses what the binary would: unknown flags, a workdir in use; and tells its login offline."""
    source = install(tmp_path / "installed")
    shim = str(next(source.glob("bin/*/*/Lingma")))

    def ran(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([shim, *arguments], capture_output=True, check=False)

    assert ran("start", "--noSuchFlag", "1").returncode == 2
    assert ran("version").stdout == b"2.11.1-sim\n"
    told = json.loads(ran("status", "-o", "json", "--workDir", str(source)).stdout)
    assert told["logged_in"] is True
    (source / "cache" / "id").write_text("another machine")
    assert (
        json.loads(ran("status", "-o", "json", "--workDir", str(source)).stdout)["logged_in"]
        is False
    )
