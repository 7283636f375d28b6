"""How an answer leaves: whole or in frames, slowly, in odd pieces, or broken off as a fault demands."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from aiohttp import web
from msgspec import Struct

from .faults import Fault
from .refusal import Refusal, envelope

_JSON: Final = "application/json"
_ODD_SIZES: Final = (7, 1, 61, 3, 191, 13)
# Shares of an answer that a fault lets through.
_HALF: Final = 2
IN_BAND: Final = envelope("INTERNAL_ERROR", "The model failed while it was answering.")


class Frames(Struct, frozen=True, kw_only=True):
    """A streamed answer, and what stands in it where a fault wants a broken or a failing frame."""

    frames: Sequence[bytes]
    content_type: str
    broken: bytes
    failure: bytes


def ready(refusal: Refusal) -> web.Response:
    """The response of a refusal."""
    return web.Response(
        status=refusal.status,
        body=refusal.body,
        headers=refusal.headers,
        content_type=refusal.content_type,
    )


async def say_whole(
    request: web.Request, body: bytes, fault: Fault, headers: dict[str, str]
) -> web.StreamResponse:
    """A JSON body in one piece, or as much of it as the fault lets through."""
    match fault.kind:
        case "error-mid" | "200-json-error":
            body = IN_BAND
        case "bad-json":
            body = body[: len(body) // _HALF]
        case "stall" | "cut":
            response = web.StreamResponse(headers={**headers, "Content-Length": str(len(body))})
            response.content_type = _JSON
            await response.prepare(request)
            await response.write(body[: len(body) // _HALF])
            await _end(request, response, fault)
            return response
    return web.Response(body=body, content_type=_JSON)


async def say_stream(
    request: web.Request,
    answer: Frames,
    fault: Fault,
    *,
    headers: dict[str, str],
    delay: float,
    split: int,
) -> web.StreamResponse:
    """Frames of a stream, one write each, unless they are to be split."""
    if fault.kind == "200-json-error":
        return web.Response(body=IN_BAND, content_type=_JSON)
    response = web.StreamResponse(headers=headers)
    response.content_type = answer.content_type
    await response.prepare(request)
    chunks: Iterable[bytes] = _bent(answer, fault)
    if split or fault.kind == "split-tool":
        chunks = _split(b"".join(chunks), split)
    for chunk in chunks:
        if delay:
            await asyncio.sleep(delay)
        await response.write(chunk)
    await _end(request, response, fault)
    return response


def _bent(answer: Frames, fault: Fault) -> list[bytes]:
    """The frames that leave, with the broken or failing one in their middle."""
    frames = list(answer.frames)
    half = max(1, len(frames) // _HALF)
    match fault.kind:
        case "stall":
            return frames[:half]
        case "cut":
            return [*frames[:half], frames[half][: len(frames[half]) // _HALF]]
        case "bad-json":
            return [*frames[:half], answer.broken, *frames[half:]]
        case "error-mid":
            return [*frames[:half], answer.failure]
        case _:
            return frames


def _split(data: bytes, size: int) -> Iterator[bytes]:
    """Pieces of uneven sizes, about `size` bytes or, without one, as awkward as can be."""
    start = turn = 0
    while start < len(data):
        odd = _ODD_SIZES[turn % len(_ODD_SIZES)]
        step = max(1, size - odd) if size else odd
        yield data[start : start + step]
        start += step
        turn += 1


async def _end(request: web.Request, response: web.StreamResponse, fault: Fault) -> None:
    if fault.kind == "stall":
        await asyncio.Event().wait()
    elif fault.kind == "cut":
        if request.transport is not None:
            request.transport.close()
    else:
        await response.write_eof()
