"""Pictures and files as OpenAI's protocols write them: an address, or the content itself in a data URL."""

from __future__ import annotations

import re
from typing import Final

from sfbridge.core.request import ImagePart

from .reading import invalid

DATA_URL: Final = re.compile(r"data:(?P<type>[^;,]*)(?P<more>[^,]*),(?P<data>.*)", re.DOTALL)


def picture(url: str, place: str, path: str) -> ImagePart:
    """The picture behind `url`, which stands at `place` in the part at `path`. Raises GatewayError at `place`."""
    if url.startswith(("http://", "https://")):
        return ImagePart(address=url, path=path)
    found = DATA_URL.fullmatch(url)
    if found is None or not found["more"].endswith(";base64"):
        raise invalid(place, "must be an http(s) address or a base64 data: URL")
    return ImagePart(media_type=found["type"], data=found["data"], path=path)
