"""What the command line asks of a running server; plain HTTP on loopback, no session needed."""

from __future__ import annotations

import json
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

from .config import Config, ConfigError, clients


def address(config: Config) -> str:
    """Where the server of this configuration listens, as seen from this machine."""
    host = config.server.host
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return (
        f"http://[{host}]:{config.server.port}"
        if ":" in host
        else f"http://{host}:{config.server.port}"
    )


def explanation(config: Config, request_id: str) -> str:
    """A turn of the running server in words. Raises ConfigError when it cannot be had."""
    answer = _get(config, f"/v1/sfbridge/turns/{quote(request_id, safe='')}")
    return str(answer["explanation"])


def _get(config: Config, path: str) -> dict[str, Any]:
    base = address(config)
    key = next((key.secret for key in clients(config).values() if key.secret), "")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        # a proxy of the environment has no business with loopback
        with build_opener(ProxyHandler({})).open(
            Request(base + path, headers=headers), timeout=10
        ) as found:
            answer: dict[str, Any] = json.load(found)
            return answer
    except HTTPError as error:
        told = json.loads(error.read() or b"{}").get("error", {}).get("message", error.reason)
        raise ConfigError(str(told)) from None
    except (URLError, OSError, ValueError) as error:
        raise ConfigError(f"no sfbridge answers at {base} ({error})") from None
