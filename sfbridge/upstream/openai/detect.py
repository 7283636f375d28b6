"""Which family a server is of, which models it has, how large their windows are: asked of the server itself.

The questions are cheap GETs (Ollama's `show` is a POST). What a server does not answer stays unknown; only a
server that cannot be reached at all raises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import ClientSession, ClientTimeout
from msgspec import Struct
from yarl import URL

from sfbridge.core.errors import GatewayError
from sfbridge.core.model import Kind
from sfbridge.formats import openai_answer as o
from sfbridge.upstream.http import get, post

from .faults import Asked, fault
from .profiles import Family
from .settings import Address

T = TypeVar("T")

MOST_BODY: Final = 8 * 1024 * 1024
# Ollama is asked for every model one by one.
MOST_SHOWN: Final = 32
# What Ollama gives a model of which nothing else is said (`OLLAMA_CONTEXT_LENGTH`); it cuts longer prompts
# without a word, so its model's own length would be a trap.
OLLAMA_DEFAULT: Final = 4096

_OWNERS: Final[Mapping[str, Family]] = {
    "llamacpp": "llamacpp",
    "vllm": "vllm",
    "library": "ollama",
    "organization_owner": "lmstudio",
}
_NUM_CTX: Final = re.compile(r"^\s*num_ctx\s+(\d+)\s*$", re.MULTILINE)

_models = msgspec.json.Decoder(o.ModelList)
_props = msgspec.json.Decoder(o.Props)
_slots = msgspec.json.Decoder(list[o.Slot])
_version = msgspec.json.Decoder(o.OllamaVersion)
_processes = msgspec.json.Decoder(o.OllamaProcesses)
_show = msgspec.json.Decoder(o.OllamaShow)
_studio = msgspec.json.Decoder(o.StudioModels)


class Seen(Struct, frozen=True, kw_only=True):
    """One model as its server describes it; None and empty mean that it does not say.

    source  where the window was read
    tools   False: the server says that the model cannot call tools
    """

    name: str
    kind: Kind = "any"
    created: int = 0
    window: int | None = None
    source: str = ""
    images: bool | None = None
    tools: bool | None = None


class Found(Struct, frozen=True, kw_only=True):
    """What a look at a server found."""

    family: Family
    models: tuple[Seen, ...] = ()

    def model(self, name: str) -> Seen | None:
        return next((seen for seen in self.models if seen.name == name), None)


class Looker:
    """Asks one server."""

    def __init__(
        self,
        session: ClientSession,
        address: Address,
        headers: Mapping[str, str],
        *,
        family: Family | None,
        seconds: float,
    ) -> None:
        self._session = session
        self._address = address
        self._headers = headers
        self._family = family
        self._timeout = ClientTimeout(total=seconds)

    async def look(self) -> Found:
        """Everything that the server tells of itself. Raises GatewayError when it cannot be asked."""
        listed = await self.listed()
        family = self._family or await self._recognised(listed)
        seen = tuple([_seen(model) for model in listed])
        match family:
            case "llamacpp":
                seen = await self._llamacpp(seen)
            case "ollama":
                seen = await self._ollama(seen)
            case "lmstudio":
                seen = await self._lmstudio(seen)
        return Found(family=family, models=seen)

    async def listed(self) -> Sequence[o.ListedModel]:
        """The model list; empty where the server has no such route. The cheapest sign of life."""
        address = self._address
        sent = get(self._session, address.models, headers=self._headers, timeout=self._timeout)
        async with sent as response:
            if response.status != 200:
                told = await response.fault_body()
                if response.status in (404, 405, 501):
                    return ()
                raise fault(response.status, response.headers, told, Asked(model=""), 0.0)
            body = await response.body(MOST_BODY)
        return (_decoded(_models, body) or o.ModelList()).data or ()

    # ---- families

    async def _recognised(self, listed: Sequence[o.ListedModel]) -> Family:
        """The family: by what the model list says of its owner, else by the routes that only one family has."""
        for model in listed:
            if model.max_model_len is not None:
                return "vllm"
            if (family := _OWNERS.get(model.owned_by or "")) is not None:
                return family
        props = await self._asked(_props, "/props")
        if props is not None and props.defaults is not None:
            return "llamacpp"
        version = await self._asked(_version, "/api/version")
        if version is not None and version.version:
            return "ollama"
        if await self._studio() is not None:
            return "lmstudio"
        return "generic"

    async def _llamacpp(self, seen: tuple[Seen, ...]) -> tuple[Seen, ...]:
        props = await self._asked(_props, "/props") or o.Props()
        window = props.defaults.n_ctx if props.defaults is not None else None
        source = "/props"
        if not window:
            slots = await self._asked(_slots, "/slots") or []
            window, source = min((s.n_ctx for s in slots if s.n_ctx), default=None), "/slots"
        vision = props.modalities.vision if props.modalities is not None else None
        told: dict[str, Any] = {"images": vision}
        if window:
            told |= {"window": window, "source": source}
        return tuple([msgspec.structs.replace(model, **told) for model in seen])

    async def _ollama(self, seen: tuple[Seen, ...]) -> tuple[Seen, ...]:
        running = await self._asked(_processes, "/api/ps") or o.OllamaProcesses()
        loaded = {
            name: process.context_length
            for process in running.models or ()
            for name in (process.name, process.model)
        }
        found = [
            _shown(model, await self._show(model.name), loaded.get(model.name))
            for model in seen[:MOST_SHOWN]
        ]
        return (*found, *seen[MOST_SHOWN:])

    async def _lmstudio(self, seen: tuple[Seen, ...]) -> tuple[Seen, ...]:
        studio = {model.id: model for model in await self._studio() or ()}
        return tuple(
            [
                _in_studio(model, studio[model.name]) if model.name in studio else model
                for model in seen
            ]
        )

    async def _studio(self) -> Sequence[o.StudioModel] | None:
        models = await self._asked(_studio, "/api/v0/models")
        return models.data if models is not None else None

    # ---- questions

    async def _asked(self, decoder: msgspec.json.Decoder[T], path: str) -> T | None:
        """The answer at a route of the server's root; None where there is none that can be read."""
        url = self._at(path)
        try:
            sent = get(self._session, url, headers=self._headers, timeout=self._timeout)
            async with sent as response:
                if response.status != 200:
                    return None
                return _decoded(decoder, await response.body(MOST_BODY))
        except GatewayError:
            return None

    async def _show(self, model: str) -> o.OllamaShow | None:
        body = msgspec.json.encode({"model": model})
        url = self._at("/api/show")
        try:
            sent = post(self._session, url, body, headers=self._headers, timeout=self._timeout)
            async with sent as response:
                if response.status != 200:
                    return None
                return _decoded(_show, await response.body(MOST_BODY))
        except GatewayError:
            return None

    def _at(self, path: str) -> URL:
        root = self._address.root
        return root.with_path(root.path.rstrip("/") + path)


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T | None:
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return None


def _seen(model: o.ListedModel) -> Seen:
    window, source = model.max_model_len, "max_model_len"
    if window is None and model.meta is not None:
        window, source = model.meta.n_ctx or model.meta.n_ctx_train, "the model list"
    return Seen(
        name=model.id,
        created=int(model.created or 0),
        window=window or None,
        source=source if window else "",
    )


def _shown(model: Seen, show: o.OllamaShow | None, loaded: int | None) -> Seen:
    """Ollama's window: that of the loaded model, else what its Modelfile says, else the server's default."""
    show = show or o.OllamaShow()
    trained = next(
        (
            value
            for key, value in (show.model_info or {}).items()
            if key.endswith(".context_length") and isinstance(value, int)
        ),
        None,
    )
    stated = _NUM_CTX.search(show.parameters or "")
    if loaded:
        window, source = loaded, "/api/ps"
    elif stated:
        window, source = int(stated[1]), "num_ctx"
    else:
        window, source = min(OLLAMA_DEFAULT, trained or OLLAMA_DEFAULT), "Ollama's default"
    able = show.capabilities
    return msgspec.structs.replace(
        model,
        window=window,
        source=source,
        kind="embeddings" if able is not None and "completion" not in able else "chat",
        images=None if able is None else "vision" in able,
        tools=None if able is None else "tools" in able,
    )


def _in_studio(model: Seen, studio: o.StudioModel) -> Seen:
    window = studio.loaded_context_length or studio.max_context_length
    loaded = "loaded_context_length" if studio.loaded_context_length else "max_context_length"
    return msgspec.structs.replace(
        model,
        window=window or model.window,
        source=loaded if window else model.source,
        kind="embeddings" if studio.type == "embeddings" else "chat",
        images=None if studio.type is None else studio.type == "vlm",
    )
