"""A model that does an agent's whole task and slips in form all the way: a scenario for the sandbox org.

`turn(prompt_text, done)` answers the markers `[[acceptance loop dir=D nonce=N]]` and
`[[acceptance recall nonce=N]]`: write hello.py, run it, read it, edit it, run it again beside a read that
fails, say `LOOP-DONE N`. Where the prompt teaches a form of calls in text, every call is slipped in a way
that stands in `SLIPS`; where calls are native, they are made properly.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

LOOP = re.compile(r"\[\[acceptance loop dir=(\S+) nonce=(\w+)\]\]")
RECALL = re.compile(r"\[\[acceptance recall nonce=(\w+)\]\]")
MARK = re.compile(r'^<tool_call ([a-z][a-z0-9]{3,9}) name="TOOL">$', re.M)
ASKED_AGAIN = re.compile(r"^(?:The call of \S+|Your answer) could not be used:$", re.M)

# The slips, by turn and by attempt; each of the first attempts of a turn but its last costs a correction.
SLIPS = (
    ("an escape that JSON does not have",),
    ("a required parameter is missing",),
    ("lower-case tool name", "trailing comma", "raw block closed without the mark"),
    ("a parameter that the tool does not have",),
    ("JSON in a fence", "Python words", "number as text", "raw line break", "unmarked closer"),
    ("Hermes form",),
    ("name and arguments inside", "boolean as text", "no closer"),
    ("arguments encoded twice", "Python dict", "invented result", "call after it"),
)


@dataclass
class Turn:
    text: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


def turn(prompt_text: str, done: int) -> Turn:
    if found := RECALL.search(prompt_text):
        seen = LOOP.search(prompt_text)
        same = seen is not None and seen[2] == found[1]
        return Turn(f"RECALL-{'OK' if same else 'LOST'} {found[1]}")
    task = LOOP.search(prompt_text)
    if task is None:
        return Turn("OK")
    meant = turns(task[1], task[2])
    # corrections stand in the prompt of their own turn only
    attempt = len(ASKED_AGAIN.findall(prompt_text))
    step = min(done - attempt, len(meant) - 1)
    taught = MARK.search(prompt_text)
    if taught is None or not meant[step].calls:
        return meant[step]
    return Turn(_slipped(step, attempt, task[1], meant[step], taught[1]))


def turns(directory: str, nonce: str) -> list[Turn]:
    """What the model means to do."""
    path = f"{directory}/hello.py"
    body = f'print("hello {nonce}")\n# "quotes", back\\slash, tab\t, ünïcode ✓\n'
    run = {
        "command": f"python3 {path}",
        "description": "Run\nthe script",
        "timeout": 60000,
        "run_in_background": False,
    }
    edit = {
        "file_path": path,
        "old_string": "hello",
        "new_string": "goodbye",
        "replace_all": False,
    }
    again = {"command": f"python3 {path}", "description": "Run the script"}
    missing = {"file_path": f"{directory}/missing.txt"}
    return [
        Turn("Creating the file.", [("Write", {"file_path": path, "content": body})]),
        Turn("", [("Bash", run)]),
        Turn("Reading it back.", [("Read", {"file_path": path})]),
        Turn("", [("Edit", edit)]),
        Turn("", [("Bash", again), ("Read", missing)]),
        Turn(f"LOOP-DONE {nonce}"),
    ]


def _slipped(step: int, attempt: int, directory: str, meant: Turn, mark: str) -> str:
    """The turn as the model writes it."""
    name, arguments = meant.calls[0]
    path = f"{directory}/hello.py"
    end = f"\n</tool_call {mark}>"

    def opened(tool: str) -> str:
        return f'<tool_call {mark} name="{tool}">\n'

    match step, attempt:
        case 0, 0:
            content = arguments["content"].replace("\n", "\\n").replace('"', '\\"')
            body = f'{{"file_path": "{path}", "content": "{content}"}}'
            return f"{meant.text}\n{opened(name)}{body}{end}"
        case 0, 1:
            return f'{opened(name)}{{"file_path": "{path}"}}{end}'
        case 0, _:
            raw = f'<raw {mark} name="content">\n{arguments["content"]}</raw>'
            return f'{opened("write")}{{"file_path": "{path}",}}\n{raw}{end}'
        case 1, 0:
            return f'{opened(name)}{{"cmd": "python3 {path}"}}{end}'
        case 1, _:
            body = (
                f'{{"command": "python3 {path}", "description": "Run\nthe script",'
                ' "timeout": "60000", "run_in_background": False}'
            )
            return f"{opened(name)}```json\n{body}\n```\n</tool_call>"
        case 2, _:
            call = json.dumps({"name": name, "arguments": arguments})
            return f"{meant.text}\n<tool_call>\n{call}\n</tool_call>"
        case 3, _:
            inner = {"name": name, "arguments": {**arguments, "replace_all": "False"}}
            return f"{opened(name)}{json.dumps(inner)}"
        case _:
            second, wish = meant.calls[1]
            return (
                f"{opened(name)}{json.dumps(json.dumps(arguments))}{end}\n"
                f"{opened(second)}{wish!r}{end}\n"
                f'<tool_result {mark} name="{name}" n="1" ok>\nhello\n</tool_result {mark}>\n'
                f'{opened(name)}{{"command": "rm -rf {directory}"}}{end}'
            )
