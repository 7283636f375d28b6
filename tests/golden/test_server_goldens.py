"""The golden cases of OpenAI-compatible servers: how each family is asked, and how its answers reach each client.

`recorded-…` streams were written by llama.cpp's own server; the others have the forms that the families' sources and
trackers show (see `upstream/openai/profiles.py`). Everything is taken over sockets; `--bless` rewrites the results.
A `.whole.in` stands only where a family is asked for whole answers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from goldens import Goldens, pretty, without_mark
from local_bench import Begin
from speak import PATHS, WIRES, Heard, heard

from tests.fakes.openai_server import Behaviour, Server
from tests.golden.test_golden import meaning, question, received, sent

ROOT = Path(__file__).parent
FAMILIES = ("llamacpp", "vllm", "ollama", "lmstudio", "generic")
EVERY_FAMILY = pytest.mark.parametrize("family", FAMILIES)
# Client requests that families want said differently.
ASKED = (
    ("anthropic", "thinking-in-history"),
    ("anthropic", "tool-choice-named"),
    ("anthropic", "tool-choice-required"),
    ("anthropic", "no-parallel-calls"),
    ("anthropic", "parallel-calls-and-results"),
    ("anthropic", "image-in-tool-result"),
    ("anthropic", "stop-and-sampling"),
    ("anthropic", "claude-code-first-request"),
    ("openai", "json-schema-answer"),
    ("openai", "tool-choice-none"),
    ("openai", "stop-and-sampling"),
)


@pytest.fixture
def goldens(request: pytest.FixtureRequest) -> Goldens:
    return Goldens(ROOT, bless=request.config.getoption("--bless"))


@EVERY_FAMILY
async def test_each_family_is_asked_in_its_own_way(
    family: str, begin: Begin, goldens: Goldens
) -> None:
    """Each client request reaches each family as the body in its file, or is refused as the file says."""
    bridge = await begin(server=Server(family=family, window=100_000, vision=True))
    for wire, case in ASKED:
        body, headers = sent(wire, case)
        bridge.server.asked.clear()
        async with bridge.http.post(
            bridge.url + PATHS[wire], json={**body, "model": "tiny"}, headers=headers
        ) as answer:
            text = await answer.text()
        found: dict[str, Any] = {"ignored": answer.headers["x-sfbridge-ignored"]}
        if bridge.server.asked:
            found["body"] = json.loads(without_mark(json.dumps(bridge.server.asked[0])))
        else:
            found |= {"status": answer.status, "error": json.loads(text)["error"]}
        goldens.check(f"servers/{family}/asked/{wire}.{case}.json", pretty(found))
    goldens.finish(f"servers/{family}/asked/*.json")


@EVERY_FAMILY
async def test_each_familys_answers_reach_each_client(
    family: str, begin: Begin, goldens: Goldens
) -> None:
    """Each server answer reaches each client as the stream and as the body in its files, and both agree."""
    bridge = await begin(server=Server(family=family, window=4096), window=4096)
    stems = sorted(p for p in (ROOT / "servers" / family).glob("*.in") if p.name.count(".") == 1)
    disagreed: list[str] = []
    for stem in stems:
        case, whole = stem.stem, stem.with_suffix(".whole.in")
        said = Behaviour(
            frames=stem.read_bytes(),
            whole=whole.read_bytes() if whole.exists() else b"there is no such file",
        )
        for wire in WIRES:
            told: dict[str, Heard] = {}
            for stream, end in ((True, "sse"), (False, "json")):
                body = question(wire, "tiny", tools="call" in case, stream=stream)
                bridge.server.plan = [said] * 3
                async with bridge.http.post(bridge.url + PATHS[wire], json=body) as response:
                    answer = heard(wire, response.status, response.headers, await response.read())
                goldens.check(f"servers/{family}/{case}.{wire}.{end}", received(answer))
                told[end] = answer
            if told["sse"].whole and meaning(told["sse"]) != meaning(told["json"]):
                disagreed.append(f"{case}, {wire}: {meaning(told['sse'])} {meaning(told['json'])}")
    goldens.finish(f"servers/{family}/*.sse", f"servers/{family}/*.json")
    assert not disagreed, "\n".join(["the stream and the body differ:", *disagreed])
