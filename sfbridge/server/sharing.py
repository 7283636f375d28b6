"""What generations have in common: an upstream whose configuration stays the same stays open, sessions and all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class _Held(Generic[T]):
    def __init__(self, value: T, stack: AsyncExitStack) -> None:
        self.value = value
        self.users = 0
        self.stack = stack


class Shared:
    """Open things by what they were made from; each is closed when the last who holds it lets go."""

    def __init__(self) -> None:
        self._open: dict[Hashable, _Held[Any]] = {}

    @asynccontextmanager
    async def held(
        self, made_from: Hashable, make: Callable[[], AbstractAsyncContextManager[T]]
    ) -> AsyncIterator[T]:
        """The thing made from that, opened now if it is not open yet."""
        held: _Held[T] | None = self._open.get(made_from)
        if held is None:
            async with AsyncExitStack() as stack:
                value = await stack.enter_async_context(make())
                held = self._open[made_from] = _Held(value, stack.pop_all())
        held.users += 1
        try:
            yield held.value
        finally:
            held.users -= 1
            if not held.users:
                del self._open[made_from]
                await held.stack.aclose()


class Bells:
    """One bell per generation; an upstream that several share rings them all."""

    def __init__(self) -> None:
        self._bells: set[asyncio.Event] = set()

    @contextmanager
    def one(self) -> Iterator[asyncio.Event]:
        bell = asyncio.Event()
        self._bells.add(bell)
        try:
            yield bell
        finally:
            self._bells.discard(bell)

    def ring(self) -> None:
        for bell in self._bells:
            bell.set()
