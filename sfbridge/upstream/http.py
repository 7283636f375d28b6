"""One HTTP request to somebody else's machine. The only place where aiohttp's exceptions become ours.

No message made here holds a query, a token or a body; hosts are named, because they are what to look at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from io import BytesIO
from types import TracebackType
from typing import Final

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientPayloadError,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ClientSSLError,
    ClientTimeout,
    ConnectionTimeoutError,
)
from yarl import URL

from sfbridge.core.errors import GatewayError

from .lane import Landed, Lane

MOST_BODY: Final = 64 * 1024 * 1024
MOST_FAULT_BODY: Final = 64 * 1024
FAULT_SECONDS: Final = 5.0
_MOST_WAIT: Final = 3600.0
_LARGE_BODY: Final = 1024 * 1024
_NOT_AUTOMATIC: Final = ("Accept", "Accept-Encoding")


class Response:
    """An answer whose head has arrived, whatever its status."""

    __slots__ = ("_raw", "headers", "host", "status")

    def __init__(self, raw: ClientResponse | Landed, host: str) -> None:
        self._raw = raw
        self.status = raw.status
        self.headers: Mapping[str, str] = raw.headers
        self.host = host

    @property
    def content_type(self) -> str:
        """The media type without its parameters, in lower case; empty where the answer has none."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    async def some(self) -> bytes:
        """What the next read brings; empty at the end of the body."""
        try:
            return await self._raw.content.readany()
        except (ClientError, OSError) as error:
            raise self._cut(error) from error

    async def some_within(self, seconds: float) -> bytes:
        """As `some`, for bytes that may be missed: empty also when they do not come in time."""
        try:
            async with asyncio.timeout(seconds):
                return await self._raw.content.readany()
        except (ClientError, OSError):
            return b""

    async def body(self, most: int = MOST_BODY) -> bytes:
        """The whole body. Raises GatewayError when it breaks off or is larger than `most` bytes."""
        parts: list[bytes] = []
        size = 0
        while part := await self.some():
            parts.append(part)
            size += len(part)
            if size > most:
                raise GatewayError(
                    "upstream_failed",
                    f"The answer of {self.host} is larger than {most // (1024 * 1024)} MB.",
                    code="upstream_oversized",
                    retriable=False,
                )
            if self._raw.content.at_eof():
                break  # most answers come in one read; the second would only say so
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def fault_body(self) -> bytes:
        """What can be had of an error's body, soon and in bounds: a broken one must not hide the error."""
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(FAULT_SECONDS):
                while size < MOST_FAULT_BODY and (part := await self._raw.content.readany()):
                    parts.append(part)
                    size += len(part)
        except (ClientError, OSError):
            pass
        return b"".join(parts)[:MOST_FAULT_BODY]

    def expect_within(self, seconds: float) -> None:
        """From now on, silence of `seconds` is a timeout. To be called when all that came was read."""
        connection = self._raw.connection
        if connection is not None and connection.protocol is not None:
            connection.protocol.read_timeout = seconds
            connection.protocol.start_timeout()

    def close(self) -> None:
        """Close the connection, unless the body was read to its end: then it already serves others."""
        self._raw.close()

    def _cut(self, error: Exception) -> GatewayError:
        if isinstance(error, TimeoutError):
            return GatewayError(
                "timeout",
                f"{self.host} began to answer and then fell silent.",
                code="upstream_silent",
                detail=type(error).__name__,
            )
        said = "broke off its answer"
        if isinstance(error, ClientPayloadError):
            said = "broke off its answer, or garbled it"
        return GatewayError(
            "upstream_failed",
            f"{self.host} {said}.",
            code="upstream_cut",
            detail=type(error).__name__,
        )


def post(
    session: ClientSession,
    url: URL,
    body: bytes,
    *,
    headers: Mapping[str, str],
    timeout: ClientTimeout,
) -> Answered:
    """Send one request and wait for the head of its answer. Redirects are not followed: they would take
    the token with them. Raises GatewayError; leaving closes what was not read to its end."""
    # a large body in one piece would hold up everybody else; aiohttp cuts a file into pieces
    data = body if len(body) < _LARGE_BODY else BytesIO(body)
    sending = session.post(
        url,
        data=data,
        headers=headers,
        timeout=timeout,
        allow_redirects=False,
        skip_auto_headers=_to_skip(headers),
    )
    return Answered(sending, url)


def post_along(lane: Lane, body: bytes, connected: Callable[[], None]) -> Answered:
    """As `post`, to the lane's address; the way for whoever posts there often. `connected` is called as soon as there
    is a connection, but not where a proxy may be in between."""
    if lane.session.trust_env:
        return post(lane.session, lane.url, body, headers=lane.headers, timeout=lane.timeout)
    return Answered(lane.send(body, connected), lane.url)


def get(
    session: ClientSession,
    url: URL,
    *,
    headers: Mapping[str, str],
    timeout: ClientTimeout,
) -> Answered:
    """As `post`, for a question without a body."""
    sending = session.get(
        url,
        headers=headers,
        timeout=timeout,
        allow_redirects=False,
        skip_auto_headers=_to_skip(headers),
    )
    return Answered(sending, url)


def _to_skip(headers: Mapping[str, str]) -> tuple[str, ...] | None:
    """What aiohttp must not add by itself. Being told costs it 1.5 us, so it is told only where it would."""
    return None if "Accept-Encoding" in headers else _NOT_AUTOMATIC


class Answered:
    """A request under way; entering it waits for the head of the answer.

    A class, because a generator as context manager costs several microseconds more, at every request.
    """

    __slots__ = ("_response", "_sending", "_url")

    def __init__(self, sending: Awaitable[ClientResponse | Landed], url: URL) -> None:
        self._sending = sending
        self._url = url

    async def __aenter__(self) -> Response:
        host = self._url.host or "the upstream"
        try:
            raw = await self._sending
        except (ClientError, OSError) as error:
            raise _unreached(error, host) from error
        self._response = Response(raw, host)
        return self._response

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._response.close()


def retry_after(headers: Mapping[str, str], wall: float) -> float | None:
    """Seconds to wait, from a number or an HTTP date; None when the header is missing or unreadable."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - wall
        except ValueError:
            return None
    if not 0 <= seconds < float("inf"):
        return 0.0 if seconds < 0 else None
    return min(seconds, _MOST_WAIT)


def _unreached(error: Exception, host: str) -> GatewayError:
    """No answer has come. `upstream_unreachable` means that nothing of one has, so it may be sent again."""
    detail = type(error).__name__
    if isinstance(error, TimeoutError):
        if isinstance(error, ConnectionTimeoutError):
            message, code = (
                f"{host} cannot be reached: no connection in time.",
                "upstream_unreachable",
            )
        else:
            message, code = f"{host} did not answer in time.", "upstream_silent"
        return GatewayError("timeout", message, code=code, detail=detail)
    if isinstance(error, ClientResponseError | ClientPayloadError):
        return GatewayError(
            "upstream_failed",
            f"{host} does not speak proper HTTP.",
            code="upstream_garbled",
            detail=detail,
        )
    return GatewayError(
        "upstream_failed",
        f"{host} cannot be reached: {_reason(error)}.",
        code="upstream_unreachable",
        detail=detail,
    )


def _reason(error: Exception) -> str:
    match error:
        case ClientConnectorDNSError():
            return "its name cannot be resolved"
        case ClientConnectorCertificateError():
            return "its TLS certificate is not trusted"
        case ClientSSLError():
            return "the TLS handshake failed"
        case ClientConnectorError():
            return (error.os_error.strerror or "the connection was refused").lower()
        case _:
            return "the connection broke before an answer came"
