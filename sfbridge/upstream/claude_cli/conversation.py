"""One process and the conversation it holds: turn after turn, until it is ended.

A client's tool call is answered in the process that made it. Ending the turn and resuming the session was tried
and is worse: a resumed session has the call down as interrupted, and drops tool results that come as the user's
words (2.1.197 and 2.1.329). Where the process is gone, the conversation is told anew from the client's history.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from typing import Final

import msgspec

from sfbridge.core.errors import GatewayError
from sfbridge.core.request import Message
from sfbridge.core.stream import Piece
from sfbridge.formats.claude_cli import Init, Line, Result
from sfbridge.formats.ndjson import Lines, LongLine
from sfbridge.upstream.base import Trace

from .channel import Channel
from .faults import ended, garbled, silent, wrong_billing
from .launch import Launch
from .process import Child
from .prompt import Content, results_of, words_of
from .reading import Reader
from .settings import Settings

_log = logging.getLogger("sfbridge.upstream.claude_cli")

_line = msgspec.json.Decoder(Line)
_init = msgspec.json.Decoder(Init)
# The key sources that the CLI names when it does not use its login.
_KEYS: Final = frozenset(("ANTHROPIC_API_KEY", "apiKeyHelper"))


class Conversation:
    """A started process.

    session  the CLI's own session, empty where it keeps none
    key_id   whose requests it answers
    waiting  the ids of the calls whose results it waits for
    going    the last turn was whole, so another may follow
    """

    def __init__(
        self, child: Child, launch: Launch, settings: Settings, *, session: str, key_id: str
    ) -> None:
        self.child = child
        self.launch = launch
        self.session = session
        self.key_id = key_id
        self.waiting: frozenset[str] = frozenset()
        self.going = False
        self._cost = self._billed = 0.0
        self._settings = settings
        self._channel = Channel(launch)
        self._lines = Lines()
        self._reader = Reader({}, limited=False)
        self._reused = False

    async def begin(self, content: Content, trace: Trace) -> Sequence[Piece]:
        """The first turn. Returns the first pieces, once the model has begun to answer."""
        return await self._turn([self._channel.opening(), self._channel.said(content)], trace)

    async def say(self, content: Content, trace: Trace) -> Sequence[Piece]:
        """A further turn."""
        self._reused = True
        return await self._turn([self._channel.said(content)], trace)

    async def give(self, message: Message, trace: Trace) -> Sequence[Piece]:
        """The results of the client's tools, which let the turn go on."""
        self._reused = True
        words = words_of(message)
        # the process takes words that come during a turn along with the next result
        lines = [self._channel.said(words)] if words else []
        lines += self._channel.results(results_of(message))
        return await self._turn(lines, trace)

    def takes(self, message: Message) -> bool:
        """Whether a message holds the results of all calls that are waited for."""
        return bool(self.waiting) and self.waiting <= results_of(message).keys()

    async def pieces(self, first: Sequence[Piece]) -> AsyncGenerator[Sequence[Piece]]:
        """The turn that has begun, one batch per read."""
        yield first
        while not self._reader.end:
            if pieces := await self._more(self._settings.stream_idle_timeout):
                yield pieces

    async def _turn(self, lines: list[bytes], trace: Trace) -> Sequence[Piece]:
        self.going = False
        self._reader = Reader(self._channel.calls, limited=self.launch.max_output > 0)
        start = self._settings.start_timeout
        try:
            await self.child.write(lines, start)
        except TimeoutError:
            raise silent(start, begun=False) from None
        trace.connected()
        pieces: Sequence[Piece] = []
        seconds = start
        while not pieces and not self._reader.end:
            pieces = await self._more(seconds)
            seconds = self._settings.stream_idle_timeout
        trace.upstream_ids.append(self.session or f"pid {self.child.pid}")
        return pieces

    async def _more(self, seconds: float) -> list[Piece]:
        """What the next read brings; the process gets the answers that it asks for."""
        reader = self._reader
        try:
            chunk = await self.child.read(seconds)
            if not chunk:
                raise await self._gone()
            out: list[Piece] = []
            answers: list[bytes] = []
            for raw in self._lines.feed(chunk):
                self._take(raw, out, answers)
            if answers:
                await self.child.write(answers, seconds)
        except TimeoutError:
            raise silent(seconds, begun=reader.begun) from None
        except LongLine as error:
            raise garbled(str(error)) from None
        if reader.end:
            self.waiting = frozenset(reader.waiting) if reader.end == "calls" else frozenset()
            self.going = reader.end != "limit"
            self._account(reader.result)
        return out

    def _take(self, raw: bytes, out: list[Piece], answers: list[bytes]) -> None:
        try:
            line = _line.decode(raw)
            if line.type == "system" and line.subtype == "init":
                self._check(_init.decode(raw))
        except msgspec.MsgspecError as error:
            raise garbled(str(error)[:200]) from None
        if line.type == "control_request":
            found, call_id = self._channel.asked(line)
            answers += found
            if call_id:
                out += self._reader.called()
        else:
            out += self._reader.feed(line, raw)

    def _check(self, init: Init) -> None:
        source, wanted = init.key_source or "none", self._settings.billing
        if (wanted == "login" and source in _KEYS) or (wanted == "api_key" and source not in _KEYS):
            raise wrong_billing(wanted, source)

    def _account(self, result: Result | None) -> None:
        if result is not None and result.cost is not None:
            self._cost = result.cost

    @property
    def speaking(self) -> bool:
        """In the middle of a turn, be it only for a tool's result."""
        return bool(self.waiting) or not self.going

    def bill(self) -> float:
        """What was spent since the last time, in USD; the CLI counts from the start of its process."""
        spent, self._billed = self._cost - self._billed, self._cost
        return spent

    def window(self) -> int | None:
        """The window of the model, by the CLI's own account; None where it did not say."""
        result = self._reader.result
        used = (result.models if result is not None else None) or {}
        return max((model.context_window or 0 for model in used.values()), default=0) or None

    async def _gone(self) -> GatewayError:
        await self.child.gone(self._settings.stop_timeout)
        begun = self._reader.begun
        if self.child.said:
            _log.debug("claude %d said as it ended: %s", self.child.pid, self.child.said)
        return ended(self.child.code, self.child.said, begun=begun, reused=self._reused)
