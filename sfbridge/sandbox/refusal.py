"""How the org says no: the error envelope of gateway and platform, and the rarer bodies beside it."""

from __future__ import annotations

from typing import Any

import msgspec


class Refusal(Exception):
    """An answer that is an error.

    body  what is sent instead of the envelope, with `content_type`
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        message_code: str = "E00001",
        retry_after: int | None = None,
        targets: tuple[str, ...] = (),
        body: bytes | None = None,
        content_type: str = "application/json",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        self.content_type = content_type
        self.body = body if body is not None else envelope(code, message, message_code, targets)


def envelope(
    code: str, message: str, message_code: str = "E00001", targets: tuple[str, ...] = ()
) -> bytes:
    """The three promised strings, and at times the headers or fields they are about."""
    told: dict[str, Any] = {"messageCode": message_code, "errorCode": code, "message": message}
    if targets:
        told["targets"] = [{"type": "HTTP_HEADER", "reference": name} for name in targets]
    return msgspec.json.encode(told)


def bad_argument(message: str, message_code: str = "E00001") -> Refusal:
    """400, as the gateway words it; also how it passes on what a provider refused."""
    return Refusal(400, "BAD_ARGUMENT", message, message_code=message_code)
