"""The org's access token: minted once for everybody, renewed ahead of its end, never in a loop.

Client credentials flow. The token's own `exp` claim is believed first, since the response has no reliable
lifetime. One mint at a time runs as a background task, so that no caller's departure can end it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from aiohttp import ClientSession, ClientTimeout
from msgspec import Struct
from multidict import CIMultiDict

from sfbridge.core.errors import GatewayError
from sfbridge.formats.salesforce import TokenAnswer, TokenClaims
from sfbridge.upstream.base import Resources, Trace
from sfbridge.upstream.http import post

from .settings import DEFAULT_API_URL, Org, Settings, safe_base
from .token_faults import OPAQUE, token_fault

_log = logging.getLogger("sfbridge.upstream.salesforce")

# An unreadable lifetime: the documented default of JWT tokens is 30 minutes.
UNKNOWN_LIFE: Final = 25 * 60.0
# Refresh at the later of these two: this share of the life, or this many seconds before the end.
_SHARE: Final = 0.8
_AHEAD: Final = 300.0
# After a refresh ahead of time failed, the old token serves on for this long before the next try.
_PATIENCE: Final = 30.0
_MOST_TOKEN_BODY: Final = 256 * 1024
_FORM: Final = {
    "Content-Type": "application/x-www-form-urlencoded",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
}

_answer = msgspec.json.Decoder(TokenAnswer)
_claims = msgspec.json.Decoder(TokenClaims)


class Token(Struct, frozen=True, kw_only=True, eq=False):
    """A token and what every request with it repeats, in aiohttp's own form. Times are of the monotonic clock."""

    headers: CIMultiDict[str]
    api_url: str
    refresh_at: float
    expires_at: float

    def __repr__(self) -> str:
        return f"Token(api_url={self.api_url!r}, ...)"


class Tokens:
    """Gives out the org's token. `current` is cheap while one is held."""

    def __init__(self, org: Org, settings: Settings, resources: Resources) -> None:
        self._session: ClientSession = resources.session
        self._clock = resources.clock
        self._wall = resources.wall
        self._hide = resources.hide
        self._spawn: Callable[[str, Coroutine[Any, Any, None]], object] = resources.spawn
        self._org = org
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "x-sfdc-app-context": settings.app_context,
            "x-client-feature-id": settings.feature_id,
        }
        self._timeout = ClientTimeout(
            total=settings.token_timeout, sock_connect=settings.connect_timeout
        )
        self._token: Token | None = None
        self._minting: asyncio.Future[Token] | None = None
        self._not_before = float("-inf")
        self._issued = False
        self.failure: GatewayError | None = None

    @property
    def held(self) -> Token | None:
        """The token, if it is still good."""
        token = self._token
        return token if token is not None and self._clock() < token.expires_at else None

    async def current(self, trace: Trace | None = None) -> Token:
        """A token that is good now. Raises GatewayError when the org issues none."""
        now = self._clock()
        token = self._token
        if token is not None and now < token.expires_at:
            if now >= token.refresh_at:
                self.refresh()
            return token
        return await self._minted(trace)

    async def renew(self, stale: Token, trace: Trace | None = None) -> Token:
        """A token other than `stale`, which the API refused. However many ask, one is minted."""
        token = self._token
        if token is not None and token is not stale:
            return token
        self._token = None
        return await self._minted(trace)

    @property
    def issued(self) -> bool:
        """Whether the org issued a token, and the last attempt to get another did not cost it.

        True while a refused one is renewed: health must not blink each time.
        """
        return self._issued and (self.failure is None or self.held is not None)

    def refresh(self) -> None:
        """Begin to mint in the background, unless that is under way or failed just now."""
        if self._clock() >= self._not_before:
            self._begin()

    async def _minted(self, trace: Trace | None) -> Token:
        if trace is not None:
            trace.auth_refreshes += 1
        # shielded, so that a caller who leaves takes nobody's token along
        return await asyncio.shield(self._begin())

    def _begin(self) -> asyncio.Future[Token]:
        if self._minting is None:
            self._minting = asyncio.get_running_loop().create_future()
            self._spawn("salesforce token", self._mint_for(self._minting))
        return self._minting

    async def _mint_for(self, waiting: asyncio.Future[Token]) -> None:
        try:
            token = await self._mint()
        except GatewayError as error:
            self.failure = error
            self._not_before = self._clock() + _PATIENCE
            _log.warning("no token from %s: %s %s", self._org.host, error.message, error.detail)
            waiting.set_exception(error)
            waiting.exception()  # marks it as seen: with a refresh ahead of time, nobody waits
        else:
            self._token, self._issued, self.failure = token, True, None
            waiting.set_result(token)
        finally:
            self._minting = None
            if not waiting.done():  # the program is ending
                waiting.set_exception(GatewayError("upstream_failed", "No token was issued."))
                waiting.exception()

    async def _mint(self) -> Token:
        form = urlencode(
            {
                "grant_type": "client_credentials",
                "client_id": self._org.client_id.reveal(),
                "client_secret": self._org.client_secret.reveal(),
            }
        ).encode()
        asked = post(self._session, self._org.token_url, form, headers=_FORM, timeout=self._timeout)
        async with asked as response:
            if response.status != 200:
                raise token_fault(response.status, await response.fault_body())
            body = await response.body(_MOST_TOKEN_BODY)
        try:
            answer = _answer.decode(body)
        except msgspec.MsgspecError:
            raise token_fault(200, body) from None
        return self._token_of(answer)

    def _token_of(self, answer: TokenAnswer) -> Token:
        value = answer.access_token
        self._hide(value)
        if value.count(".") != 2 or (answer.token_format or "jwt").lower() != "jwt":
            raise GatewayError(
                "upstream_login", OPAQUE, code="salesforce_opaque_token", retriable=False
            )
        now, life = self._clock(), lifetime(answer, self._wall())
        return Token(
            headers=CIMultiDict({**self._headers, "Authorization": f"Bearer {value}"}),
            api_url=self._org.api_url
            or safe_base(answer.api_instance_url or "")
            or DEFAULT_API_URL,
            refresh_at=now + max(_SHARE * life, life - _AHEAD),
            expires_at=now + life,
        )


def lifetime(answer: TokenAnswer, wall: float) -> float:
    """Seconds that a fresh token will be good: by its `exp`, else by `expires_in`, else the usual.

    A clock of ours that runs ahead makes `exp` look past; then the life that the issuer's own times
    span is taken.
    """
    issued = _number(answer.issued_at)
    end = _expiry(answer.access_token)
    if end is not None:
        if end > wall:
            return end - wall
        if issued is not None and end > issued / 1000:
            return end - issued / 1000
    span = _number(answer.expires_in)
    if span is None or span <= 0:
        return UNKNOWN_LIFE
    if issued is not None and 0 < issued / 1000 + span - wall <= span:
        return issued / 1000 + span - wall
    return span


def _expiry(token: str) -> float | None:
    """The `exp` claim. The signature is not looked at: we only pass the token on."""
    payload = token.split(".")[1]
    try:
        claims = _claims.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None
    return None if claims.exp is None else float(claims.exp)


def _number(value: str | float | None) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return None
