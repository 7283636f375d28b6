"""How far this machine's clock is from those of the servers that answer: tokens live by the clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout, hdrs

from sfbridge.config import Config
from sfbridge.secrecy import without_login

from .findings import Doing, Finding, Findings

# A token's life is measured in minutes; a clock that is off by more than this spoils the reckoning.
_MOST_SKEW: Final = 60.0
_HEAD_TIMEOUT: Final = ClientTimeout(total=10)


async def clocks(config: Config) -> Findings:
    """A finding for every address of the configuration."""
    async with ClientSession() as http:
        for address in dict.fromkeys(_addresses(config)):
            yield Doing(f"asking {without_login(address)} for its time")
            yield await _clock(http, address, without_login(address))


def _addresses(config: Config) -> Iterator[str]:
    for table in config.upstream.values():
        for value in table.values():
            if isinstance(value, str) and value.startswith(("http://", "https://")):
                yield value


async def _clock(http: ClientSession, url: str, address: str) -> Finding:
    try:
        async with http.head(url, timeout=_HEAD_TIMEOUT, allow_redirects=False) as answer:
            stamp = answer.headers.get(hdrs.DATE, "")
    except (ClientError, TimeoutError, OSError) as error:
        told = f"{address} does not answer ({str(error) or type(error).__name__})"
        return Finding(
            "fail", "clock", told, "see that the address is right and the network is there"
        )
    try:
        skew = time.time() - parsedate_to_datetime(stamp).timestamp()
    except ValueError:
        return Finding("ok", "clock", f"{address} answers, without saying its time")
    if abs(skew) > _MOST_SKEW:
        told = f"this machine is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} {address}"
        return Finding(
            "warning", "clock", told, "set the clock, or tokens seem to live too long or too short"
        )
    return Finding("ok", "clock", f"within {abs(skew):.0f} s of {address}")
