"""What the families of servers can do and how they want it said, as data.

Sources: llama.cpp's server README and `server-common.cpp`, vLLM's `protocol.py`, Ollama's
`openai/openai.go`, LM Studio's REST documentation. `generic` assumes only what every one of them takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Family = Literal["llamacpp", "vllm", "ollama", "lmstudio", "generic"]

_COMMON: Final = frozenset(
    ("temperature", "top_p", "seed", "frequency_penalty", "presence_penalty")
)
_WITH_TOP_K: Final = _COMMON | {"top_k"}
_JSON: Final = frozenset(("json", "schema"))


class Profile(NamedTuple):
    """One family.

    knobs         sampling parameters that are read
    shapes        forms of the answer that are enforced
    choices       tool choice modes that work ("single": at most one call can be asked for)
    named         how a demanded tool is written: as the vendor's object, or as "required" with no other tool
    parallel      whether `parallel_tool_calls` is read; llama.cpp needs it to allow several
    alternation   templates of such servers raise an error when turns do not alternate
    effort        whether `reasoning_effort` is read without harm
    thoughts      the field of earlier reasoning in assistant messages; empty where there is none
    silent        what stands for the text of a turn that only calls; Ollama reads calls beside null alone
    stream_usage  whether `stream_options.include_usage` is read
    """

    label: str
    knobs: frozenset[str] = _COMMON
    shapes: frozenset[str] = frozenset()
    choices: frozenset[str] = frozenset()
    named: Literal["object", "alone"] = "alone"
    parallel: bool = False
    alternation: bool = False
    effort: bool = False
    thoughts: str = ""
    silent: str | None = ""
    stream_usage: bool = True


PROFILES: Final[Mapping[Family, Profile]] = {
    "llamacpp": Profile(
        label="llama.cpp",
        knobs=_WITH_TOP_K,
        shapes=_JSON,
        choices=frozenset(("none", "required", "named", "single")),
        parallel=True,
        alternation=True,
        thoughts="reasoning_content",
    ),
    "vllm": Profile(
        label="vLLM",
        knobs=_WITH_TOP_K,
        shapes=_JSON,
        choices=frozenset(("none", "required", "named", "single")),
        named="object",
        parallel=True,
        alternation=True,
        effort=True,
        thoughts="reasoning",
    ),
    # reads no tool_choice at all
    "ollama": Profile(label="Ollama", shapes=_JSON, thoughts="reasoning", silent=None),
    # refuses the object form of tool_choice, and json_object
    "lmstudio": Profile(
        label="LM Studio",
        knobs=_WITH_TOP_K,
        shapes=frozenset(("schema",)),
        choices=frozenset(("none", "required", "named")),
        alternation=True,
    ),
    "generic": Profile(
        label="OpenAI-compatible server",
        choices=frozenset(("none", "required", "named", "single")),
        named="object",
        parallel=True,
        effort=True,
    ),
}
