"""An error tells everybody what it is in our words, and its client what the upstream said."""

from __future__ import annotations

from sfbridge.core.errors import GatewayError
from sfbridge.upstream.claude_cli.faults import ended
from sfbridge.upstream.words import code_word, one_line


def test_words_of_others_stand_in_our_midst() -> None:
    """The client is told our sentence, theirs, and what to do; everybody else the first and the last."""
    error = GatewayError("upstream_failed", "It broke.", said="disk full.", remedy="Make room.")
    assert error.told == "It broke: disk full. Make room."
    assert error.message == str(error) == "It broke. Make room."
    plain = GatewayError("upstream_failed", "It broke.", remedy="Make room.")
    assert plain.told == plain.message == "It broke. Make room."


def test_what_a_command_printed_is_told_to_nobody() -> None:
    """The last words of a process may quote the prompt that it was given, and tell of the machine it ran on."""
    for reused in (False, True):
        error = ended(1, "cannot handle: pw hunter2", begun=False, reused=reused)
        assert "hunter2" not in error.told + error.message + error.detail


def test_half_a_secret_is_not_shown() -> None:
    """Where words are cut, they are cut between two of them."""
    text = one_line("x " * 240 + "the-key-" + "k" * 60, 500)
    assert text.endswith("x...")
    assert len(text) <= 500


def test_codes_are_codes() -> None:
    """What is more than a code quotes somebody, and is left out."""
    assert [code_word(text) for text in ("rate_limit_error", "E30036", "429")] == [
        "rate_limit_error",
        "E30036",
        "429",
    ]
    assert [code_word(text) for text in ("two words", "", "pw:hunter2", "x" * 99)] == [""] * 4
