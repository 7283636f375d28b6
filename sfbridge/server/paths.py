"""Paths that are nearly right: double slashes, `/v1` left out or said twice. Base URLs are typed by people.

Only a path that leads nowhere is looked at, so that one that is right costs nothing; and what it leads to is found by
the router itself, so that whoever checks a request by its route checks what will be served.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from aiohttp import web
from yarl import URL

_SLASHES: Final = re.compile("//+")
_PARTS: Final = re.compile(r"(?P<prefix>/anthropic)?(?P<versions>(?:/v1)*)(?P<rest>/.+)")


def likely(path: str) -> str:
    """The path that was meant: each slash once, `/v1` once, also after `/anthropic`; "" for a path of slashes alone."""
    found = _PARTS.fullmatch(_SLASHES.sub("/", path))
    return f"{found['prefix'] or ''}/v1{found['rest']}" if found else ""


class NearlyRight(web.AbstractResource):
    """The router's last resort. To be registered after all other resources; holds no route of its own."""

    def __init__(self, router: web.UrlDispatcher) -> None:
        super().__init__()
        self._router = router

    @property
    def canonical(self) -> str:
        return "/{path}"

    async def resolve(
        self, request: web.Request
    ) -> tuple[web.UrlMappingMatchInfo | None, set[str]]:
        """The route of the path without doubled slashes; where there are none, of the likely path."""
        path = request.rel_url.raw_path
        other = _SLASHES.sub("/", path)
        if other == path:
            other = likely(path)
        if other in ("", path):
            return None, set()
        query = request.rel_url.raw_query_string
        rel_url = URL.build(path=other, query_string=query, encoded=True)
        found = await self._router.resolve(request.clone(rel_url=rel_url))
        match found.http_exception:
            case None:
                return found, set()
            case web.HTTPMethodNotAllowed(allowed_methods=allowed):
                return None, allowed
            case _:
                return None, set()

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[web.AbstractRoute]:
        return iter(())

    def raw_match(self, path: str) -> bool:  # noqa: ARG002  # it stands for no path of its own
        return False

    def get_info(self) -> Any:
        return {}

    def add_prefix(self, prefix: str) -> NoReturn:
        raise RuntimeError(f"{prefix}: the last resort belongs to the whole application")

    def url_for(self, **_: str) -> NoReturn:
        raise RuntimeError("the last resort has no address")


# Browsers cannot send a key with a page; these doors have a rule of their own.
DASHBOARD: Final = "/dashboard/"


def door_of(request: web.Request) -> str:
    """The path of the route that serves the request, whatever path it was asked by; "" where there is none."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""
