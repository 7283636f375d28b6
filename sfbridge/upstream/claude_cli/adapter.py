"""The five members of the upstream contract, over the `claude` command of this machine."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final

from msgspec import Struct

from sfbridge.core.errors import GatewayError
from sfbridge.core.model import Capabilities, Health, ModelCard
from sfbridge.core.request import Message, ToolResult
from sfbridge.core.stream import Piece
from sfbridge.upstream.base import Call, Reception, Resources
from sfbridge.upstream.reading import note_model

from .children import Children
from .conversation import Conversation
from .faults import NO_SESSION
from .launch import Launch, argv, environment, launch_of
from .process import Child, output_of, tie
from .prompt import content_of
from .settings import Checked, ModelRow, is_model

_log = logging.getLogger("sfbridge.upstream.claude_cli")

_DEFAULT: Final = tuple(ModelRow(name=name) for name in ("sonnet", "opus", "haiku"))
_OWNER: Final = "anthropic"
# Of `claude --version`, and how old its answer may grow while it is a failure.
_LOOK_SECONDS: Final = 10.0
_AGAIN: Final = 30.0


class Handle(Struct, frozen=True):
    """How a conversation goes on: the CLI's session. `waits` for tool results, so that it cannot be resumed."""

    session: str
    waits: bool


class ClaudeCli:
    """The command, and the processes that were started of it."""

    def __init__(self, name: str, checked: Checked, resources: Resources) -> None:
        self.name = name
        self._checked = checked
        self._settings = checked.settings
        self._clock = resources.clock
        self._spawn = resources.spawn
        self._children = Children(self._settings, resources.spawn)
        self._rows = {row.name: row for row in self._settings.models or _DEFAULT}
        self._windows: dict[str, int] = {}
        self._version = ""
        self._failure: GatewayError | None = None
        self._looked = float("-inf")
        self._cost = 0.0
        self._tied: tuple[str, ...] = ()

    def start(self) -> None:
        """Ask the command for its version, in the background; that costs nothing."""
        self._checked.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._looked = self._clock()
        self._spawn("claude version", self._look())

    async def close(self) -> None:
        """End every process."""
        await self._children.close()

    def models(self) -> Sequence[ModelCard]:
        return [
            ModelCard(
                id=row.id or row.name,
                target=row.name,
                label=row.label,
                owner=_OWNER,
                aliases=row.aliases,
                window=self._window(row.name),
            )
            for row in self._rows.values()
        ]

    async def capabilities(self, model: str) -> Capabilities:
        return Capabilities(
            streams=True,
            native_tools=True,
            parallel_calls=True,
            choices=frozenset(("none",)),
            images=True,
            documents=True,
            thoughts=True,
            max_output=True,
            window=self._window(model),
            threads=True,
        )

    async def health(self) -> Health:
        failed = self._failure is not None
        if failed and self._clock() - self._looked >= _AGAIN:
            self.start()
        children = self._children
        facts: dict[str, str | int | bool | None] = {
            "version": self._version or None,
            "billing": self._settings.billing,
            "processes": children.live,
            "kept": children.kept,
            "waiting": children.waiting,
            "cost_usd": f"{self._cost:.4f}",
        }
        if self._failure is not None:
            return Health(ready=False, summary=self._failure.message, facts=facts)
        summary = f"Claude Code {self._version}" if self._version else "asking the command"
        return Health(ready=bool(self._version), summary=summary, facts=facts)

    @asynccontextmanager
    async def open(self, call: Call) -> AsyncIterator[Reception]:
        if not is_model(call.model):
            raise GatewayError(
                "not_found",
                f"{call.model[:100]!r} is not the name of a model.",
                param="model",
                code="model_not_found",
            )
        launch = launch_of(call.request, call.model, self._checked)
        conversation, first = await self._answering(call, launch)
        whole = False
        try:
            note_model(first, call.trace)
            async with aclosing(conversation.pieces(first)) as pieces:
                yield Reception(pieces)
            whole = conversation.going
        finally:
            if not whole:
                self._children.end(conversation)
        self._settle(call, conversation)

    # ---- one call

    async def _answering(self, call: Call, launch: Launch) -> tuple[Conversation, Sequence[Piece]]:
        """A process that has begun to answer: the one that holds the conversation, its session in another, or a
        new one that is told everything."""
        kept = await self._kept(call, launch)
        if kept is not None:
            last = call.request.messages[-1]
            if kept.waiting:
                return await self._guarded(kept, kept.give(last, call.trace))
            assert call.thread is not None
            return await self._guarded(kept, kept.say(content_of(call.thread.fresh), call.trace))
        thread = call.thread
        if (
            thread is not None
            and isinstance(thread.handle, Handle)
            and self._resumable(thread.handle)
        ):
            try:
                return await self._started(call, launch, thread.handle.session, thread.fresh)
            except GatewayError as error:
                if error.code != NO_SESSION:
                    raise
                _log.info("session %s is gone; telling its history", thread.handle.session)
        return await self._started(call, launch, "", call.request.messages)

    def _resumable(self, handle: Handle) -> bool:
        return self._settings.persist and not handle.waits

    async def _kept(self, call: Call, launch: Launch) -> Conversation | None:
        """The process that holds this conversation, if it can take the request."""
        last = call.request.messages[-1]
        handle = call.thread.handle if call.thread is not None else None
        found = self._children.take(handle.session) if isinstance(handle, Handle) else None
        if found is None:
            results = [part.call_id for part in last.parts if isinstance(part, ToolResult)]
            key_id = call.request.caller.key_id
            found = self._children.take_by_calls(results, key_id) if results else None
        if found is None:
            return None
        fits = found.launch == launch and found.child.alive
        if fits and (found.takes(last) if found.waiting else call.thread is not None):
            return found
        # its session may be resumed in a moment, by one process at a time
        await self._children.ended(found)
        return None

    async def _started(
        self, call: Call, launch: Launch, resumed: str, messages: tuple[Message, ...]
    ) -> tuple[Conversation, Sequence[Piece]]:
        kept = self._settings.persist and call.thread is not None
        session = resumed or str(uuid.uuid4())
        arguments = argv(
            launch, self._checked, session=session if kept else "", resumed=bool(resumed)
        )
        async with self._children.seat() as seat:
            child = await Child.start(
                arguments,
                env=environment(launch, self._checked, os.environ),
                cwd=self._checked.directory,
                stop_seconds=self._settings.stop_timeout,
                tied=self._tied,
            )
            conversation = Conversation(
                child, launch, self._settings, session=session, key_id=call.request.caller.key_id
            )
            seat.taken_by(conversation)
        return await self._guarded(
            conversation, conversation.begin(content_of(messages), call.trace)
        )

    async def _guarded(
        self, conversation: Conversation, turn: Coroutine[Any, Any, Sequence[Piece]]
    ) -> tuple[Conversation, Sequence[Piece]]:
        """The first pieces of a turn; a process that fails to begin it is ended."""
        begun = False
        try:
            first = await turn
            begun = True
        finally:
            if not begun:
                self._children.end(conversation)
        return conversation, first

    def _settle(self, call: Call, conversation: Conversation) -> None:
        """After a whole turn: let the process wait for the next one, and say how the conversation goes on."""
        self._cost += (spent := conversation.bill())
        if spent:
            _log.info("%s answered for %.4f USD", call.model, spent)
        if window := conversation.window():
            self._windows[call.model] = window
        if not conversation.going:
            return  # it is being ended at the client's limit, and its session may hold more than was told
        waits = bool(conversation.waiting)
        if not waits and call.thread is None:
            self._children.end(conversation)
            return
        kept = self._children.keep(conversation)
        if call.thread is not None and (kept or (self._settings.persist and not waits)):
            call.thread.next = Handle(conversation.session, waits)

    # ---- what is known of the command

    def _window(self, model: str) -> int | None:
        row = self._rows.get(model)
        return (row.window if row is not None else 0) or self._windows.get(model)

    async def _look(self) -> None:
        self._tied = await tie()
        try:
            said = await output_of(
                [self._checked.command, "--version"],
                env=environment(None, self._checked, os.environ),
                cwd=self._checked.directory,
                seconds=_LOOK_SECONDS,
            )
        except GatewayError as error:
            self._failure = error
            _log.warning("%s: %s", self.name, error.message)
        else:
            self._failure = None
            self._version = said.strip().partition(" ")[0][:40]
            _log.info("%s: Claude Code %s", self.name, self._version)
