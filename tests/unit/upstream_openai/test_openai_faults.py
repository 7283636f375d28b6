"""Known error bodies of OpenAI-compatible servers -> what clients are told and may act on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfbridge.core.errors import GatewayError
from sfbridge.upstream.openai.faults import Asked, fault, fault_in_stream

ASKED = Asked(model="tiny", size=40_000, window=4096)


def body(message: str, **more: Any) -> Any:
    return {"error": {"message": message, **more}}


def told(status: int, said: Any, **headers: str) -> GatewayError:
    data = said if isinstance(said, bytes) else json.dumps(said).encode()
    return fault(status, headers, data, ASKED, 0.0)


VLLM = "This model's maximum context length is 4096 tokens. "
OVERFLOWS = {
    "llama.cpp, numbers beside": (400, body(
        "the request exceeds the available context size. try increasing the context size or enable "
        "context shift", code=400, type="exceed_context_size_error", n_prompt_tokens=9000, n_ctx=4096),
        (9000, 4096)),
    "llama.cpp, numbers inside": (400, body(
        "request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it"),
        (9000, 4096)),
    "llama.cpp, while it speaks": (500, body("Context size has been exceeded.", code=500), (10000, 4096)),
    "vLLM, sum": (400, {"object": "error", "type": "BadRequestError", "code": 400, "message": VLLM +
        "However, you requested 5000 tokens (4000 in the messages, 1000 in the completion). Please reduce "
        "the length of the messages or completion."}, (5000, 4096)),
    "vLLM, prompt": (400, body(VLLM + "However, your request has 5000 input tokens. Please reduce the "
        "length of the input messages."), (5000, 4096)),
    "vLLM, max_tokens": (400, body("'max_tokens' or 'max_completion_tokens' is too large: 5000. " +
        "This model's maximum context length is 4096 tokens and your request has 3500 input tokens "
        "(5000 > 4096 - 3500). (parameter=max_tokens, value=5000)"), (8500, 4096)),
    "vLLM, decoder": (400, {"object": "error", "message": "The decoder prompt (length 5000) is longer than "
        "the maximum model length of 4096. Make sure that `max_model_len` is no smaller."}, (5000, 4096)),
    "llama-cpp-python": (400, body("This model's maximum context length is 512 tokens. However, you "
        "requested 612 tokens (600 in the messages, 12 in the completion).",
        code="context_length_exceeded"), (612, 512)),
    "llama-cpp-python, raw": (500, body("Requested tokens (600) exceed context window of 512"), (600, 512)),
    "Ollama": (400, body("the input length exceeds the context length"), (10000, 4096)),
    "LM Studio": (400, {"error": "Trying to keep the first 9000 tokens when context the overflows. However, "
        "the model is loaded with context length of only 4096 tokens, which is not enough."}, (9000, 4096)),
    "LM Studio, kept": (400, {"error": "The number of tokens to keep from the initial prompt is greater "
        "than the context length. Try to load the model with a larger context length."}, (10000, 4096)),
    "LM Studio, reached": (400, {"error": "Reached context length of 2048 tokens with model (arch: x) "
        "which does not currently support mid-generation context overflow."}, (10000, 2048)),
    "OpenAI": (400, body("This model's maximum context length is 8192 tokens. However, your messages "
        "resulted in 9000 tokens. Please reduce the length of the messages.", type="invalid_request_error",
        code="context_length_exceeded"), (9000, 8192)),
    "OpenAI, configured": (400, body("Input tokens exceed the configured limit of 272,000 tokens. Your "
        "messages resulted in 300,000 tokens."), (300_000, 272_000)),
    "OpenAI, code alone": (400, body("Too much.", code="context_length_exceeded"), (10000, 4096)),
    "SGLang": (400, {"object": "error", "message": "The input (5000 tokens) is longer than the model's "
        "context length (4096 tokens)."}, (5000, 4096)),
    "text-generation-inference": (422, {"error": "`inputs` tokens + `max_new_tokens` must be <= 4096. "
        "Given: 4000 `inputs` tokens and 1000 `max_new_tokens`"}, (5000, 4096)),
}  # fmt: skip


@pytest.mark.parametrize("case", OVERFLOWS)
def test_overflows_have_true_numbers(case: str) -> None:
    """Every server's overflow is one for the client, with the numbers that the body gives."""
    status, said, tokens = OVERFLOWS[case]
    error = told(status, said)
    assert (error.kind, error.code, error.tokens) == (
        "context_overflow",
        "context_length_exceeded",
        tokens,
    )
    assert error.retriable is False


REFUSALS = {
    "llama.cpp, loading": (503, body("Loading model", code=503, type="unavailable_error"),
        "overloaded", "upstream_loading", None),
    "Ollama, busy": (503, body("server busy, please try again.  maximum pending requests exceeded"),
        "overloaded", "upstream_busy", None),
    "OpenAI, busy": (503, body("The engine is currently overloaded, please try again later"),
        "overloaded", "upstream_busy", None),
    "OpenAI, quota": (429, body("You exceeded your current quota, please check your plan and billing "
        "details.", code="insufficient_quota"), "rate_limited", "insufficient_quota", False),
    "OpenAI, rate": (429, body("Rate limit reached for gpt-5", code="rate_limit_exceeded"),
        "rate_limited", "upstream_429", None),
    "llama.cpp, key": (401, body("Invalid API Key", type="authentication_error", code=401),
        "upstream_login", "upstream_unauthorised", False),
    "vLLM, key": (401, {"error": "Unauthorized"}, "upstream_login", "upstream_unauthorised", False),
    "OpenAI, forbidden": (403, body("Country not supported", code="unsupported_country"),
        "upstream_refused", "upstream_403", False),
    "vLLM, model": (404, {"object": "error", "message": "The model `x` does not exist.",
        "type": "NotFoundError", "code": 404}, "not_found", "model_not_found", False),
    "Ollama, model": (404, body('model "x" not found, try pulling it first', type="api_error"),
        "not_found", "model_not_found", False),
    "LM Studio, model": (404, body("No models loaded. Please load a model in the developer page or use "
        "the `lms load` command.", code="model_not_found"), "not_found", "model_not_found", False),
    "route": (404, body("File Not Found", code=404, type="not_found_error"),
        "not_found", "upstream_404", False),
    "Mistral's template": (500, body("After the optional system message, conversation roles must alternate "
        "user and assistant roles except for tool calls and results. at row 1, column 2"),
        "invalid_request", "upstream_template_roles", False),
    "Gemma's template": (400, {"error": 'Error rendering prompt with jinja template: "Conversation roles '
        'must alternate user/assistant/user/assistant/..."'},
        "invalid_request", "upstream_template_roles", False),
    "LM Studio, template": (400, {"error": 'Error rendering prompt with jinja template: "Cannot read x".'},
        "invalid_request", "upstream_template", False),
    "llama.cpp, template": (500, body("Value is not callable: null at row 3"),
        "invalid_request", "upstream_template", False),
    "llama.cpp, no jinja": (500, body("tools param requires --jinja flag"),
        "unsupported", "upstream_no_tools", False),
    "vLLM, no tools": (400, body('"auto" tool choice requires --enable-auto-tool-choice and '
        "--tool-call-parser to be set"), "unsupported", "upstream_no_tools", False),
    "Ollama, no tools": (400, body("registry.ollama.ai/library/gemma:2b does not support tools"),
        "unsupported", "upstream_no_tools", False),
    "LM Studio, choice": (400, {"error": "Invalid tool_choice type: 'object'. Supported string values: "
        "none, auto, required"}, "unsupported", "upstream_tool_choice", False),
    "llama.cpp, schema": (400, body("JSON schema conversion failed: Pattern must start with '^'"),
        "invalid_request", "upstream_schema", False),
    "llama.cpp, call": (500, body("Failed to parse input at pos 12: <tool_call>{"),
        "upstream_failed", "upstream_tool_parse", None),
    "Ollama, call": (500, body("error parsing tool call: raw='{\"a\"', err=unexpected end of JSON input"),
        "upstream_failed", "upstream_tool_parse", None),
    "LM Studio, call": (400, {"error": "Failed to parse tool call: unexpected token"},
        "upstream_failed", "upstream_tool_parse", None),
    "llama.cpp, picture": (500, body("image input is not supported - hint: if this is unexpected, you may "
        "need to provide the mmproj"), "unsupported", "unsupported_content", False),
    "vLLM, picture": (400, body("At most 0 image(s) may be provided in one request."),
        "unsupported", "unsupported_content", False),
    "Ollama, thinking": (400, body('"llama3" does not support thinking'),
        "unsupported", "upstream_no_thinking", False),
    "Ollama, memory": (500, body("model requires more system memory (8.0 GiB) than is available (4.0 GiB)"),
        "upstream_failed", "upstream_memory", False),
    "Ollama, runner": (500, body("llama runner process has terminated: signal: killed"),
        "upstream_failed", "upstream_crashed", None),
    "LM Studio, crash": (400, {"error": "The model has crashed without additional information."},
        "upstream_failed", "upstream_crashed", None),
    "vLLM, engine": (500, {"object": "error", "message": "EngineCore encountered an issue. See stack trace",
        "type": "InternalServerError", "code": 500}, "upstream_failed", "upstream_crashed", None),
    "FastAPI": (422, {"detail": [{"loc": ["body", "messages"], "msg": "field required"}]},
        "invalid_request", "upstream_422", False),
    "proxy": (502, b"<html><body>Bad Gateway</body></html>", "upstream_failed", "upstream_502", None),
    "nothing": (500, b"", "upstream_failed", "upstream_500", None),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_known_bodies_are_understood(case: str) -> None:
    """Each known body has the kind that clients act on, and says whether to come again."""
    status, said, kind, code, retriable = REFUSALS[case]
    error = told(status, said)
    assert (error.kind, error.code, error.retriable) == (kind, code, retriable)
    assert "<html" not in error.told


def test_the_servers_own_words_are_shown() -> None:
    """The message holds what the server said, and what to do about it."""
    error = told(400, body("registry.ollama.ai/library/gemma:2b does not support tools"))
    assert "gemma:2b does not support tools" in error.told
    assert 'tools = "emulated"' in error.told
    assert "gemma:2b" not in error.message
    assert 'tools = "emulated"' in error.message


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 429, 500, 503])
def test_what_the_server_says_is_for_the_client_alone(status: int) -> None:
    """Our own words of a failure quote nothing of what the server says, which may quote the prompt."""
    error = told(status, body("canary words", type="canary type of mine"))
    assert "canary" not in error.message + error.detail
    assert "canary words" in error.told


def test_a_wait_is_passed_on() -> None:
    """A Retry-After of the server is kept."""
    assert told(429, body("Slow down"), **{"Retry-After": "7"}).retry_after == 7.0
    assert told(503, body("Loading model")).retry_after == 2.0


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (body("Invalid key", code="invalid_api_key"), "upstream_login"),
        (body("Slow", code="rate_limit_exceeded"), "rate_limited"),
        (body("Oops", code=503), "overloaded"),
        (
            {"object": "error", "message": "Bad", "type": "BadRequestError", "code": 400},
            "invalid_request",
        ),
        ({"error": "boom"}, "upstream_failed"),
    ],
)
def test_a_body_alone_tells_its_status(said: Any, kind: str) -> None:
    """Inside a stream there is no status, so the body's code or type stands for it."""
    assert fault_in_stream(json.dumps(said).encode(), ASKED).kind == kind


@given(st.integers(400, 599), st.binary(max_size=200) | st.text(max_size=80).map(
    lambda text: json.dumps({"error": text}).encode()))  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_any_body_is_an_error(status: int, data: bytes) -> None:
    """No body breaks the reading of an error, and its words stay on one short line."""
    error = fault(status, {}, data, ASKED, 0.0)
    assert "\n" not in error.told
    assert len(error.told) < 900
