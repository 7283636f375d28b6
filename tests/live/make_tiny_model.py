"""Writes language models that know nothing: llamas of two small layers with seeded random weights, as GGUF.

They are what a real model server needs to run without a download: a window, a tokenizer that takes every byte,
and a chat template with tools. The same arguments give the same bytes.
"""

from __future__ import annotations

import argparse
import math
import struct
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

WINDOW: Final = 16_384

_WIDTH: Final = 64
_INNER: Final = 128
_HEADS: Final = 4
_LAYERS: Final = 2
_ALIGNMENT: Final = 32
# Of a taste: large beside what the layers add to an embedding, and beside a row of random output weights.
_MARK: Final = 32.0
_PULL: Final = 4.0

_CONTROL: Final = ("<unk>", "<|im_start|>", "<|im_end|>")
_BYTES: Final = tuple([f"<0x{byte:02X}>" for byte in range(256)])
# SentencePiece writes a space as U+2581.
_SIGNS: Final = ("\u2581", *[chr(code) for code in range(33, 127)])
_BEGIN, _END, _CALL = "<|im_start|>", "<|im_end|>", "<tool_call>"
_MARKS: Final = (_CALL, "</tool_call>")
TOKENS: Final = (*_CONTROL, *_BYTES, *_SIGNS, *_MARKS)

# What a model likes to write, and how much; the strongest is the likeliest wherever a grammar lets it.
TASTES: Final[Mapping[str, Mapping[str, float]]] = {
    # anything: letters, control characters, bytes that are no text, the end
    "noise": {},
    # letters and signs; it never ends by itself
    "talker": dict.fromkeys(_SIGNS, 1.0),
    # the end, and where that is not allowed a call: one when a call is demanded, sometimes several
    "caller": {_END: 1.0, _CALL: 0.9},
}

# Hermes' convention: the one for which most servers read calls out of the model's words.
TEMPLATE: Final = """\
{%- if tools %}<|im_start|>system
{%- if messages[0].role == 'system' %}
{{ messages[0].content }}
{%- endif %}
<tools>
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
</tools>
<tool_call>{"name": <function-name>, "arguments": <args-json-object>}</tool_call><|im_end|>
{%- elif messages[0].role == 'system' %}<|im_start|>system
{{ messages[0].content }}<|im_end|>
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'tool' %}
<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{%- elif message.role == 'assistant' %}
<|im_start|>assistant
{{ message.content or '' }}
{%- for call in message.tool_calls or [] %}
<tool_call>{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}</tool_call>
{%- endfor %}<|im_end|>
{%- elif message.role != 'system' or not loop.first %}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
<|im_start|>assistant
{% endif %}"""

# ---- metadata: the numbers of GGUF's value types, and how each is packed

_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_F32_TENSOR: Final = 0
_PACKED: Final = {_UINT32: "<I", _INT32: "<i", _FLOAT32: "<f", _BOOL: "<?"}
# tokenizer.ggml.token_type
_NORMAL, _UNKNOWN, _SPECIAL, _WHOLE, _BYTE = 1, 2, 3, 4, 6


class _Entry(NamedTuple):
    """One value of the header; with `each`, an array of values of that type."""

    key: str
    type: int
    value: object
    each: int = 0


def _metadata(window: int) -> tuple[_Entry, ...]:
    types = (
        *(_UNKNOWN, _SPECIAL, _SPECIAL),
        *[_BYTE] * len(_BYTES),
        *[_NORMAL] * len(_SIGNS),
        *[_WHOLE] * len(_MARKS),
    )
    return (
        _Entry("general.architecture", _STRING, "llama"),
        _Entry("general.name", _STRING, "noise"),
        _Entry("general.file_type", _UINT32, 0),
        _Entry("llama.vocab_size", _UINT32, len(TOKENS)),
        _Entry("llama.context_length", _UINT32, window),
        _Entry("llama.embedding_length", _UINT32, _WIDTH),
        _Entry("llama.feed_forward_length", _UINT32, _INNER),
        _Entry("llama.block_count", _UINT32, _LAYERS),
        _Entry("llama.attention.head_count", _UINT32, _HEADS),
        _Entry("llama.attention.head_count_kv", _UINT32, _HEADS),
        _Entry("llama.attention.layer_norm_rms_epsilon", _FLOAT32, 1e-5),
        _Entry("llama.rope.dimension_count", _UINT32, _WIDTH // _HEADS),
        _Entry("tokenizer.ggml.model", _STRING, "llama"),
        _Entry("tokenizer.ggml.tokens", _ARRAY, TOKENS, _STRING),
        _Entry("tokenizer.ggml.scores", _ARRAY, [0.0] * len(TOKENS), _FLOAT32),
        _Entry("tokenizer.ggml.token_type", _ARRAY, types, _INT32),
        _Entry("tokenizer.ggml.unknown_token_id", _UINT32, 0),
        _Entry("tokenizer.ggml.bos_token_id", _UINT32, TOKENS.index(_BEGIN)),
        _Entry("tokenizer.ggml.eos_token_id", _UINT32, TOKENS.index(_END)),
        _Entry("tokenizer.ggml.add_bos_token", _BOOL, False),
        _Entry("tokenizer.ggml.add_space_prefix", _BOOL, False),
        _Entry("tokenizer.chat_template", _STRING, TEMPLATE),
    )


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def _value(kind: int, value: object) -> bytes:
    return _text(str(value)) if kind == _STRING else struct.pack(_PACKED[kind], value)


def _packed(entry: _Entry) -> bytes:
    head = _text(entry.key) + struct.pack("<I", entry.type)
    if entry.type != _ARRAY:
        return head + _value(entry.type, entry.value)
    assert isinstance(entry.value, Sequence)
    head += struct.pack("<IQ", entry.each, len(entry.value))
    return head + b"".join([_value(entry.each, item) for item in entry.value])


# ---- weights


def _shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Each tensor's name and extents, the innermost first."""
    yield "token_embd.weight", (_WIDTH, len(TOKENS))
    yield "output_norm.weight", (_WIDTH,)
    yield "output.weight", (_WIDTH, len(TOKENS))
    for layer in range(_LAYERS):
        yield f"blk.{layer}.attn_norm.weight", (_WIDTH,)
        yield f"blk.{layer}.ffn_norm.weight", (_WIDTH,)
        for part in ("q", "k", "v", "output"):
            yield f"blk.{layer}.attn_{part}.weight", (_WIDTH, _WIDTH)
        yield f"blk.{layer}.ffn_gate.weight", (_WIDTH, _INNER)
        yield f"blk.{layer}.ffn_up.weight", (_WIDTH, _INNER)
        yield f"blk.{layer}.ffn_down.weight", (_INNER, _WIDTH)


def _weights(shape: tuple[int, ...], random: Random) -> array[float]:
    """Norms are 1; the rest is spread evenly, as far as keeps the sums of a row near 1."""
    if len(shape) == 1:
        return array("f", [1.0] * shape[0])
    reach = math.sqrt(3 / shape[0])
    return array("f", [random.uniform(-reach, reach) for _ in range(math.prod(shape))])


def _flavour(name: str, weights: array[float], taste: Mapping[str, float]) -> None:
    """Make a taste: every token's embedding has one mark more, which the output rows of some tokens look for."""
    if name == "token_embd.weight":
        weights[::_WIDTH] = array("f", [_MARK] * len(TOKENS))
    elif name == "output.weight":
        weights[::_WIDTH] = array("f", [_PULL * taste.get(token, 0.0) for token in TOKENS])


def _little_endian(values: array[float]) -> bytes:
    if struct.pack("=I", 1) != struct.pack("<I", 1):
        values.byteswap()
    return values.tobytes()


def _aligned(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGNMENT)


def write(path: Path, taste: str = "noise", *, window: int = WINDOW, seed: int = 1) -> None:
    """Write a model to `path`: its taste is one of TASTES, its window the tokens that it says it was trained for."""
    random = Random(seed)
    entries = _metadata(window)
    infos, tensors, offset = [], [], 0
    for name, shape in _shapes():
        values = _weights(shape, random)
        if TASTES[taste]:
            _flavour(name, values, TASTES[taste])
        weights = _aligned(_little_endian(values))
        extents = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        infos.append(_text(name) + extents + struct.pack("<IQ", _F32_TENSOR, offset))
        tensors.append(weights)
        offset += len(weights)
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(entries))
    header += b"".join([_packed(entry) for entry in entries]) + b"".join(infos)
    path.write_bytes(_aligned(header) + b"".join(tensors))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("taste", choices=TASTES, nargs="?", default="noise")
    parser.add_argument("--window", type=int, default=WINDOW)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    write(chosen.path, chosen.taste, window=chosen.window, seed=chosen.seed)


if __name__ == "__main__":
    main()
