"""Content parts of items: texts, pictures, files. Kinds that nobody knows are kept for whoever may know them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw

from sfbridge.core.errors import GatewayError
from sfbridge.core.request import DocumentPart, ImagePart, OpaquePart, Part, TextPart
from sfbridge.formats import openai_responses as o
from sfbridge.wire.pictures import DATA_URL, picture
from sfbridge.wire.reading import bracketed, invalid, mistyped

DIALECT: Final = "openai_responses"

_part: Final[msgspec.json.Decoder[o.RequestPart]] = msgspec.json.Decoder(o.RequestPart)
_type: Final = msgspec.json.Decoder(o.PartType)
_PLAIN_ENDINGS: Final = (".txt", ".md", ".csv", ".json", ".log", ".py", ".xml", ".html")
_UPLOADED: Final = "files and pictures are not kept here; send the content itself"


def parts_of(content: str | Sequence[o.RequestPart | Raw] | None, path: str) -> tuple[Part, ...]:
    """The parts of one message or of one output. Empty texts say nothing and are left out."""
    if content is None or isinstance(content, str):
        return (TextPart(content),) if content else ()
    parts: list[Part] = []
    for index, item in enumerate(content):
        at = f"{path}[{index}]"
        known = _known(item, at) if isinstance(item, Raw) else item
        match known:
            case (
                o.InputText(text) | o.OutputText(text) | o.PlainText(text) | o.RefusalContent(text)
            ):
                if text:
                    parts.append(TextPart(text))
            case o.InputImage():
                parts.append(_image(known, at))
            case o.InputFile():
                parts.append(_file(known, at))
            case OpaquePart():
                parts.append(known)
    return tuple(parts)


def _image(part: o.InputImage, path: str) -> ImagePart:
    given, place = part.image_url, path + ".image_url"
    if given is None:
        if part.file_id:
            raise _elsewhere(path + ".file_id")
        raise invalid(place, "this field is required")
    if isinstance(given, str):
        return picture(given, place, path)
    return picture(given.url, place + ".url", path)


def _file(part: o.InputFile, path: str) -> DocumentPart:
    """A file by its content. What is plain text is read, so that models without documents understand it."""
    if part.file_data is None:
        if part.file_id or part.file_url:
            raise _elsewhere(path + (".file_id" if part.file_id else ".file_url"))
        raise invalid(path + ".file_data", "this field is required")
    name = part.filename or ""
    found = DATA_URL.fullmatch(part.file_data)
    data = found["data"] if found else part.file_data
    kind = (found["type"] if found else "") or _guessed(name)
    if not kind.startswith("text/"):
        return DocumentPart(media_type=kind, data=data, title=name, path=path)
    try:
        text = base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError):
        raise invalid(path + ".file_data", "must be the base64 of a text in UTF-8") from None
    return DocumentPart(media_type=kind, text=text, title=name, path=path)


def _guessed(name: str) -> str:
    return "text/plain" if name.lower().endswith(_PLAIN_ENDINGS) else "application/pdf"


def _elsewhere(path: str) -> GatewayError:
    return GatewayError(
        "unsupported", f"{path}: {_UPLOADED}", param=path, code="unsupported_content"
    )


def _known(raw: Raw, path: str) -> o.RequestPart | OpaquePart:
    try:
        return _part.decode(raw)
    except msgspec.ValidationError as error:
        try:
            kind = _type.decode(raw).type
        except msgspec.ValidationError:
            kind = "input_text"
        if kind in o.PART_TYPES:
            raise mistyped(error, path, bracketed) from None
        return OpaquePart(dialect=DIALECT, kind=kind, raw=raw, path=path)
