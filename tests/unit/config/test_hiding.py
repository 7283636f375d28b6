"""Secrets are hidden in every form in which they travel, and innocent words are not."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfbridge.config import Config, section
from sfbridge.hiding import HIDDEN, Secrets
from sfbridge.secrecy import secrets_of

SECRET = 'sec/ret+canary= "\u00e4"'


@pytest.mark.parametrize(
    "form",
    [SECRET, json.dumps(SECRET), json.dumps(SECRET, ensure_ascii=False), quote(SECRET, safe=""), quote_plus(SECRET)],
    ids=["plain", "JSON", "JSON of Unicode", "address", "form"],
)  # fmt: skip
def test_every_form_is_hidden(form: str) -> None:
    """A secret that went out in a form, a body or an address comes back in none of them."""
    text = Secrets([SECRET]).hidden(f"you sent {form}!")
    assert "canary" not in text
    assert HIDDEN in text
    assert text.startswith("you sent ")


def test_secrets_may_be_learnt_later() -> None:
    """Tokens that are issued on the way are hidden too, the last ones of them; what is configured stays hidden."""
    secrets = Secrets(["configured-secret"])
    for number in range(100):
        secrets.learn_passing(f"issued-token-{number:03d}")
    text = secrets.hidden("configured-secret issued-token-099 issued-token-080")
    assert text == " ".join([HIDDEN] * 3)
    secrets.learn(["another-secret"])
    assert secrets.hidden("another-secret issued-token-099") == f"{HIDDEN} {HIDDEN}"


@pytest.mark.parametrize("word", ["ollama", "lm-studio", "anything"])
def test_words_that_are_no_secrets_stay(word: str) -> None:
    """A server that wants any key gets a word, which stands in names of models as well; a client's key is one, whatever
    it looks like. Settings of a child process are hidden where they look like keys, and not as the names they are."""
    environment = {
        "SMALL_MODEL": "gpt-4o",
        "REGION": "eu-central-1",
        "A_TOKEN": "short1",
        "PAT": "x9" * 12,
    }
    tables = {
        "keys": {"me": "password"},
        "upstream": {
            "a": {"kind": "openai", "base_url": "http://u:pw-of-it@x", "api_key": word},
            "b": {"kind": "claude-cli", "environment": environment, "pass_environment": ["ODD"]},
        },
    }
    odd = b"caf\xe9-12345678901234567".decode("utf-8", "surrogateescape")
    found = {*secrets_of(section(tables, Config, ""), {"ODD": odd, "ODD_TOKEN": "x"})}
    assert found == {"password", "u:pw-of-it", "pw-of-it", "short1", "x9" * 12}
    assert Secrets([odd]).hidden(f"<{odd}>") == f"<{HIDDEN}>"


@given(st.lists(st.text(min_size=10), max_size=4), st.text(), st.text())
def test_nothing_is_left_of_a_secret(values: list[str], before: str, after: str) -> None:
    """Whatever the secrets are, the text that comes out holds none of them."""
    secrets = Secrets(values)
    for value in values:
        text = secrets.hidden(f"{before}{value}{after}")
        assert value not in text or value in HIDDEN
