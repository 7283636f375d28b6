"""Names that people know: aliases, families, shipped names, the default, and when two names mean one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from sfbridge.core.errors import GatewayError
from sfbridge.core.model import ModelCard
from sfbridge.policy.names import SHIPPED, another
from sfbridge.policy.routing import Routes, chat_default
from sfbridge.sandbox.catalogue import MODELS
from sfbridge.upstream.salesforce.models import ModelTable

ORG = [("salesforce", card) for card in ModelTable().cards()]
QWEN = ("local", ModelCard(id="qwen3:8b", target="qwen3:8b"))
LOADED = ("local", ModelCard(id="local", target="default"))
EMBEDS = ("local", ModelCard(id="nomic", target="nomic", kind="embeddings"))


def routes(
    cards: Sequence[tuple[str, ModelCard]] = ORG,
    aliases: Mapping[str, str | Sequence[str]] | None = None,
    *,
    default: str = "claude-sonnet-4-6",
    fallbacks: Mapping[str, Sequence[str]] | None = None,
    strict: bool = False,
    lenient: bool = False,
) -> Routes:
    return Routes(
        cards,
        default=default,
        aliases=aliases or {},
        fallbacks=fallbacks,
        strict=strict,
        lenient=lenient,
    )


@pytest.mark.parametrize(
    ("asked", "card"),
    [
        ("gpt-3.5-turbo", "gpt-4o-mini"),
        ("gpt-4", "gpt-4o"),
        ("GPT-4-Turbo", "gpt-4o"),
        ("gpt-4o", "gpt-4o"),
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("sonnet", "claude-sonnet-4-6"),
        ("opus", "claude-opus-4-6"),
        ("haiku[1m]", "claude-haiku-4-5"),
        ("claude-opus-9", "claude-sonnet-4-6"),
    ],
)
def test_shipped_names_lead_to_models_of_an_org(asked: str, card: str) -> None:
    """Names that every client knows are answered by the org's model that comes nearest."""
    assert routes().target(asked).card.id == card


@pytest.mark.parametrize("asked", [*SHIPPED, "claude-opus-9", "us.anthropic.claude-x"])
def test_shipped_names_work_with_nothing_but_a_local_server(asked: str) -> None:
    """Where nobody serves a name's own models the default answers: the first model that can chat, unless chosen."""
    cards = [EMBEDS, QWEN, LOADED]
    default = chat_default("claude-sonnet-4-6", False, cards)
    assert default == "qwen3:8b"
    assert routes(cards, default=default).target(asked).model == "qwen3:8b"
    assert routes(cards, default="local").target(asked).model == "default"


def test_a_server_that_has_the_name_answers_to_it() -> None:
    """A model's own name goes before a shipped one, and a sonnet of any server before the default."""
    mine = ("local", ModelCard(id="gpt-4", target="gpt-4"))
    other = ("far", ModelCard(id="claude-9-sonnet-x", target="s"))
    assert routes([*ORG, mine]).target("gpt-4").upstream == "local"
    assert routes([QWEN, other], default="qwen3:8b").target("sonnet").upstream == "far"


def test_strict_answers_nothing_by_default() -> None:
    """With `strict`, a name whose own models nobody serves is not found, near names are told; known ones work."""
    table = routes(strict=True)
    assert table.target("sonnet").card.id == "claude-sonnet-4-6"
    with pytest.raises(GatewayError, match="Did you mean 'claude-opus-4-6'") as caught:
        table.target("claude-opus-4-66")
    assert caught.value.kind == "not_found"
    with pytest.raises(GatewayError):
        routes([QWEN], default="qwen3:8b", strict=True).target("gpt-4")


def test_families_answer_names_that_nobody_has() -> None:
    """A name with * answers what fits it and no model has; the more a pattern says, the earlier it is asked."""
    table = routes(
        [*ORG, QWEN, LOADED],
        {"gpt-*": "local", "gpt-5.*": "gpt-5.1", "claude-haiku-*": "haiku", "*": "qwen3:8b"},
    )
    told = {name: table.target(name).card.id for name in (
        "gpt-9", "gpt-5.9", "gpt-4o", "gpt-4", "claude-haiku-9", "claude-opus-9", "whatever", "sonnet",
    )}  # fmt: skip
    assert told == {
        "gpt-9": "local",
        "gpt-5.9": "gpt-5.1",
        "gpt-4o": "gpt-4o",
        "gpt-4": "local",
        "claude-haiku-9": "claude-haiku-4-5",
        "claude-opus-9": "qwen3:8b",
        "whatever": "qwen3:8b",
        "sonnet": "qwen3:8b",
    }
    assert table.card("gpt-9").id == "local"
    with pytest.raises(GatewayError):
        table.target("gpt-" + "9" * 500)


def test_a_list_is_a_name_with_fallbacks() -> None:
    """Of several targets the first answers and the others stand in, for names and families, before those of a route."""
    table = routes(
        [*ORG, QWEN],
        {"fast": ["local/tiny", "gpt-4o-mini"], "o9-*": ("o3", "o4-mini")},
        fallbacks={"fast": ["qwen3:8b"], "claude-opus-9": ["qwen3:8b"]},
    )
    assert [t.model for t in table.targets("Fast")] == [
        "tiny", "sfdc_ai__DefaultGPT4OmniMini", "qwen3:8b",
    ]  # fmt: skip
    assert [t.card.id for t in table.targets("o9-large")] == ["o3", "o4-mini"]
    assert [t.card.id for t in table.targets("claude-opus-9")] == ["claude-sonnet-4-6", "qwen3:8b"]


def test_names_of_the_configuration_are_listed() -> None:
    """An alias stands in the model list with the facts of its model; families do not."""
    listed = {card.id: card for card in routes(aliases={"my": "gpt-4o", "x-*": "gpt-4o"}).cards()}
    gpt = listed["gpt-4o"]
    assert (listed["my"].target, listed["my"].window) == (gpt.target, gpt.window)
    assert "x-*" not in listed


def test_a_name_that_leads_nowhere_for_now_is_told() -> None:
    """While a server is away its names are not found, with the reason; a shipped name does not take their place."""
    aliases = {"fast": "qwen3:8b", "gpt-4": ["qwen3:8b"], "two": ["qwen3:8b", "gpt-4o"]}
    table = routes(ORG, aliases, default="qwen3:8b", lenient=True, fallbacks={"o3": ["nobody"]})
    assert set(table.dangling) == {"fast", "gpt-4", "two", "qwen3:8b"}
    for name in ("fast", "gpt-4"):
        with pytest.raises(GatewayError, match="leads to 'qwen3:8b', which no upstream offers now"):
            table.target(name)
    assert table.target("two").card.id == "gpt-4o"
    with pytest.raises(GatewayError):
        table.target("claude-opus-9")
    assert routes([*ORG, QWEN], aliases).target("fast").upstream == "local"


@pytest.mark.parametrize(
    ("known_as", "answered_by", "is_another"),
    [
        (("sfdc_ai__DefaultGPT4Omni", "gpt-4o"), "gpt-4o-2024-08-06", False),
        (("sfdc_ai__DefaultGPT4Omni", "gpt-4o"), "gpt-4o-mini-2024-07-18", True),
        (("x", "claude-sonnet-4-6"), "us.anthropic.claude-sonnet-4-6-20260101-v1:0", False),
        (("x", "claude-4-6-sonnet"), "claude-sonnet-4-6", False),
        (("x", "claude-sonnet-4-6"), "claude-sonnet-4-5-20250929", True),
        (("x", "gemini-2.5-flash"), "gemini-2.5-flash-001", False),
        (("llama3",), "llama3:latest", False),
        (("/models/tiny-q4.gguf",), "tiny-q4", False),
        (("qwen3:8b",), "qwen3:14b", True),
        (("noise",), "talker", True),
        (("noise",), "", False),
        ((), "gpt-4o", False),
    ],
)
def test_reroutes_are_told_from_other_spellings(
    known_as: tuple[str, ...], answered_by: str, is_another: bool
) -> None:
    """Dates, vendors, folders and order make no other model; another version or size does."""
    assert another(known_as, answered_by) is is_another


def test_no_model_of_the_org_is_taken_for_another() -> None:
    """Every known name answers as itself, except those that Salesforce says it reroutes."""
    table = ModelTable()
    judged = 0
    for name, model in MODELS.items():
        row = table.row(name)
        if row is not None:
            judged += 1
            assert another(table.names(name), model.provider_name) is bool(row.rerouted_to), name
    assert judged > 40
