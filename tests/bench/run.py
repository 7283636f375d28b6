"""What the bridge costs, as ratios to a bare forwarder measured in the same run.

    python tests/bench/run.py [--rounds 5] [--quick] [--loop uvloop]

CPU is the server process's own (from /proc), so the load generator and the canned upstream do not count.
Rounds of both servers are interleaved, and the table shows medians.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from aiohttp import ClientSession, TCPConnector

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
TICKS = os.sysconf("SC_CLK_TCK")
CHUNKS = 2000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    child = subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.DEVNULL)
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(20)


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid: int, key: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024
    raise LookupError(key)


def until_up(port: int, path: str = "/healthz", limit: float = 20) -> float:
    """Seconds until the first 200."""
    begun = time.perf_counter()
    while time.perf_counter() - begun < limit:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=1) as answer:
                if answer.status == 200:
                    return time.perf_counter() - begun
        except OSError:
            time.sleep(0.004)
    raise TimeoutError(path)


# ---- what is asked, in the client's words and in the upstream's


def openai(size: int, *, stream: bool) -> tuple[str, bytes]:
    body = {
        "model": "gpt-4o",
        "stream": stream,
        "messages": [{"role": "user", "content": "word " * (size // 5)}],
    }
    return "/v1/chat/completions", json.dumps(body).encode()


def anthropic(size: int, *, stream: bool) -> tuple[str, bytes]:
    body = {
        "model": "claude-sonnet-4-6", "max_tokens": 100, "stream": stream,
        "messages": [{"role": "user", "content": "word " * (size // 5)}],
    }  # fmt: skip
    return "/v1/messages", json.dumps(body).encode()


def raw(wire: str, size: int, *, stream: bool) -> tuple[str, bytes]:
    body = json.dumps({"messages": [{"role": "user", "content": "word " * (size // 5)}]}).encode()
    if wire == "openai":
        return "/ai/gpt/v1/chat/generations" + ("/stream" if stream else ""), body
    return "/ai/gpt/v1/model/m/invoke" + ("-with-response-stream" if stream else ""), body


class Load:
    """A load generator with kept connections."""

    def __init__(self, session: ClientSession) -> None:
        self.session = session
        self.headers = {"Content-Type": "application/json"}

    async def one(self, url: str, body: bytes) -> tuple[float, float]:
        """Seconds to the first byte of the body and to its end."""
        begun = time.perf_counter()
        async with self.session.post(url, data=body, headers=self.headers) as answer:
            assert answer.status == 200, await answer.text()
            await answer.content.readany()
            first = time.perf_counter() - begun
            async for _ in answer.content.iter_any():
                pass
            return first, time.perf_counter() - begun

    async def many(
        self, url: str, body: bytes, count: int, at_once: int
    ) -> list[tuple[float, float]]:
        left = iter(range(count))

        async def worker() -> list[tuple[float, float]]:
            return [await self.one(url, body) for _ in left]

        return [
            t for times in await asyncio.gather(*(worker() for _ in range(at_once))) for t in times
        ]


Case = tuple[str, str, int, bool, int]  # name, wire, bytes, stream, requests


def cases(quick: bool) -> list[Case]:
    scale = 4 if quick else 1
    return [
        *(
            (f"{wire} small request", wire, 100, False, 1200 // scale)
            for wire in ("openai", "anthropic")
        ),
        *(
            (f"{wire} 100 kB request", wire, 100_000, False, 400 // scale)
            for wire in ("openai", "anthropic")
        ),
        *(
            (f"{wire} 1 MB request", wire, 1_000_000, False, 80 // scale)
            for wire in ("openai", "anthropic")
        ),
        *(
            (f"{wire} streamed chunk", wire, 100, True, 40 // scale)
            for wire in ("openai", "anthropic")
        ),
    ]


async def measure(
    ports: dict[str, int], pids: dict[str, int], rounds: int, quick: bool, only: str
) -> None:
    async with ClientSession(connector=TCPConnector(limit=20)) as session:
        load = Load(session)
        print(f"{'CPU per unit':28s}{'forwarder':>14s}{'sfbridge':>14s}{'ratio':>8s}")
        for name, wire, size, stream, count in cases(quick):
            if only not in name:
                continue
            spent: dict[str, list[float]] = {"forwarder": [], "sfbridge": []}
            asked = {"forwarder": raw(wire, size, stream=stream)}
            asked["sfbridge"] = (openai if wire == "openai" else anthropic)(size, stream=stream)
            for turn in range(rounds + 1):
                for server, (path, body) in asked.items():
                    before = cpu(pids[server])
                    await load.many(f"http://127.0.0.1:{ports[server]}{path}", body, count, 8)
                    if turn:  # the first round warms up
                        spent[server].append((cpu(pids[server]) - before) / count)
            per = {server: statistics.median(values) for server, values in spent.items()}
            unit, factor = ("s per 1M chunks", 1e6 / CHUNKS) if stream else ("s per 1,000", 1e3)
            a, b = per["forwarder"] * factor, per["sfbridge"] * factor
            print(f"{name:28s}{a:14.3f}{b:14.3f}{b / a:7.2f}x  {unit}", flush=True)
        if not only:
            await latency(load, ports, 200 if quick else 800)


async def latency(load: Load, ports: dict[str, int], count: int) -> None:
    """Added to a direct call of the upstream, one request at a time."""
    print(f"\n{'added latency, ms':28s}{'forwarder':>14s}{'sfbridge':>14s}")
    for wire in ("openai", "anthropic"):
        for stream, what in ((False, "whole answer"), (True, "first token")):
            times: dict[str, list[float]] = {}
            path, body = raw(wire, 100, stream=stream)
            plan = {
                "direct": (ports["org"], path, body),
                "forwarder": (ports["forwarder"], path, body),
            }
            plan["sfbridge"] = (
                ports["sfbridge"],
                *(openai if wire == "openai" else anthropic)(100, stream=stream),
            )
            for server, (port, path, body) in plan.items():
                found = await load.many(
                    f"http://127.0.0.1:{port}{path}", body, count // (8 if stream else 1), 1
                )
                times[server] = sorted(t[0 if stream else 1] * 1e3 for t in found)
            for label, share in (("p50", 0.5), ("p99", 0.99)):
                at = {s: v[int(len(v) * share)] for s, v in times.items()}
                print(
                    f"{wire + ' ' + what + ' ' + label:28s}{at['forwarder'] - at['direct']:14.2f}"
                    f"{at['sfbridge'] - at['direct']:14.2f}"
                )


def commands(org: int, forwarder: int, bridge: int) -> dict[str, list[str]]:
    python = sys.executable
    sets = {
        "upstream.salesforce.my_domain": f"http://127.0.0.1:{org}", "upstream.salesforce.kind": "salesforce",
        "upstream.salesforce.client_id": "bench", "upstream.salesforce.client_secret": "bench-secret",
        "upstream.salesforce.surface": "gateway", "sandbox.enabled": "false", "log.level": "warning",
    }  # fmt: skip
    return {
        "org": [python, str(HERE / "canned_org.py"), str(org), str(CHUNKS)],
        "forwarder": [python, str(HERE / "forwarder.py"), str(forwarder), f"http://127.0.0.1:{org}"],
        "sfbridge": [
            python, "-m", "sfbridge", "--port", str(bridge), *(x for k, v in sets.items() for x in ("--set", f"{k}={v}")),
        ],
    }  # fmt: skip


def cold_starts(command: list[str], port: int, times: int) -> float:
    found = []
    for _ in range(times):
        with running(command):
            found.append(until_up(port))
    return statistics.median(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="", help="only cases whose name holds this")
    options = parser.parse_args()
    ports = {"org": free_port(), "forwarder": free_port(), "sfbridge": free_port()}
    lines = commands(ports["org"], ports["forwarder"], ports["sfbridge"])
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(lines["org"]))
        cold = {
            s: cold_starts(lines[s], ports[s], 3 if options.quick else 7)
            for s in ("forwarder", "sfbridge")
        }
        children = {s: stack.enter_context(running(lines[s])) for s in ("forwarder", "sfbridge")}
        pids = {s: child.pid for s, child in children.items()}
        for server in pids:
            until_up(ports[server])
        idle = {s: memory(pid, "VmRSS") for s, pid in pids.items()}
        asyncio.run(measure(ports, pids, options.rounds, options.quick, options.only))
        loaded = {s: memory(pid, "VmHWM") for s, pid in pids.items()}
    print(f"\n{'':28s}{'forwarder':>14s}{'sfbridge':>14s}")
    for name, found, unit in (
        ("cold start to first 200", cold, "s"),
        ("memory idle", idle, "MB"),
        ("memory peak", loaded, "MB"),
    ):
        print(f"{name:28s}{found['forwarder']:14.2f}{found['sfbridge']:14.2f}  {unit}")


if __name__ == "__main__":
    main()
