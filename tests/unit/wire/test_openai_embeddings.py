"""Embeddings bodies in and out: what is read, what is refused and where, what base64 holds."""

from __future__ import annotations

import json
import struct
from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfbridge.core.embedding import Vectors
from sfbridge.core.errors import GatewayError
from sfbridge.core.stream import Usage
from sfbridge.wire.openai_embeddings import MOST_TEXTS, body, decode, pack_floats

FLOATS = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=20)


def read(**fields: Any) -> Any:
    sent = {"model": "m", "input": "one", **fields}
    return decode(json.dumps(sent).encode(), {"user-agent": "me/1"})


def refusal(**fields: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        read(**fields)
    return caught.value


def test_one_text_and_several_are_read() -> None:
    """A text stands for a list of one; order is kept, absent options are none."""
    asked = read(input="one")
    assert (asked.request.texts, asked.packed, asked.request.dimensions) == (("one",), False, None)
    asked = read(input=["b", "a", "b"], encoding_format="base64", dimensions=8, user="u")
    assert (asked.request.texts, asked.packed) == (("b", "a", "b"), True)
    assert (asked.request.dimensions, asked.request.caller.user) == (8, "u")
    assert asked.request.caller.client == "me/1"


def test_unknown_fields_are_kept_raw() -> None:
    """A field that only the upstream may know is neither read nor lost."""
    found = read(input_type="query", user=None, truncate=None).request.extras
    assert {name: bytes(raw) for name, raw in found.items()} == {"input_type": b'"query"'}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": ["a", 7]}, "input[1]"),
        ({"input": ["a", [7]]}, "input[1]"),
        ({"input": 7}, "input"),
        ({"input": None}, "input"),
        ({"input": [["a"]]}, "input[0][0]"),
        ({"input": {"a": 1}}, "input"),
        ({"input": ["a"] * (MOST_TEXTS + 1)}, "input"),
        ({"model": ""}, "model"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": 1.5}, "dimensions"),
    ],
)
def test_faults_are_named_by_their_place(fields: dict[str, Any], param: str) -> None:
    """Whatever is wrong with a body is told with the path to it."""
    error = refusal(**fields)
    assert (error.kind, error.param) == ("invalid_request", param)


@pytest.mark.parametrize("ids", [[1, 2], [[1, 2], [3]], [[]]])
def test_token_ids_are_refused_with_the_way_out(ids: Any) -> None:
    """Ids of an unknown vocabulary would make nonsense, so the client is told how to send text."""
    error = refusal(input=ids)
    assert (error.kind, error.param) == ("unsupported", "input")
    assert "check_embedding_ctx_length=False" in error.message


@given(st.binary(max_size=200) | st.text(max_size=60).map(str.encode))
def test_garbage_is_a_clear_refusal(data: bytes) -> None:
    """No body makes another exception than ours."""
    with pytest.raises(GatewayError):
        decode(data, {})


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=8,
    )
)
def test_any_input_is_read_or_refused(given_input: Any) -> None:
    """What is accepted are texts, none of them empty."""
    try:
        texts = read(input=given_input).request.texts
    except GatewayError:
        return
    assert texts
    assert all(texts)


@given(FLOATS)
def test_base64_holds_the_same_numbers(vector: list[float]) -> None:
    """Little-endian float32, one after the other: what went in comes out, bit by bit."""
    packed = b64decode(pack_floats(vector), validate=True)
    assert list(struct.unpack(f"<{len(vector)}f", packed)) == vector


def test_a_number_beyond_float32_fails_visibly() -> None:
    """Nothing is rounded to infinity in silence."""
    with pytest.raises(GatewayError) as caught:
        pack_floats([1e300])
    assert caught.value.kind == "upstream_failed"


def test_the_body_has_the_vendors_form() -> None:
    """List, items with their index, model and usage; a guessed usage says so."""
    found = Vectors(vectors=[[0.5, 1.0], [0.25, 2.0]], usage=Usage(input=7))
    assert json.loads(body(found, "m", packed=False)) == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5, 1.0]},
            {"object": "embedding", "index": 1, "embedding": [0.25, 2.0]},
        ],
        "model": "m",
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }
    guessed = Vectors(vectors=[[0.5, 1.0]], usage=Usage(input=7, estimated=True))
    shown = json.loads(body(guessed, "m", packed=True))
    assert shown["usage"] == {"prompt_tokens": 7, "total_tokens": 7, "estimated": True}
    assert shown["data"][0]["embedding"] == "AAAAPwAAgD8="
