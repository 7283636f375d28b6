"""Which of its two APIs the org answers. Asked with one cheap call, remembered once it is known.

A refusal (401 with a new token, 403, 404) speaks for the platform surface; it must come for two models,
since either could be switched off in the org. A failure that may pass decides nothing.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Literal

from sfbridge.core.errors import GatewayError
from sfbridge.core.request import ChatRequest, Message, TextPart
from sfbridge.upstream.base import Resources, Trace

from . import gateway_api
from .connection import Connection
from .faults import Asked, Unauthorised
from .models import quoted
from .settings import Org, Settings

_log = logging.getLogger("sfbridge.upstream.salesforce")

Surface = Literal["gateway", "platform"]

# The documentation's own example model, then the one of Salesforce's skill for coding agents.
_MODELS: Final = ("sfdc_ai__DefaultGPT4OmniMini", "sfdc_ai__DefaultBedrockAnthropicClaude46Sonnet")
_MAX_OUTPUT: Final = 16
_REFUSALS: Final = frozenset(("not_found", "upstream_refused"))
# the same, and a new token that is refused: what an org says of a surface that it lacks
DOUBTFUL: Final = frozenset((*_REFUSALS, "upstream_login"))
_QUESTION: Final = ChatRequest(model="", messages=(Message("user", (TextPart("Say OK."),)),))


# The question asks for a few tokens only; an org that needs longer than this is not in order.
_SECONDS: Final = 10.0
# Seconds until the org is asked again after it could not be asked.
_FIRST_WAIT: Final = 5.0
_MOST_WAIT: Final = 300.0


class Probe:
    """Knows the surface, or finds it out; one question at a time, however many wait for it.

    known     the surface, once it is
    answered  whether a probe was answered, so that the org is known to be in order
    failure   why it could not be asked, when that was last tried; or that it lacks the surface of the settings
    """

    def __init__(
        self, connection: Connection, settings: Settings, org: Org, resources: Resources
    ) -> None:
        self._connection = connection
        self._org = org
        self._spawn = resources.spawn
        self._sleep = resources.sleep
        self._looking = False
        self._doubted = False
        self._asking: asyncio.Future[Surface] | None = None
        self._waits = _FIRST_WAIT / 2
        self.failure: GatewayError | None = None
        self.answered = False
        self.known: Surface | None = None if settings.surface == "auto" else settings.surface

    async def surface(self) -> Surface:
        """The surface to use. Raises GatewayError when the org could not be asked just now."""
        if self.known is not None:
            return self.known
        return await asyncio.shield(self.ask())

    def ask(self) -> asyncio.Future[Surface]:
        """Begin to ask, unless that is under way."""
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_future()
            self._spawn("salesforce probe", self._ask_for(self._asking))
        return self._asking

    async def _ask_for(self, waiting: asyncio.Future[Surface]) -> None:
        try:
            self.known = await self._ask()
        except GatewayError as error:
            self.failure = error
            _log.warning("the org %s could not be asked for its APIs: %s", self._org.host, error)
            waiting.set_exception(error)
            waiting.exception()  # marks it as seen: at the start nobody waits
            self._spawn("salesforce probe again", self._ask_later())
        else:
            self.failure = None
            waiting.set_result(self.known)
            announce(self.known, self._org)
        finally:
            self._asking = None
            if not waiting.done():  # the program is ending
                waiting.set_exception(GatewayError("upstream_failed", "The org was not asked."))
                waiting.exception()

    async def _ask_later(self) -> None:
        """Ask again by ourselves, ever more seldom, so that /readyz recovers though nobody calls."""
        self._waits = min(self._waits * 2, _MOST_WAIT)
        await asyncio.sleep(self._waits)
        if self.known is None:
            self.ask()

    def doubt(self) -> None:
        """The gateway of the settings refused a call though it never answered one: find out whether it is there."""
        self._doubted = True
        if not self._looking:
            self._looking = True
            self._spawn("salesforce gateway", self._look())

    def prove(self) -> None:
        """A call was answered, so there is nothing to doubt, whatever a question under way will find."""
        self._doubted = False
        self.failure = None

    async def _look(self) -> None:
        """Ask until the gateway answers, or a call of somebody has; /readyz tells what is wrong so long."""
        try:
            while (failure := await self._missing()) is not None and self._doubted:
                self.failure = failure
                _log.warning("%s", failure)
                self._waits = min(self._waits * 2, _MOST_WAIT)
                await self._sleep(self._waits)
                if not self._doubted:
                    return
            self.failure = None
        finally:
            self._looking = False

    async def _missing(self) -> GatewayError | None:
        try:
            if await self._ask() == "gateway":
                return None
        except GatewayError as error:
            return error
        return GatewayError(
            "upstream_refused",
            f'{self._org.host} does not have the gateway that surface = "gateway" asks for; "auto" takes what '
            "the org has.",
            code="surface_missing",
        )

    async def _ask(self) -> Surface:
        for model in _MODELS:
            if await self._answers(model):
                self.answered = True
                return "gateway"
        return "platform"

    async def _answers(self, model: str) -> bool:
        body = gateway_api.body(model, _QUESTION, _MAX_OUTPUT, thinks=False)
        path = gateway_api.path(model, quoted(model), stream=False)
        asked = Asked(model=model, size=len(body))
        try:
            async with (
                asyncio.timeout(_SECONDS),
                self._connection.accepted(path, body, asked, Trace()) as response,
            ):
                gateway_api.whole_answer(await response.body(), asked)
        except Unauthorised:
            return False
        except TimeoutError:
            raise GatewayError(
                "timeout",
                f"{self._org.host} did not say within {_SECONDS:g} s which APIs it has. Set surface in "
                "config.toml to skip the question.",
                code="upstream_silent",
            ) from None
        except GatewayError as error:
            if error.kind in _REFUSALS or error.code == "upstream_garbled":
                return False
            if error.kind == "invalid_request":  # it understood, and disliked the question
                return True
            raise
        return True


def announce(surface: Surface, org: Org) -> None:
    """Tell the log what will answer."""
    words = (
        "the gateway API (streams, native tools)"
        if surface == "gateway"
        else "the platform API (no streams, tools by instruction)"
    )
    _log.info("the org %s is used by %s", org.host, words)
