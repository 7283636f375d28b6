"""Who may ask."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from sfbridge.core.errors import GatewayError
from sfbridge.policy.limits import KeyRing, presented

RING = KeyRing([("ann", "sk-one"), ("bob", "sk-two-ü")])


def test_a_known_key_gives_its_name() -> None:
    """Each secret opens under its own name."""
    assert RING.check("sk-one") == "ann"
    assert RING.check("sk-two-ü") == "bob"
    assert len(RING) == 2


@pytest.mark.parametrize("presented", ["", "sk-on", "sk-one ", "SK-ONE", "sk-two-\udcc3", "\x00"])
def test_any_other_key_is_refused_for_good(presented: str) -> None:
    """A wrong or missing key is refused, is not worth repeating, and is not repeated in the message."""
    with pytest.raises(GatewayError) as caught:
        RING.check(presented)
    error = caught.value
    assert (error.kind, error.retriable) == ("authentication", False)
    assert error.code == ("invalid_api_key" if presented else "missing_api_key")
    assert len(presented) < 3 or presented not in error.message


def test_a_ring_without_keys_refuses_everybody() -> None:
    """No key at all is not an open door."""
    assert not KeyRing(())
    with pytest.raises(GatewayError):
        KeyRing(()).check("anything")


@pytest.mark.parametrize("keys", [[("ann", "")], [("ann", "same"), ("bob", "same")]])
def test_useless_keys_are_refused_without_showing_them(keys: list[tuple[str, str]]) -> None:
    """An empty secret and a secret of two names stop the start; the secret stays unsaid."""
    with pytest.raises(ValueError, match="ann") as caught:
        KeyRing(keys)
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
    assert RING.check("wrong", "sk-one") == RING.check("sk-one")
    with pytest.raises(GatewayError):
        RING.check("wrong", "also wrong")
