"""How the schema checks score and what they cost: the public suite, schemas as tools have them, both ways.

    python tests/bench/schemas.py

Prints agreement with the JSON-Schema-Test-Suite, the share of schemas that take the quick way, and microseconds
per check: msgspec against the validator library, on the same texts.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent.parent), str(HERE.parent / "support")]

from schema_suite import DRAFTS, UNSUPPORTED, cases, checker, proper

from sfbridge.emulation.jsontext import read
from sfbridge.emulation.schema import Checker

ROUNDS = 7
CHECKS = 400


def microseconds(check: Callable[[], Any]) -> float:
    """The best of several rounds."""
    check()
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(CHECKS):
            check()
        best = min(best, time.perf_counter() - began)
    return best / CHECKS * 1e6


def suite() -> None:
    print("JSON-Schema-Test-Suite                      agree   quick way says yes (never wrongly)")
    for draft in DRAFTS:
        for optional in (False, True):
            asked = [
                case for case in cases(draft) if case.optional is optional and case.refused is None
            ]
            right = sum(proper(checker(case.schema), case.data) is case.valid for case in asked)
            valid = [case for case in asked if case.valid]
            yes = sum(checker(case.schema).accepts(case.data) for case in valid)
            schemas = {json.dumps(case.schema, default=str): case.schema for case in asked}
            quick = sum(checker(schema).quick for schema in schemas.values())
            name = f"{draft}{', optional' if optional else ''}"
            print(
                f"  {name:<28}{right:>8}/{len(asked):<6}"
                f"{yes:>6} of {len(valid)} valid; {quick} of {len(schemas)} schemas"
            )
    left = sum(count for count, _ in UNSUPPORTED.values())
    print(
        f"  left out on purpose: {left} cases in {len(UNSUPPORTED)} groups, listed with reasons\n"
    )


def tools() -> None:
    offered = json.loads((HERE.parent / "data" / "tool-schemas.json").read_text())
    quick_ones = 0
    quick_times: list[float] = []
    library_times: list[float] = []
    compile_times: list[float] = []
    print(
        "schemas as tools have them     way        msgspec   library   compile once (microseconds)"
    )
    for tool in offered:
        source = json.dumps(tool["schema"]).encode()
        text = json.dumps(tool["fits"])
        which = checker(read(source.decode()))
        value = read(text)
        assert which.problems(value) == (), tool["name"]
        yes = which.accepts(text)
        quick_ones += yes
        library = microseconds(lambda which=which, value=value: which.problems(value))
        library_times.append(library)
        quick = microseconds(lambda which=which, text=text: which.accepts(text)) if yes else 0.0
        if yes:
            quick_times.append(quick)
        began = time.perf_counter()
        Checker(source).problems(value)
        compile_times.append((time.perf_counter() - began) * 1e6)
        print(
            f"  {tool['name']:<28} {'quick' if yes else 'library':<8}"
            f"{f'{quick:9.2f}' if yes else '        -'} {library:9.2f} {compile_times[-1]:9.0f}"
        )
    print(
        f"\n  quick way: {quick_ones} of {len(offered)} schemas ({quick_ones / len(offered):.0%}); "
        f"mean {sum(quick_times) / len(quick_times):.2f} us by msgspec, "
        f"{sum(library_times) / len(library_times):.2f} us by the library"
    )


if __name__ == "__main__":
    suite()
    tools()
