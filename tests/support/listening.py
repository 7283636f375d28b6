"""Applications on real sockets."""

from __future__ import annotations

from contextlib import AsyncExitStack

from aiohttp import web


async def listen(stack: AsyncExitStack, app: web.Application) -> str:
    """Serve an application on a free loopback port until the stack closes; its base URL."""
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.5, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"
