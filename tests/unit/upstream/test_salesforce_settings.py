"""The table of a Salesforce org in the configuration."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from sfbridge.upstream import UPSTREAMS, kind_of
from sfbridge.upstream.salesforce.models import ModelRow
from sfbridge.upstream.salesforce.settings import Settings, check, safe_base
from sfbridge.upstream.secret import Secret, SettingsError

GOOD = {
    "my_domain": "https://acme.my.salesforce.com",
    "client_id": "canary-id",
    "client_secret": "canary-secret",
}


def faulty(**changes: Any) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        check(Settings(**{**GOOD, **changes}), "sf", "")
    return caught.value


def test_a_good_table() -> None:
    """A complete table becomes an org with its token address."""
    org = check(Settings(**GOOD), "sf", "")
    assert str(org.token_url) == "https://acme.my.salesforce.com/services/oauth2/token"
    assert (org.host, org.api_url, org.sandbox) == ("acme.my.salesforce.com", "", False)
    assert (org.client_id.reveal(), org.client_secret.reveal()) == ("canary-id", "canary-secret")


def test_the_scheme_may_be_left_out() -> None:
    """A bare host means https."""
    org = check(Settings(**{**GOOD, "my_domain": "acme.my.salesforce.com"}), "sf", "")
    assert org.token_url.scheme == "https"


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"my_domain": ""}, "my_domain", "SFBRIDGE_UPSTREAM__SF__MY_DOMAIN"),
        ({"my_domain": "http://acme.my.salesforce.com"}, "my_domain", "https://"),
        ({"my_domain": "https://login.salesforce.com"}, "my_domain", "My Domain"),
        ({"my_domain": "https://test.salesforce.com/"}, "my_domain", "My Domain"),
        ({"my_domain": "https://acme.lightning.force.com"}, "my_domain", ".my.salesforce.com"),
        ({"my_domain": "https://acme.my.salesforce.com/services"}, "my_domain", "nothing else"),
        ({"my_domain": "https://user:pw@acme.my.salesforce.com"}, "my_domain", "nothing else"),
        ({"my_domain": "https://[broken"}, "my_domain", ""),
        ({"client_id": ""}, "client_id", "SFBRIDGE_UPSTREAM__SF__CLIENT_ID"),
        ({"client_secret": ""}, "client_secret", "[upstream.sf]"),
        ({"client_secret_file": "x"}, "client_secret_file", "keep one"),
        ({"client_secret": "", "client_secret_file": "/nonexistent/x"}, "client_secret_file", "cannot be read"),
        ({"api_url": "http://api.example"}, "api_url", "https://"),
        ({"read_timeout": 0}, "read_timeout", "more than 0"),
        ({"default_max_output": 0}, "default_max_output", "at least 1"),
        ({"models": (ModelRow(api_name=" "),)}, "models[0].api_name", "empty"),
    ],
)  # fmt: skip
def test_every_fault_names_its_key(changes: dict[str, Any], path: str, words: str) -> None:
    """A setting that cannot work is named, with what to do; the message begins with its key."""
    error = faulty(**changes)
    assert error.path == path
    assert words in error.message
    assert str(error).startswith(f"{path}: ")
    assert "canary-secret" not in str(error)
    assert "pw" not in str(error)


def test_secrets_may_come_from_files(tmp_path: Path) -> None:
    """A secret in a file is read without its line break; an empty file is refused."""
    file = tmp_path / "secret"
    file.write_text("from-file\n")
    settings = Settings(**{**GOOD, "client_secret": "", "client_secret_file": str(file)})
    assert check(settings, "sf", "").client_secret.reveal() == "from-file"
    file.write_text("\n")
    assert faulty(client_secret="", client_secret_file=str(file)).path == "client_secret_file"


def test_the_sandbox_needs_nothing_but_its_name() -> None:
    """With the word sandbox the org's address, id and secret are the sandbox's own."""
    org = check(Settings(my_domain="sandbox"), "sf", "http://127.0.0.1:8001")
    assert str(org.token_url) == "http://127.0.0.1:8001/services/oauth2/token"
    assert (org.api_url, org.sandbox) == ("http://127.0.0.1:8001", True)
    assert (org.client_id.reveal(), org.client_secret.reveal()) == ("sandbox-client", "sandbox-secret")  # fmt: skip


def test_a_sandbox_that_does_not_run_is_told() -> None:
    """The word sandbox without a sandbox says how to start it."""
    assert "sandbox.enabled" in faulty(my_domain="sandbox").message


def test_no_printed_form_holds_a_secret() -> None:
    """Neither settings nor what they become can be printed with their secrets."""
    settings = Settings(**GOOD)
    org = check(settings, "sf", "")
    for printed in (repr(settings), str(settings), f"{settings}", repr(org), str(org.client_secret), f"{org.client_secret}"):  # fmt: skip
        assert "canary-secret" not in printed
        assert "canary-id" not in printed
    with pytest.raises(TypeError):
        pickle.dumps(Secret("x"))


@pytest.mark.parametrize(
    ("address", "base"),
    [
        ("https://api.salesforce.com/", "https://api.salesforce.com"),
        ("https://test.api.salesforce.com/x?y=z", "https://test.api.salesforce.com"),
        ("http://127.0.0.1:9/", "http://127.0.0.1:9"),
        ("http://api.salesforce.com", ""),
        ("https://u:p@evil.example", ""),
        ("file:///etc/passwd", ""),
        ("nonsense", ""),
        ("", ""),
    ],
)
def test_addresses_that_a_token_may_go_to(address: str, base: str) -> None:
    """Only https, or this machine, is believed where the token response names the API."""
    assert safe_base(address) == base


def test_kinds_are_found_by_their_word() -> None:
    """A known word gives the adapter, an unknown one names those that are known."""
    assert kind_of("salesforce").settings is Settings
    with pytest.raises(ValueError, match="'salesforce'"):
        kind_of("salesfarce")
    assert {"salesforce", "openai"} <= set(UPSTREAMS)
