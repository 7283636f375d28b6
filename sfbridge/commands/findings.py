"""Findings: one line each on the terminal, as soon as it is known, and an exit code for all of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, NamedTuple

from .terminal import Verdict, coloured, done, progress, visible

_WIDTH: Final = len("warning")
# What stands before the further lines of a finding.
INDENT: Final = " " * (_WIDTH + 4)


class Finding(NamedTuple):
    """One thing that was looked at; `advice` says what to do where it is not in order."""

    verdict: Verdict
    subject: str
    told: str
    advice: str = ""


class Doing(NamedTuple):
    """What is being waited for."""

    what: str


Findings = AsyncGenerator[Finding | Doing]


async def show_all(findings: Findings) -> int:
    """Print each finding, and meanwhile what is being done. 1 when one of them is a failure.

    Nobody may want the rest: then what the findings opened is closed all the same.
    """
    failures = 0
    async with aclosing(findings):
        async for found in findings:
            if isinstance(found, Doing):
                progress(found.what)
                continue
            done()
            told = visible(f"{found.subject}: {found.told}")
            print(f"{coloured(found.verdict, _WIDTH)}  {told}", flush=True)
            if found.advice:
                print(f"{'':{_WIDTH}}  -> {visible(found.advice)}", flush=True)
            failures += found.verdict == "fail"
    done()
    return 1 if failures else 0
