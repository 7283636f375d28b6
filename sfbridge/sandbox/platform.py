"""Surface A, `/einstein/platform/v1`: text in, text out, everything else silently dropped.

Source: the published OpenAPI file of the Models API, and captures of its answers.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import Struct

from .catalogue import OrgModel
from .conversation import Conversation, Said
from .embeddings import embedding
from .model import Answer
from .refusal import Refusal, bad_argument
from .usage import Count, tokens, usage_parameters
from .visit import Visit

_COMMON: Final = ("localization", "tags")
_CHAT: Final = frozenset(("messages", *_COMMON))
_PROMPT: Final = frozenset(("prompt", *_COMMON))
_INPUT: Final = frozenset(("input", *_COMMON))
_MESSAGE: Final = frozenset(("role", "content"))
_ROLES: Final = frozenset(("system", "user", "assistant"))
_CATEGORIES: Final = ("identity", "hate", "profanity", "violence", "sexual", "physical")
# The words of each provider, under the key that it uses.
_ENDS: Final = {
    "anthropic": ("stop_reason", {"stop": "end_turn", "length": "max_tokens"}),
    "amazon": ("stop_reason", {"stop": "end_turn", "length": "max_tokens"}),
    "google": ("finish_reason", {"stop": "STOP", "length": "MAX_TOKENS"}),
}
_OPENAI_ENDS: Final = ("finish_reason", {"stop": "stop", "length": "length"})


class _Chat(Struct, frozen=True):
    messages: list[dict[str, Any]] | None = None


class _Prompt(Struct, frozen=True):
    prompt: str


class _Texts(Struct, frozen=True):
    input: list[str]


async def chat_generations(visit: Visit) -> web.StreamResponse:
    model = await visit.choose(visit.request.match_info["model"])
    visit.forbid(visit.decode(dict[str, Any]), _CHAT, "")
    said = _said(visit, visit.decode(_Chat).messages)
    answer = visit.answer(model, conversation_of(said))
    number = visit.org.serial()
    generation = {
        "id": _uuid(number),
        "role": "assistant",
        "content": answer.text,
        "timestamp": int(visit.org.now() * 1000),
        "parameters": _ending(model, answer),
        "contentQuality": _quality(model, answer),
    }
    return await visit.whole(
        {
            "id": f"chatcmpl-sandbox{number}",
            "generationDetails": {
                "generations": [generation],
                "parameters": _parameters(visit, model, answer.count),
            },
        }
    )


async def generations(visit: Visit) -> web.StreamResponse:
    model = await visit.choose(visit.request.match_info["model"])
    visit.forbid(visit.decode(dict[str, Any]), _PROMPT, "")
    prompt = visit.decode(_Prompt).prompt
    if not prompt:
        raise Refusal(400, "REQUIRED_FIELD_MISSING", "prompt is required")
    answer = visit.answer(model, conversation_of((Said(role="user", text=prompt),)))
    number = visit.org.serial()
    generation = {
        "id": _uuid(number),
        "generatedText": answer.text,
        "contentQuality": _quality(model, answer),
        "parameters": _ending(model, answer),
    }
    return await visit.whole(
        {
            "id": f"chatcmpl-sandbox{number}",
            "generation": generation,
            "moreGenerations": None,
            "prompt": None,
            "parameters": _parameters(visit, model, answer.count),
        }
    )


async def embeddings(visit: Visit) -> web.StreamResponse:
    model = await visit.choose(visit.request.match_info["model"])
    if not model.embeds:
        raise Refusal(404, "NOT_FOUND", "The model does not make embeddings.")
    visit.forbid(visit.decode(dict[str, Any]), _INPUT, "")
    texts = visit.decode(_Texts).input
    most = visit.org.settings.embedding_batch
    if not texts or 0 < most < len(texts):
        raise bad_argument(f"input must hold 1 to {most or 'any number of'} texts.")
    count = sum(tokens(text) for text in texts)
    return await visit.whole(
        {
            "embeddings": [
                {"embedding": embedding(text), "index": index} for index, text in enumerate(texts)
            ],
            "parameters": {
                "usage": {"prompt_tokens": count, "total_tokens": count},
                "model": model.provider_name,
                "object": "list",
            },
        }
    )


async def feedback(visit: Visit) -> web.StreamResponse:
    told = visit.decode(dict[str, Any])
    if told.get("feedback") not in ("GOOD", "BAD", None):
        raise bad_argument("feedback must be GOOD or BAD.")
    return web.json_response({"message": "Feedback received, Thank you!"}, status=202)


def conversation_of(said: tuple[Said, ...]) -> Conversation:
    """A conversation of texts alone."""
    return Conversation(said=said, everything="\n".join(turn.text for turn in said))


def _said(visit: Visit, messages: list[dict[str, Any]] | None) -> tuple[Said, ...]:
    if not messages:
        raise bad_argument("Messages must be non-null and size > 0.", "E30002")
    for index, message in enumerate(messages):
        visit.forbid(message, _MESSAGE, f"messages[{index}].")
        if message.get("role") not in _ROLES:
            raise bad_argument(f"messages[{index}].role must be system, user or assistant.")
        if not isinstance(message.get("content"), str):
            raise bad_argument(f"messages[{index}].content must be a string.", "E30020")
    return tuple(Said(role=message["role"], text=message["content"]) for message in messages)


def _parameters(visit: Visit, model: OrgModel, count: Count) -> dict[str, Any]:
    return {
        "created": int(visit.org.now()),
        "model": model.provider_name,
        "object": "chat.completion",
        **usage_parameters(model.family, count),
    }


def _ending(model: OrgModel, answer: Answer) -> dict[str, Any]:
    key, words = _ENDS.get(model.family, _OPENAI_ENDS)
    told: dict[str, Any] = {key: words.get(answer.finish, words["stop"]), "index": 0}
    if model.family == "openai":
        told |= {"refusal": None, "logprobs": None, "annotations": []}
    return told


def _quality(model: OrgModel, answer: Answer) -> dict[str, Any] | None:
    """The toxicity report; Google's models here give none, NVIDIA's an empty one."""
    if answer.toxic:
        return {"scanToxicity": _scan(b"9.7E-1", detected=True)}
    if model.family == "google":
        return None
    return {"scanToxicity": None if model.family == "nvidia" else _scan(b"2.0E-5", detected=False)}


def _scan(score: bytes, *, detected: bool) -> dict[str, Any]:
    return {
        "isDetected": detected,
        "categories": [{"categoryName": name, "score": msgspec.Raw(score)} for name in _CATEGORIES],
    }


def _uuid(number: int) -> str:
    return f"333127bd-2d5d-41e8-9781-{number:012x}"
