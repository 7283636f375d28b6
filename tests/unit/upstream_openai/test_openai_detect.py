"""What a server tells of itself, per family, against a fake of each on a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import ClientSession, web

from sfbridge.core.errors import GatewayError
from sfbridge.upstream.openai.detect import OLLAMA_DEFAULT, Found, Looker
from sfbridge.upstream.openai.facts import ANY, Facts
from sfbridge.upstream.openai.profiles import PROFILES
from sfbridge.upstream.openai.settings import ModelRow, Settings, check
from sfbridge.upstream.openai.standing import Standing
from sfbridge.upstream.secret import SettingsError
from tests.fakes.openai_server import Server


class Desk:
    def __init__(self, stack: AsyncExitStack, http: ClientSession) -> None:
        self._stack, self._http = stack, http

    async def serve(self, app: web.Application) -> str:
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def look(self, url: str, family: Any = None, **headers: str) -> Found:
        address = check(Settings(base_url=url), "local")
        return await Looker(self._http, address, headers, family=family, seconds=5).look()


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with AsyncExitStack() as stack:
        yield Desk(stack, await stack.enter_async_context(ClientSession()))


WINDOWS = {
    "llamacpp": (4096, "/props"),
    "vllm": (4096, "max_model_len"),
    "ollama": (4096, "/api/ps"),
    "lmstudio": (4096, "loaded_context_length"),
    "generic": (None, ""),
}


@pytest.mark.parametrize("family", WINDOWS)
@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
async def test_families_are_recognised(desk: Desk, family: str, suffix: str) -> None:
    """Each family is known by what it says, and its window is the one that is loaded."""
    url = await desk.serve(Server(family=family).app())
    found = await desk.look(url + suffix)
    assert found.family == family
    (model,) = found.models
    assert (model.name, (model.window, model.source)) == ("tiny", WINDOWS[family])


@pytest.mark.parametrize("family", ["llamacpp", "ollama", "lmstudio"])
async def test_eyes_are_noticed(desk: Desk, family: str) -> None:
    """Families that tell whether a model takes pictures are believed."""
    for vision in (False, True):
        url = await desk.serve(Server(family=family, vision=vision).app())
        assert (await desk.look(url)).models[0].images is vision


async def test_ollama_is_asked_for_every_model(desk: Desk) -> None:
    """Ollama's models have windows, tools and kinds of their own."""
    server = Server(family="ollama", models=("loaded", "idle", "nomic-embed"), tools=False)
    found = await desk.look(await desk.serve(server.app()))
    told = [(m.name, m.window, m.source, m.kind, m.tools) for m in found.models]
    assert told == [
        ("loaded", 4096, "/api/ps", "chat", False),
        ("idle", 2048, "num_ctx", "chat", False),
        ("nomic-embed", 2048, "num_ctx", "embeddings", False),
    ]


def told_by(routes: dict[str, Any]) -> web.Application:
    """A server that answers the given GETs and nothing else."""
    app = web.Application()
    for path, answer in routes.items():

        async def say(_: web.Request, answer: Any = answer) -> web.Response:
            if isinstance(answer, int):
                return web.Response(status=answer)
            return web.json_response(answer)

        app.router.add_get(path, say)
    return app


async def test_a_silent_ollama_has_its_default(desk: Desk) -> None:
    """Without a loaded model or a stated window, Ollama's own default holds, not the model's length."""
    routes = {"/v1/models": {"data": [{"id": "x"}]}, "/api/version": {"version": "0.1"}}
    found = await desk.look(await desk.serve(told_by(routes)))
    assert (found.family, found.models[0].window) == ("ollama", OLLAMA_DEFAULT)


async def test_slots_stand_in_for_props(desk: Desk) -> None:
    """Where llama.cpp's properties do not tell the window, its slots do."""
    routes = {
        "/v1/models": {"data": [{"id": "x", "owned_by": "llamacpp"}]},
        "/props": {"default_generation_settings": {}},
        "/slots": [{"id": 0, "n_ctx": 512}, {"id": 1, "n_ctx": 256}],
    }
    found = await desk.look(await desk.serve(told_by(routes)))
    assert (found.models[0].window, found.models[0].source) == (256, "/slots")


@pytest.mark.parametrize(
    "routes",
    [
        {},
        {"/v1/models": {"data": None}},
        {"/v1/models": ["x"]},
        {"/v1/models": 404, "/props": {"default_generation_settings": None}},
        {"/v1/models": {"data": [{"id": "x"}]}, "/api/version": [1], "/api/v0/models": 7},
    ],
)
async def test_odd_servers_are_generic(desk: Desk, routes: dict[str, Any]) -> None:
    """What cannot be read is not known, and no reason to fail."""
    assert (await desk.look(await desk.serve(told_by(routes)))).family == "generic"


async def test_a_server_that_cannot_be_asked_is_told(desk: Desk) -> None:
    """An absent server and a refused key are failures, not an empty model list."""
    with pytest.raises(GatewayError) as caught:
        await desk.look("http://127.0.0.1:1")
    assert caught.value.code == "upstream_unreachable"
    url = await desk.serve(Server(family="llamacpp", key="right").app())
    with pytest.raises(GatewayError) as caught:
        await desk.look(url, Authorization="Bearer wrong")
    assert caught.value.kind == "upstream_login"


async def test_a_configured_family_is_not_asked_for(desk: Desk) -> None:
    """A profile in the configuration goes before what the server seems to be."""
    url = await desk.serve(Server(family="vllm").app())
    assert (await desk.look(url, family="llamacpp")).family == "llamacpp"


# ---- what follows from it


def facts(found: Found | None = None, model: str = "tiny", **settings: Any) -> Any:
    known = Facts("local", Settings(base_url="x", **settings))
    return known.capabilities(found, PROFILES[found.family if found else "generic"], model)


async def test_the_window_is_the_one_that_was_set(desk: Desk) -> None:
    """A model's row goes before the table, the table before the server, the server before the default."""
    found = await desk.look(await desk.serve(Server(family="vllm").app()))
    assert facts().window == 8192
    assert facts(default_window=100).window == 100
    assert facts(found).window == 4096
    assert facts(found, window=2000).window == 2000
    assert facts(found, window=2000, models=(ModelRow(name="tiny", window=1000),)).window == 1000


async def test_an_overflow_teaches_the_window(desk: Desk) -> None:
    """The limit that a server states in a refusal holds until the server is another one."""
    known = Facts("local", Settings(base_url="x"))
    known.learn("tiny", GatewayError("context_overflow", "too long", tokens=(700, 512)))
    assert known.window(None, "tiny") == (512, "an overflow")
    known.forget()
    assert known.window(None, "tiny") == (8192, "default_window")


async def test_any_name_finds_the_only_model(desk: Desk) -> None:
    """Facts of a server's only model hold for every name; of several, only for their own."""
    one = await desk.look(await desk.serve(Server(family="vllm").app()))
    assert facts(one, "whatever").window == 4096
    two = await desk.look(await desk.serve(Server(family="vllm", models=("a", "b")).app()))
    assert facts(two, "whatever").window == 8192
    assert Facts("local", Settings(base_url="x")).target(two, ANY) == "a"


def test_there_is_always_a_card() -> None:
    """A server that is down at the start can be asked for all the same, under the upstream's name."""
    (card,) = Facts("local", Settings(base_url="x")).cards(None)
    assert (card.id, card.target) == ("local", ANY)


def test_two_failures_take_a_server_down() -> None:
    """One failure is an accident, two are a state, one success ends it; refusals tell nothing."""
    standing = Standing()
    broken = GatewayError("upstream_failed", "gone", code="upstream_unreachable")
    standing.succeeded()
    standing.failed(broken)
    assert standing.up
    assert standing.doubtful
    standing.failed(GatewayError("invalid_request", "no"))
    assert standing.up
    standing.failed(broken)
    assert standing.up is False
    standing.succeeded()
    assert standing.up


# ---- settings


@pytest.mark.parametrize(
    ("base", "chat"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080/v1/chat/completions"),
        ("http://box:1/v1", "http://box:1/v1/chat/completions"),
        ("https://api.example.com/v1/", "https://api.example.com/v1/chat/completions"),
        ("https://example.com/models/x", "https://example.com/models/x/v1/chat/completions"),
    ],
)
def test_base_urls_are_read_as_people_write_them(base: str, chat: str) -> None:
    """With or without /v1, a slash at the end, a scheme."""
    assert str(check(Settings(base_url=base), "local").chat) == chat


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({}, "base_url"),
        ({"base_url": "ftp://x"}, "base_url"),
        ({"base_url": "http://user:pw@x"}, "base_url"),
        ({"base_url": "http://x?key=1"}, "base_url"),
        ({"base_url": "x", "connect_timeout": 0}, "connect_timeout"),
        ({"base_url": "x", "connect_retry_seconds": -1}, "connect_retry_seconds"),
        ({"base_url": "x", "default_window": 0}, "default_window"),
        ({"base_url": "x", "api_key": "a", "api_key_file": "b"}, "api_key_file"),
        ({"base_url": "x", "api_key_file": "/nowhere/at/all"}, "api_key_file"),
        ({"base_url": "x", "api_key": "a\nb"}, "api_key"),
        ({"base_url": "x", "models": (ModelRow(name=" "),)}, "models[0].name"),
    ],
)
def test_settings_that_cannot_work_are_named(settings: dict[str, Any], key: str) -> None:
    """The message begins with the key that is at fault."""
    with pytest.raises(SettingsError) as caught:
        check(Settings(**settings), "local")
    assert caught.value.path == key


def test_a_key_is_never_printed() -> None:
    """Neither the settings nor the address show the key."""
    settings = Settings(base_url="x", api_key="sk-canary-1")
    assert "canary" not in repr(settings) + repr(check(settings, "local"))
