"""Who may ask."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from sfbridge.config import Key
from sfbridge.core.errors import GatewayError
from sfbridge.policy.hashes import hashed
from sfbridge.policy.limits import KeyRing, Permits, presented

PEPPER = b"pepper of this process"


def ring(**secrets: str) -> KeyRing:
    return KeyRing({name: Key(secret=secret) for name, secret in secrets.items()}, PEPPER)


RING = ring(ann="sk-one", bob="sk-two-ü")
HASH = hashed("sk-hashed", b"0123456789abcdef")


def test_a_known_key_gives_its_name() -> None:
    """Each secret opens under its own name."""
    assert RING.known("sk-one") == "ann"
    assert RING.known("sk-two-ü") == "bob"
    assert len(RING) == 2


@pytest.mark.parametrize("presented", ["", "sk-on", "sk-one ", "SK-ONE", "sk-two-\udcc3", "\x00"])
def test_any_other_key_is_refused_for_good(presented: str) -> None:
    """A wrong or missing key is refused, is not worth repeating, and is not repeated in the message."""
    with pytest.raises(GatewayError) as caught:
        RING.known(presented)
    error = caught.value
    assert (error.kind, error.retriable) == ("authentication", False)
    assert error.code == ("invalid_api_key" if presented else "missing_api_key")
    assert len(presented) < 3 or presented not in error.message


def test_a_ring_without_keys_refuses_everybody() -> None:
    """No key at all is not an open door."""
    assert not ring()
    with pytest.raises(GatewayError):
        ring().known("anything")


@pytest.mark.parametrize("keys", [{"ann": ""}, {"ann": "same", "bob": "same"}])
def test_useless_keys_are_refused_without_showing_them(keys: dict[str, str]) -> None:
    """An empty secret and a secret of two names stop the start; the secret stays unsaid."""
    with pytest.raises(ValueError, match="ann") as caught:
        ring(**keys)
    assert "same'" not in str(caught.value)


def test_the_ring_keeps_no_secret() -> None:
    """Nothing that the ring holds contains a secret."""
    assert "sk-one" not in repr(vars(RING))


@pytest.mark.parametrize(
    ("headers", "keys"),
    [
        ({}, ()),
        ({"authorization": "Bearer abc"}, ("abc",)),
        ({"authorization": "bearer  abc "}, ("abc",)),
        ({"x-api-key": " abc "}, ("abc",)),
        ({"authorization": "Bearer abc", "x-api-key": "def"}, ("abc", "def")),
        ({"authorization": "Basic abc", "x-api-key": "def"}, ("def",)),
        ({"authorization": "Bearer", "x-api-key": "def"}, ("def",)),
        ({"authorization": "Bearer "}, ()),
        ({"authorization": "abc"}, ()),
    ],
)
def test_keys_are_read_from_both_headers(headers: dict[str, str], keys: tuple[str, ...]) -> None:
    """Bearer first, then x-api-key; both vendors' clients get in, whichever way they send it."""
    assert presented(headers) == keys
    assert presented(CIMultiDict({name.title(): value for name, value in headers.items()})) == keys


def test_one_right_key_of_two_is_enough() -> None:
    """A stale key in one header does not hide the right one in the other."""
    assert RING.known("wrong", "sk-one") == RING.known("sk-one")
    with pytest.raises(GatewayError):
        RING.known("wrong", "also wrong")


def hashed_ring() -> KeyRing:
    return KeyRing({"ann": Key(secret_hash=HASH), "bob": Key(secret="sk-plain")}, PEPPER)


def test_a_hashed_key_is_compared_slowly_once() -> None:
    """The first sight of a key takes a comparison elsewhere; from then on it is known like any other."""
    keys = hashed_ring()
    assert keys.known("sk-plain") == "bob"
    assert keys.known("sk-hashed") is None
    assert keys.learn(keys.compare("wrong", "sk-hashed"), "wrong", "sk-hashed") == "ann"
    assert keys.known("sk-hashed") == "ann"
    assert "sk-hashed" not in repr(vars(keys))
    assert len(keys) == 2


def test_a_wrong_key_is_compared_slowly_once() -> None:
    """A client that keeps sending a wrong key is refused at once after the first time, and still not let in."""
    keys = hashed_ring()
    assert keys.known("wrong") is None
    for _ in range(2):
        with pytest.raises(GatewayError) as caught:
            keys.learn(keys.compare("wrong"), "wrong")
        assert caught.value.kind == "authentication"
    with pytest.raises(GatewayError):
        keys.known("wrong")
    assert keys.known("other") is None
    with pytest.raises(GatewayError):
        keys.known()  # nothing sent, nothing to compare


def test_wrong_keys_do_not_fill_the_memory() -> None:
    """Any number of guesses leaves a bounded trace."""
    keys = hashed_ring()
    for number in range(3000):
        with pytest.raises(GatewayError):
            keys.learn(None, f"guess-{number}")
    assert keys.known("guess-0") is None
    with pytest.raises(GatewayError):
        keys.known("guess-2999")


def test_a_broken_hash_stops_the_start_by_name() -> None:
    """A hash that nothing could match is told with the name of its key."""
    with pytest.raises(ValueError, match="'ann'"):
        KeyRing({"ann": Key(secret_hash="$scrypt$nonsense")}, PEPPER)


@pytest.mark.parametrize(
    ("models", "names", "allowed"),
    [
        ((), ["gpt-4o"], True),
        (("gpt-4o",), ["gpt-4o"], True),
        (("gpt-4o",), ["gpt-4o-mini"], False),
        (("gpt-4*",), ["gpt-4o-mini"], True),
        (("GPT-4?",), ["gpt-4o"], True),
        (("gpt-4?",), ["gpt-4"], False),
        (("a", "local/*"), ["qwen", "local/qwen"], True),
        (("*",), ["anything", "x\ny"], True),
        (("gpt.4o", "[g]pt-4o", "gpt-4o|x"), ["gpt-4o", "gptx4o", "x"], False),
    ],
)
def test_models_of_a_key(models: tuple[str, ...], names: list[str], allowed: bool) -> None:
    """`*` and `?` stand for text, everything else for itself, capitals apart; one matching name is enough."""
    permits = Permits({"ann": Key(secret="x", models=models), "bob": Key(secret="y")})
    assert permits.allows("ann", names) is allowed
    assert permits.restricts("ann") is bool(models)
    assert permits.allows("bob", names)
    assert permits.allows("", names)
