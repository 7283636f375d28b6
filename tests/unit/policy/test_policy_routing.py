"""Which upstream answers to which model name."""

from __future__ import annotations

import re

import pytest

from sfbridge.core.errors import GatewayError
from sfbridge.core.model import ModelCard
from sfbridge.policy.routing import PICKER_PREFIX, Routes

SONNET = ModelCard(
    id="claude-sonnet-4-6",
    target="sfdc_ai__DefaultBedrockAnthropicClaude46Sonnet",
    aliases=("sonnet",),
)
GPT = ModelCard(id="gpt-4o", target="sfdc_ai__DefaultGPT4Omni", aliases=("gpt-4o-2024-08-06",))
ADA = ModelCard(
    id="text-embedding-ada-002",
    target="sfdc_ai__DefaultOpenAITextEmbeddingAda_002",
    kind="embeddings",
)
LOCAL = ModelCard(id="llama", target="llama3.3:70b")

CARDS = (("local", LOCAL), ("salesforce", SONNET), ("salesforce", GPT), ("salesforce", ADA))


def routes(
    default: str = "claude-sonnet-4-6",
    aliases: dict[str, str] | None = None,
    cards: tuple[tuple[str, ModelCard], ...] = CARDS,
) -> Routes:
    return Routes(cards, default=default, aliases=aliases or {})


@pytest.mark.parametrize(
    ("asked", "upstream", "model"),
    [
        ("gpt-4o", "salesforce", GPT.target),
        ("GPT-4o", "salesforce", GPT.target),
        ("gpt-4o-2024-08-06", "salesforce", GPT.target),
        ("sfdc_ai__DefaultGPT4Omni", "salesforce", GPT.target),
        ("SFDC_AI__defaultgpt4omni", "salesforce", GPT.target),
        ("sonnet", "salesforce", SONNET.target),
        ("llama", "local", LOCAL.target),
        ("llama3.3:70b", "local", LOCAL.target),
        ("text-embedding-ada-002", "salesforce", ADA.target),
        ("gpt-4o[1m]", "salesforce", GPT.target),
        ("GPT-4O[1M]", "salesforce", GPT.target),
        ("sf/claude-code-gpt-4o", "salesforce", GPT.target),
        ("SF/Claude-Code-GPT-4o", "salesforce", GPT.target),
        ("sf/claude-code-gpt-4o[1m]", "salesforce", GPT.target),
        ("sf/claude-code-claude-sonnet-4-6", "salesforce", SONNET.target),
        ("sf/claude-code-fast", "salesforce", GPT.target),
        ("fast", "salesforce", GPT.target),
        ("slow", "local", LOCAL.target),
        ("via", "salesforce", GPT.target),
    ],
)
def test_every_known_name_leads_to_its_model(asked: str, upstream: str, model: str) -> None:
    """Ids, aliases, upstream names, window suffix and picker ids all lead to the same model."""
    table = routes(aliases={"fast": "gpt-4o", "slow": "LLAMA", "via": "fast"})
    target = table.target(asked)
    assert (target.upstream, target.model) == (upstream, model)
    assert target.card.target == model
    assert table.card(asked) is target.card


@pytest.mark.parametrize(
    "asked",
    [
        "claude-opus-5-5",
        "claude-opus-5-5[1m]",
        "claude-fable-9",
        "claude-haiku-7-20281231",
        "claude-",
        "Claude-Nova-1",
        "anthropic/claude-3.7-sonnet",
        "us.anthropic.claude-opus-4-1-20250805-v1:0",
        "anthropic.claude-v2",
        "vertex_ai/Anthropic-something",
        "claude-2.1",
    ],
)
def test_claude_ids_that_nobody_configured_get_the_default(asked: str) -> None:
    """An id that Claude Code asks for by itself is answered by the default, and is not in the list."""
    assert routes(default="gpt-4o").target(asked).card is GPT
    with pytest.raises(GatewayError) as caught:
        routes(default="gpt-4o").card(asked)
    assert caught.value.kind == "not_found"


def test_without_a_default_no_id_is_substituted() -> None:
    """An empty default turns the substitution off."""
    with pytest.raises(GatewayError):
        routes(default="").target("claude-opus-5-5")


def test_an_alias_goes_before_a_model_of_the_same_name() -> None:
    """The configuration has the last word about a name, also when the alias shadows a model's id."""
    assert routes(aliases={"gpt-4o": "llama"}).target("gpt-4o").card is LOCAL
    assert routes(aliases={"claude-opus-5-5": "llama"}).target("claude-opus-5-5").card is LOCAL
    assert routes(aliases={"gpt-4o": "gpt-4o"}).target("gpt-4o").card is GPT


def test_an_id_goes_before_an_alias_of_another_card() -> None:
    """A model's own id cannot be taken over by another model's alias; of equal names the first counts."""
    thief = ModelCard(id="thief", target="t", aliases=("gpt-4o", "shared"))
    other = ModelCard(id="other", target="o", aliases=("shared",))
    table = routes(cards=(("x", thief), ("x", other), *CARDS))
    assert table.target("gpt-4o").card is GPT
    assert table.target("shared").card is thief


@pytest.mark.parametrize(
    "asked", ["sfdc_ai__MyOwnConfiguration", "sfdc_ai__DefaultBedrockAnthropicClaude9Opus"]
)
def test_salesforce_names_pass_through_unlisted(asked: str) -> None:
    """A Salesforce name that no list knows goes to Salesforce as it is, with nothing assumed about it."""
    for name in (asked, asked + "[1m]", PICKER_PREFIX + asked):
        target = routes(default="llama").target(name)
        assert (target.upstream, target.model) == ("salesforce", asked)
        assert target.card == ModelCard(id=asked, target=asked, kind="any")


@pytest.mark.parametrize(
    "asked",
    [
        "sfdc_ai__",
        "sfdc_ai__../../services",
        "sfdc_ai__a b",
        "sfdc_ai__Anthropic/x",
        "sfdc_ai__" + "x" * 300,
        "",
        "[1m]",
        PICKER_PREFIX,
        "a" + "[1m]" * 5000,
        PICKER_PREFIX * 5000,
        "gpt-5",
        "\ud800",
    ],
)
def test_other_names_are_not_found(asked: str) -> None:
    """A name that leads nowhere is a 404 about `model`, however strange it is."""
    with pytest.raises(GatewayError) as caught:
        routes().target(asked)
    error = caught.value
    assert (error.kind, error.code, error.param) == ("not_found", "model_not_found", "model")
    assert "/v1/models" in error.message
    assert len(error.message) < 500


def test_without_salesforce_its_names_are_not_found() -> None:
    """A Salesforce name passes only where an upstream has such names."""
    with pytest.raises(GatewayError):
        routes(default="llama", cards=(("local", LOCAL),)).target("sfdc_ai__DefaultGPT4Omni")


def test_the_error_names_what_is_close() -> None:
    """A typing error is answered with the right spelling, at most three of them."""
    many = tuple(("x", ModelCard(id=f"gpt-4o-{n}", target=f"t{n}")) for n in range(9))
    with pytest.raises(GatewayError) as caught:
        routes(default="gpt-4o-1", cards=many).target("gpt-4o-")
    assert caught.value.message.count("'gpt-4o-") == 4
    with pytest.raises(GatewayError) as caught:
        routes(aliases={"My-Fast-One": "gpt-4o"}).target("my-fast-ome")
    assert "'My-Fast-One'" in caught.value.message


@pytest.mark.parametrize(
    ("default", "aliases", "named"),
    [
        ("nowhere", {}, "nowhere"),
        ("text-embedding-ada-002", {}, "text-embedding-ada-002"),
        ("claude-opus-5-5", {}, "claude-opus-5-5"),
        ("gpt-4o", {"fast": "nowhere"}, "fast"),
        ("gpt-4o", {"a": "b", "b": "a"}, "a"),
        ("gpt-4o", {"fast": "claude-opus-5-5"}, "claude-opus-5-5"),
        ("gpt-4o", {"gpt-*": "salesforce/*"}, "salesforce/*"),
    ],
)
def test_a_name_in_the_configuration_that_leads_nowhere_is_refused(
    default: str, aliases: dict[str, str], named: str
) -> None:
    """A wrong default or alias stops the start and is named."""
    with pytest.raises(ValueError, match=re.escape(repr(named))):
        routes(default=default, aliases=aliases)


def test_the_default_may_be_an_alias_or_pass_through() -> None:
    """The default is resolved like any other name."""
    assert routes(default="main", aliases={"main": "gpt-4o"}).target("claude-x").card is GPT
    assert routes(default="sfdc_ai__Mine").target("claude-x").model == "sfdc_ai__Mine"


def test_the_list_holds_each_id_once_in_order() -> None:
    """The model list keeps the order of the upstreams and drops repeated ids."""
    again = ModelCard(id="GPT-4o", target="elsewhere")
    table = routes(cards=(*CARDS, ("later", again)))
    assert table.cards() == (LOCAL, SONNET, GPT, ADA)
    assert table.target("gpt-4o").upstream == "salesforce"


def _two_upstreams(**more: object) -> Routes:
    cards = [
        ("salesforce", ModelCard(id="gpt-4o", target="sfdc_ai__DefaultGPT4Omni")),
        ("local", ModelCard(id="qwen", target="qwen3:8b")),
    ]
    return Routes(cards, default="", aliases={}, **more)  # type: ignore[arg-type]


def test_an_upstream_can_be_asked_for_a_model_that_nobody_listed() -> None:
    """`<upstream>/<model>` goes there as it is."""
    target = _two_upstreams().target("local/llama3:70b")
    assert (target.upstream, target.model) == ("local", "llama3:70b")
    with pytest.raises(GatewayError):
        _two_upstreams().target("elsewhere/llama3")
    with pytest.raises(GatewayError):
        _two_upstreams().target("local/")


@pytest.mark.parametrize(
    "asked", ["local/qwen", "Local/QWEN", "local/qwen3:8b", "local/quick", "local/qwen[1m]"]
)
def test_an_upstream_can_be_asked_for_its_own_model_by_any_of_its_names(asked: str) -> None:
    """Where two upstreams have a model of one name, `<upstream>/<name>` means that of this upstream, as it calls it."""
    here = ModelCard(id="qwen", target="qwen3:8b", aliases=("quick",), window=4096)
    there = ModelCard(id="qwen", target="alibaba--qwen")
    routes = Routes([("remote", there), ("local", here)], default="", aliases={})
    assert routes.target("qwen").upstream == "remote"
    target = routes.target(asked)
    assert (target.upstream, target.model, target.card) == ("local", "qwen3:8b", here)


def test_fallbacks_follow_the_name_that_was_asked_for() -> None:
    """A name's fallbacks come behind it, in order; other names have none; a fallback to nowhere stops the start."""
    routes = _two_upstreams(fallbacks={"GPT-4o": ["qwen", "local/other"]})
    assert [t.model for t in routes.targets("gpt-4o")] == [
        "sfdc_ai__DefaultGPT4Omni",
        "qwen3:8b",
        "other",
    ]
    assert len(routes.targets("qwen")) == 1
    with pytest.raises(ValueError, match="no-such"):
        _two_upstreams(fallbacks={"gpt-4o": ["no-such"]})


def test_a_family_has_its_fallbacks_with_its_alias() -> None:
    """A route for a family would reach only some of its names: it stops the start, with the words what to do."""
    with pytest.raises(ValueError, match=r"'gpt-\*' .* models\.aliases"):
        _two_upstreams(fallbacks={"gpt-*": ["qwen"]})
