"""Logged in, logged out, in mid-operation and back; and how a login comes into an instance's workdir."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from lingma_bench import BeginLingma, install
from speak import WIRES

STATUS = {"openai": 503, "anthropic": 529}


@pytest.mark.parametrize(("auth", "words"), [
    ({"status": 1, "whitelist": 3}, "not logged in"),
    ({"status": 3, "whitelist": 3}, "expired"),
    ({"status": 2, "whitelist": 5}, "no licence"),
    ({"status": 99, "whitelist": 3}, "unknown state"),
    ({"status": 2, "whitelist": 3, "privacyPolicyAgreed": False}, "policy_not_accepted"),
])  # fmt: skip
async def test_who_may_not_answer_says_why(
    lingma: BeginLingma, auth: dict[str, Any], words: str
) -> None:
    """Without a login the answer is 503 (529) with advice, at once, and nothing is restarted for it."""
    bench = await lingma(sim={"auth": auth})
    for wire in WIRES:
        found = await bench.ask(wire)
        assert found.status == STATUS[wire], found.body
        assert words in found.error["message"]
        assert "vendor's own IDE" in found.error["message"]
        assert found.headers["x-should-retry"] == "false"
    assert (await bench.ask("openai")).error["code"] == "lingma_login_required"
    facts = await bench.facts()
    assert not facts["ready"]
    assert (facts["restarts"], bench.stats()["starts"]) == (0, 1)


async def test_a_source_that_is_not_logged_in_is_told(lingma: BeginLingma) -> None:
    """A workdir without a login is started all the same, and the process itself says that it has none."""
    bench = await lingma(logged_in=False)
    assert (await bench.ask("openai")).error["code"] in (
        "lingma_login_required",
        "lingma_unavailable",
    )


async def test_a_login_may_go_and_come_back(lingma: BeginLingma) -> None:
    """A login lost in mid-operation is noticed at the next refusal or look; a push tells of its return."""
    told = {"method": "auth/report", "params": {"status": 2, "token": "SIM-SECRET-PUSH"}}
    rules = [{"match": "^lose$", "steps": [{"step": "start_end"}, {"logout": 1}, {"finish": 403}]},
             {"match": "^report$", "steps": [{"push": told}, {"answer": "told"}, {"finish": 200}]}]  # fmt: skip
    bench = await lingma(sim={"rules": rules}, instances=2, login_interval=0.2)

    await bench.ready(2)
    assert (await bench.ask("openai", "report")).text == "told"
    lost = await bench.ask("openai", "lose")
    assert (lost.status, lost.error["code"]) == (403, "lingma_forbidden")
    await bench.ready(1)
    assert (await bench.ask("openai")).text == "echo: hello"  # the other one works on
    for index in (0, 1):
        (bench.workdir(index) / "sim-auth").write_text("2")
    await bench.ready(2)
    assert (await bench.facts())["restarts"] == 0


async def test_a_newer_login_is_never_overwritten(lingma: BeginLingma, tmp_path: Path) -> None:
    """An instance's own login stays, unless it is older than the source's and reseeding is wanted."""
    source = install(tmp_path / "installed")
    own = install(tmp_path / "data" / "instance-0")
    (own / "cache" / "quota").write_text("mine")
    (source / "cache" / "quota").write_text("theirs")
    quota = own / "cache" / "quota"

    async def start_and_stop(**settings: Any) -> None:
        bench = await lingma(**settings)
        assert (await bench.ask("openai")).whole
        await bench.close()

    await start_and_stop()
    assert quota.read_text() == "mine"
    os.utime(source / "cache" / "user", (1, 1))
    await start_and_stop(reseed=True)
    assert quota.read_text() == "mine"
    os.utime(own / "cache" / "user", (0, 0))
    await start_and_stop()
    assert quota.read_text() == "mine"
    os.utime(own / "cache" / "user", (0, 0))
    await start_and_stop(reseed=True)
    assert quota.read_text() == "theirs"


async def test_a_workdir_is_copied_whole_and_closed_to_others(
    lingma: BeginLingma, tmp_path: Path
) -> None:
    """Everything of a workdir is copied but what belongs to its process; nobody else may read it."""
    source = install(tmp_path / "installed")
    (source / "logs").mkdir()
    (source / "logs" / "lingma.log").write_text("SIM-SECRET old log")
    (source / ".info.json").write_text('{"websocketPort":1,"pid":1}')
    (source / "extension").mkdir()
    (source / "extension" / "link").symlink_to("/etc/passwd")
    os.mkfifo(source / "lingma.sock")
    (source / "cache" / "db").mkdir()
    (source / "cache" / "db" / "local.db").write_bytes(b"\x00db")
    bench = await lingma(instances=2)
    await bench.ready(2)
    for index in (0, 1):
        own = bench.workdir(index)
        assert (own / "cache" / "db" / "local.db").read_bytes() == b"\x00db"
        assert (own / "cache" / "user").stat().st_mode & 0o777 == 0o600
        assert (own / "cache").stat().st_mode & 0o777 == 0o700
        assert not (own / "extension" / "link").exists()
        assert "SIM-SECRET old log" not in (own / "logs" / "lingma.log").read_text()
        assert list((own / "workspace").iterdir()) == []
    assert (source / ".info.json").exists()


@pytest.mark.parametrize("broken", ["link", "inside"])
async def test_a_login_that_leads_elsewhere_is_not_copied(
    lingma: BeginLingma, tmp_path: Path, broken: str
) -> None:
    """A link among the login files, and a target within its own source, are refused with the reason."""
    source = install(tmp_path / "installed")
    settings = {}
    if broken == "link":
        (source / "cache" / "policy").symlink_to("/etc/passwd")
        words = "no plain file"
    else:
        settings, words = {"data_dir": str(source / "pool")}, "lies within its source"
    bench = await lingma(**settings)
    found = await bench.ask("openai")
    assert found.error["code"] == "lingma_unavailable"
    assert words in found.error["message"]


@pytest.mark.parametrize(("settings", "words"), [
    ({"source": ""}, "source: is missing"),
    ({"instances": 0}, "instances"),
    ({"max_in_flight": 9}, "max_in_flight"),
    ({"sources": ["/a"], "instances": 2}, "sources"),
    ({"ask_timeout": 0}, "ask_timeout"),
    ({"attach": True, "instances": 2}, "instances"),
    ({"attach": True, "source": ""}, "port"),
    ({"port": 5}, "port"),
    ({"port": 70000}, "port"),
    ({"most_prompt": 0}, "most_prompt"),
    ({"mode": "write"}, "mode"),
    ({"sorce": "x"}, "sorce"),
])  # fmt: skip
async def test_impossible_settings_are_named(
    lingma: BeginLingma, settings: dict[str, Any], words: str
) -> None:
    """A setting that cannot work ends the start with its path."""
    from sfbridge.config import ConfigError

    with pytest.raises(ConfigError, match=rf"upstream\.lingma\.{words}"):
        await lingma(**settings)
