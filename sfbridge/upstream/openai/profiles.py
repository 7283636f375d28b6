"""What the families of servers can do and how they want it said, as data.

A letter says where a line is from. M: measured by tests/live against llama.cpp's own server. S: read in the source:
llama.cpp's `server-common.cpp` and `chat.cpp`, vLLM's `chat_completion/protocol.py` and `api_router.py`, Ollama's
`openai/openai.go`. I: an issue of the family's tracker. A: assumed, because nobody here had such a server; wrong, it
costs a refusal that the server words, or a parameter that it ignores.
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
    folds         which answers are asked for as streams though their client wants them whole: a server notices at
                  the next piece of a stream that it was left, and silence can be told from work. "toolless": not
                  those with tools; "none" where nothing is known of the server's streams
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
    folds: Literal["all", "toolless", "none"] = "none"

    def streams(self, *, tools: bool) -> bool:
        """Whether an answer is asked for as a stream though its client wants it whole."""
        return self.folds == "all" or (self.folds == "toolless" and not tools)


PROFILES: Final[Mapping[Family, Profile]] = {
    "llamacpp": Profile(
        label="llama.cpp",
        knobs=_WITH_TOP_K,  # S: further fields go to the sampler as they are
        shapes=_JSON,  # M for schemas, S
        choices=frozenset(("none", "required", "named", "single")),  # M for required, S
        named="alone",  # S: an object as tool_choice is read as "auto" without a word
        parallel=True,  # S: absent means one call
        alternation=True,  # A: templates decide
        thoughts="reasoning_content",  # S
        folds="all",  # M: it goes on with an answer that is not streamed when its client is gone
    ),
    "vllm": Profile(
        label="vLLM",
        knobs=_WITH_TOP_K,  # S
        shapes=_JSON,  # S
        choices=frozenset(("none", "required", "named", "single")),  # S
        named="object",  # S
        parallel=True,  # S
        alternation=True,  # A: templates decide
        effort=True,  # S
        thoughts="reasoning",  # S for answers, A for requests
        # S: it cancels what nobody waits for by itself, and reads streamed calls with other code than whole ones
        folds="toolless",
    ),
    "ollama": Profile(
        label="Ollama",  # S: reads neither tool_choice nor top_k, and refuses efforts that it does not know
        shapes=_JSON,  # S
        thoughts="reasoning",  # S
        silent=None,  # S: null is right beside calls in every version; older ones lose calls beside a text
        folds="all",  # S: calls are whole in one chunk
    ),
    "lmstudio": Profile(
        label="LM Studio",
        knobs=_WITH_TOP_K,  # A
        shapes=frozenset(("schema",)),  # I: lmstudio-bug-tracker 189 refuses json_object
        choices=frozenset(("none", "required", "named")),  # I: 670
        named="alone",  # I: 670 refuses an object as tool_choice
        alternation=True,  # A: templates decide
        folds="all",  # A
    ),
    "generic": Profile(
        label="OpenAI-compatible server",  # A: what the vendor's reference says
        choices=frozenset(("none", "required", "named", "single")),
        named="object",
        parallel=True,
        effort=True,
    ),
}
