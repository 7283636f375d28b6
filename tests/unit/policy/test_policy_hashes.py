"""Secrets at rest."""

from __future__ import annotations

from base64 import b64encode
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfbridge.policy.hashes import SALT_BYTES, hashed, parse

SALT = bytes(range(SALT_BYTES))


def test_a_hash_matches_its_secret_only() -> None:
    """The secret opens, its neighbours do not, and the text shows neither."""
    text = hashed("sk-one", SALT)
    assert "sk-one" not in text
    found = parse(text)
    assert found.matches("sk-one")
    assert not found.matches("sk-onf")
    assert not found.matches("")


def test_salt_makes_equal_secrets_differ() -> None:
    """Nobody sees that two clients have the same secret."""
    assert hashed("sk-one", SALT) != hashed("sk-one", SALT[::-1])


def test_the_form_is_the_documented_one() -> None:
    """A hash of another program is understood: the third vector of RFC 7914, section 12, in the PHC form."""
    vector = bytes.fromhex(
        "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
        "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
    )
    salt, digest = (b64encode(raw).rstrip(b"=").decode() for raw in (b"SodiumChloride", vector))
    found = parse(f"$scrypt$ln=14,r=8,p=1${salt}${digest}")
    assert found.matches("pleaseletmein")
    assert not found.matches("pleaseletmeout")
    assert hashed("x", SALT).startswith("$scrypt$ln=14,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sk-one",
        "$scrypt$",
        "$scrypt$ln=99,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$" + "A" * 43,
        "$scrypt$ln=20,r=99,p=1$AAECAwQFBgcICQoLDA0ODw$" + "A" * 43,
        "$scrypt$ln=14,r=0,p=1$AAECAwQFBgcICQoLDA0ODw$" + "A" * 43,
        "$scrypt$ln=14,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$short",
        "$bcrypt$ln=14,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$" + "A" * 43,
    ],
)
def test_what_is_no_hash_is_refused(text: str) -> None:
    """Nothing that could never match, or that would stall the machine, gets as far as a comparison."""
    with pytest.raises(ValueError, match=r"hash|cost"):
        parse(text)


@given(st.text(max_size=120))
def test_no_text_breaks_the_reading(text: str) -> None:
    """Any text is a hash or a ValueError."""
    with suppress(ValueError):
        parse("$scrypt$" + text)
