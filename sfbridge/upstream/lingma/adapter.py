"""The five members of the upstream contract, over a pool of Lingma instances."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final
from uuid import uuid4

from sfbridge.core.errors import GatewayError
from sfbridge.core.model import UNASKED, Capabilities, Health, ModelCard
from sfbridge.core.request import Caller
from sfbridge.upstream.base import Call, Reception, Resources

from . import prompt
from .ask import Again, Ask, Question
from .instance import STARTING, Session
from .models import AUTO
from .pool import NO_MODEL, Pool
from .reading import Manner, Reading
from .settings import Settings
from .tools import PREFIX, Showing, Tools

_log = logging.getLogger("sfbridge.upstream.lingma")

# Of one call: its own instance may be lost, another chat may be in the way, the dialect may be another one.
_MOST_TRIES: Final = 4
_MOST_LOST: Final = 1
_MOST_IDS: Final = 4096
# Failures that tell of the instance rather than of the request.
_BLAMED: Final = frozenset(("upstream_failed", "timeout"))


class Lingma:
    """One installation, as a pool of processes."""

    def __init__(self, name: str, settings: Settings, pool: Pool, resources: Resources) -> None:
        self.name = name
        self._settings = settings
        self._pool = pool
        self._resources = resources
        self._clock = resources.clock
        self._ids: OrderedDict[str, None] = OrderedDict()

    # ---- what there is

    def models(self) -> Sequence[ModelCard]:
        """What the instances offer, those known beforehand, and `auto`, which every logged-in process has."""
        found: dict[str, str] = {AUTO: "Auto"}
        for instance in self._pool.instances:
            for offered in instance.models:
                found[offered.key] = offered.name or found.get(offered.key, "")
        for key in self._settings.models:
            found.setdefault(key, "")
        asked = any(instance.models for instance in self._pool.instances)
        return [self._card(key, label, asked=asked) for key, label in found.items()]

    def _card(self, key: str, label: str, *, asked: bool) -> ModelCard:
        aliases = (f"{self.name}/{label}",) if label and label.lower() != key.lower() else ()
        return ModelCard(
            id=f"{self.name}/{key}",
            target=key,
            label=label or key,
            owner=self.name,
            aliases=(*aliases, self.name) if key == AUTO else aliases,
            status="" if asked else UNASKED,
        )

    async def capabilities(self, model: str) -> Capabilities:  # noqa: ARG002  # all models are alike here
        ignores = self._settings.tools == "none"
        return Capabilities(
            streams=True,
            # tools that are left out anyway cannot be demanded in words either
            native_tools=ignores,
            parallel_calls=True,
            choices=frozenset(("required", "named", "none", "single")) if ignores else frozenset(),
            thoughts=self._settings.thoughts != "never",
            system_midway=True,
            alternation=False,
            max_output=self._settings.enforce_max_output,
            threads=True,
        )

    async def health(self) -> Health:
        instances = self._pool.instances
        usable = [instance for instance in instances if instance.usable]
        facts: dict[str, str | int | bool | None] = {
            f"instance_{instance.index}": f"{instance.state}: {instance.reason}"
            if instance.reason
            else instance.state
            for instance in instances
        }
        counts = [instance.board.counts for instance in instances]
        facts |= {
            "externally_managed": self._settings.attach,
            "in_flight": self._pool.in_flight,
            "waiting": self._pool.waiting,
            "restarts": sum(instance.restarts for instance in instances),
            **{
                name: sum(count[name] for count in counts)
                for name in ("orphan", "late", "missing_finish", "overwrite_diverged")
            },
        }
        if usable:
            summary = f"{len(usable)} of {len(instances)} Lingma instances ready"
        elif any(instance.state in STARTING for instance in instances):
            summary = "Lingma is being started"
        else:
            summary = self._pool.trouble().message
        return Health(ready=bool(usable), summary=summary, facts=facts)

    # ---- one call

    @asynccontextmanager
    async def open(self, call: Call) -> AsyncIterator[Reception]:
        ask = await self._begun(call)
        pieces = ask.pieces(call.thread)
        try:
            yield Reception(pieces)
        except GatewayError as error:
            if error.kind in _BLAMED:
                ask.instance.failed()
            raise
        finally:
            await pieces.aclose()
            thread = call.thread
            kept = thread is not None and thread.next is not None
            self._leave(ask, keep=kept and self._settings.delete_sessions != "always")

    async def _begun(self, call: Call) -> Ask:
        """The question, asked of an instance that has begun to answer it. Raises GatewayError."""
        if self._settings.tools == "none" and call.request.tools:
            call.trace.ignored.append("tools")
            if call.request.choice.mode != "auto":
                call.trace.ignored.append(call.request.words.get("choice", "tool_choice"))
        handle = call.thread.handle if call.thread is not None else None
        session = handle if isinstance(handle, Session) else None
        lost = 0
        for left in reversed(range(_MOST_TRIES)):
            ask = await self._seated(call, session)
            call.trace.connected()
            begun = False
            try:
                await ask.begin(int(self._resources.wall() * 1000))
                begun = True
                call.trace.answered_by = ask.model
                return ask
            except Again as again:
                lost += again.lost
                if not left or lost > _MOST_LOST:
                    raise again.error from None
                session, pause = None, again.pause
                _log.info("a question is asked again: %s", again.error.message)
            except GatewayError as error:
                if error.kind in _BLAMED:
                    ask.instance.failed()
                raise
            finally:
                if not begun:
                    self._leave(ask, keep=False)
            await asyncio.sleep(pause)
        raise AssertionError("the last try returns or raises")

    async def _seated(self, call: Call, session: Session | None) -> Ask:
        """The question with a place at an instance. Raises GatewayError."""
        model = self._key(call.model)
        try:
            seat = await self._pool.seat(model, session)
        except GatewayError as error:
            fallback = self._settings.fallback_model
            if error.code != NO_MODEL or fallback in ("", model):
                raise
            call.trace.ignored.append("model")
            model = fallback
            seat = await self._pool.seat(model, session)
        question = Question(
            id=str(uuid4()),
            session=str(uuid4()),
            model=model,
            text=partial(self._text, call),
        )
        call.trace.upstream_ids.append(question.id)
        reading = Reading(self._manner(call), self._tools(call), self._settings.most_answer)
        return Ask(seat, question, reading, self._settings, self._clock)

    def _leave(self, ask: Ask, *, keep: bool) -> None:
        work = ask.leave(keep=keep)
        if work is not None:
            self._resources.spawn("lingma clean-up", work)

    def _text(self, call: Call, fresh: bool) -> str:
        request, thread = call.request, call.thread
        if fresh and thread is not None and thread.fresh:
            text = prompt.fresh(thread.fresh, request.messages)
        else:
            text = prompt.whole(request)
        most = self._settings.most_prompt
        if len(text) > most:
            raise GatewayError(
                "context_overflow",
                f"The question has {len(text)} characters, more than the {most} that Lingma is given (most_prompt).",
                code="context_too_long",
            )
        return text

    def _key(self, model: str) -> str:
        """The process' own name of a model that may be asked for by the name that people see."""
        offered = [one for instance in self._pool.instances for one in instance.models]
        if any(one.key == model for one in offered):
            return model
        wanted = model.lower()
        return next((one.key for one in offered if one.name.lower() == wanted), model)

    # ---- how the answer is read

    def _manner(self, call: Call) -> Manner:
        wish, request = self._settings.thoughts, call.request
        return Manner(
            stream=call.stream,
            thoughts=wish == "always" or (wish == "asked" and request.thinking is not None),
            partial=self._settings.partial_on_timeout,
            limit=request.max_output,
            measure=tokens_of,
        )

    def _tools(self, call: Call) -> Tools:
        return Tools(self._showing(call.request.caller), self._claim)

    def _showing(self, caller: Caller) -> Showing:
        """Clients that would run a mirrored call again can be spared it, by themselves and by the configuration."""
        showing = self._settings.tool_events
        if showing != "mirror":
            return showing
        spared = any(
            name == caller.key_id or caller.client.startswith(name)
            for name in self._settings.hide_tool_events_from
        )
        return "journal" if spared or caller.hides_tool_events else "mirror"

    def _claim(self, call_id: str) -> str:
        """An id for a mirrored call that no other answer's call has."""
        found = f"{PREFIX}{call_id}" if call_id else ""
        if not found or found in self._ids:
            found = f"{PREFIX}{uuid4()}"
        self._ids[found] = None
        while len(self._ids) > _MOST_IDS:
            self._ids.popitem(last=False)
        return found


def tokens_of(text: str) -> float:
    """Our estimate of a part of an answer: the process reports none."""
    others = 0 if text.isascii() else sum(not character.isascii() for character in text)
    return (len(text) - others) / 4 + others / 1.5
