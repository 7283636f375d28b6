"""The public JSON-Schema-Test-Suite (json-schema-org, MIT, licence beside the data), and what of it is not for us.

Two files, one per draft, each with the mandatory and the optional files of that draft. `optional/format` is
left out: `format` is an annotation here, as both drafts have it by default.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from sfbridge.emulation.jsontext import read, write
from sfbridge.emulation.schema import BrokenSchema, Checker, compiled

DATA: Final = Path(__file__).parent.parent / "data" / "json-schema-test-suite"
DRAFT_7: Final = "http://json-schema.org/draft-07/schema#"
DRAFT_2020: Final = "https://json-schema.org/draft/2020-12/schema"
DRAFTS: Final = {"draft7": DRAFT_7, "draft2020-12": DRAFT_2020}

_REMOTE: Final = (
    "it refers to a schema on another host, and nothing is ever fetched for a client's schema"
)
_META: Final = (
    "it brings its own meta-schema from another host, so vocabularies stay as in the standard"
)

# (draft, file, group or None for all groups): number of cases, reason
UNSUPPORTED: Final[dict[tuple[str, str, str | None], tuple[int, str]]] = {
    ("draft7", "refRemote.json", None): (23, _REMOTE),
    (
        "draft7",
        "optional/cross-draft.json",
        "refs to future drafts are processed as future drafts",
    ): (2, _REMOTE),
    ("draft2020-12", "refRemote.json", None): (31, _REMOTE),
    (
        "draft2020-12",
        "dynamicRef.json",
        "strict-tree schema, guards against misspelled properties",
    ): (2, _REMOTE),
    (
        "draft2020-12",
        "dynamicRef.json",
        "tests for implementation dynamic anchor and reference link",
    ): (3, _REMOTE),
    (
        "draft2020-12",
        "dynamicRef.json",
        "$ref and $dynamicAnchor are independent of order - $defs first",
    ): (3, _REMOTE),
    (
        "draft2020-12",
        "dynamicRef.json",
        "$ref and $dynamicAnchor are independent of order - $ref first",
    ): (3, _REMOTE),
    (
        "draft2020-12",
        "dynamicRef.json",
        "$ref to $dynamicRef finds detached $dynamicAnchor",
    ): (2, _REMOTE),
    (
        "draft2020-12",
        "vocabulary.json",
        "schema that uses custom metaschema with with no validation vocabulary",
    ): (3, _META),
    (
        "draft2020-12",
        "optional/cross-draft.json",
        "refs to historic drafts are processed as historic drafts",
    ): (1, _REMOTE),
    (
        "draft2020-12",
        "optional/format-assertion.json",
        "schema that uses custom metaschema with format-assertion: false",
    ): (2, _META),
    (
        "draft2020-12",
        "optional/format-assertion.json",
        "schema that uses custom metaschema with format-assertion: true",
    ): (2, _META),
}


class Case(NamedTuple):
    """One question to a validator. `data` is the JSON text of the instance, in the suite's characters."""

    draft: str
    file: str
    group: str
    name: str
    schema: Any
    data: str
    valid: bool

    @property
    def optional(self) -> bool:
        return self.file.startswith("optional/")

    @property
    def refused(self) -> tuple[str, str, str | None] | None:
        """The row of UNSUPPORTED that leaves this case out."""
        keys = ((self.draft, self.file, None), (self.draft, self.file, self.group))
        return next((key for key in keys if key in UNSUPPORTED), None)


def cases(draft: str) -> Iterator[Case]:
    """Every case of a draft; schemas of draft 7 say so."""
    for file, groups in read((DATA / f"{draft}.json").read_text()).items():
        for group in groups:
            schema = group["schema"]
            if draft == "draft7" and isinstance(schema, dict):
                schema = {"$schema": DRAFT_7, **schema}
            for test in group["tests"]:
                yield Case(
                    draft,
                    file,
                    group["description"],
                    test["description"],
                    schema,
                    write(test["data"]),
                    test["valid"],
                )


def checker(schema: Any) -> Checker:
    return compiled(write(schema).encode())


def proper(which: Checker, data: str) -> bool | None:
    """The validator library's verdict, asked whatever msgspec says; None where nothing is checked."""
    try:
        return which.problems(read(data)) == ()
    except BrokenSchema:
        return None
