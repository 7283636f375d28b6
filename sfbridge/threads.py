"""Conversations that an upstream keeps: taken out for a call by what the client resends, put back when the turn was
whole. A turn that failed leaves nothing behind, so the next one starts anew with the whole history."""

from __future__ import annotations

from collections.abc import Callable

from .core.answer import Answer
from .exchange import Plan
from .policy.threads import known_prefixes, unseen, whole_name
from .state.handles import Handles
from .upstream.base import Thread


class Threads:
    """Built once per application; holds what adapters left, not what was said."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._handles = Handles(now)

    def taken(self, plan: Plan) -> Thread:
        """The thread that this plan's call continues, or a new one."""
        sent = plan.request.messages
        for name, known in known_prefixes(plan.asked, _place(plan)):
            start = unseen(sent, plan.asked.messages, known)
            if start is None:
                break
            if (handle := self._handles.take(name)) is not None:
                return Thread(handle, sent[start:])
        return Thread(None, sent)

    def keep(self, plan: Plan, answer: Answer, thread: Thread) -> None:
        """Remember how the conversation can go on after this answer."""
        if thread.next is not None:
            self._handles.keep(whole_name(plan.asked, _place(plan), answer), thread.next)


def _place(plan: Plan) -> str:
    return f"{plan.target.upstream}/{plan.target.model}"
