"""One file, one precedence, and faults named by their path."""

from __future__ import annotations

from pathlib import Path

import pytest

from sfbridge.config import Config, ConfigError, Key, clients, is_loopback, load
from sfbridge.tables import from_here


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


def test_defaults_are_loopback_and_the_sandbox() -> None:
    """Nothing configured means this machine only, answered by the sandbox org."""
    config = load(None, environ={})
    assert (config.server.host, config.server.port) == ("127.0.0.1", 8000)
    assert config.upstream["salesforce"]["my_domain"] == "sandbox"


def test_command_line_wins_over_environment_over_file(tmp_path: Path) -> None:
    """The documented precedence holds for one key set in all three places."""
    path = write(tmp_path, "[server]\nport = 1001\n")
    environ = {"SFBRIDGE_SERVER__PORT": "1002", "PATH": "/bin", "HOME": "x"}
    assert load(path, environ={}).server.port == 1001
    assert load(path, environ=environ).server.port == 1002
    assert load(path, environ=environ, sets=["server.port=1003"]).server.port == 1003


def test_environment_reaches_any_key(tmp_path: Path) -> None:
    """Lists, numbers, names of upstreams: every key can come from the environment."""
    environ = {
        "SFBRIDGE_UPSTREAM__SALESFORCE__KIND": "salesforce",
        "SFBRIDGE_UPSTREAM__SALESFORCE__CLIENT_SECRET": "123456",
        "SFBRIDGE_SERVER__ALLOWED_HOSTS": '["a", "b"]',
        "SFBRIDGE_STREAM__KEEP_ALIVE": "2.5",
        "SFBRIDGE_KEYS__LAPTOP": "long-enough-key",
    }
    config = load(None, environ=environ)
    assert config.upstream["salesforce"]["client_secret"] == "123456"
    assert config.server.allowed_hosts == ("a", "b")
    assert config.stream.keep_alive == 2.5
    assert config.keys == {"laptop": "long-enough-key"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[server]\nprot = 1\n", "server.prot: there is no such key"),
        ("[sever]\nport = 1\n", "sever: there is no such key"),
        ("[server]\nport = 'x'\n", "server.port: Expected `int`"),
        ("[server]\nhost = 'a..b'\n", "server.host: 'a..b' is neither an address nor a name"),
        ("[server]\nport = 70000\n", "server.port: 70000 is not a port number"),
        (
            "[stream]\nkeep_alive = 0\n",
            "stream.keep_alive: 0.0 is not possible; it must be at least",
        ),
        ("[keys]\na = 'short'\n", "keys.a: a key needs at least 8"),
        ("[server]\nhost = '0.0.0.0'\n", "at least one key"),
        ("[keys.a]\nmodels = ['x']\n", "keys.a: it needs a secret or a secret_hash"),
        ("[keys.a]\nsecret = 'long-enough'\nsecret_hash = 'y'\n", "and not both"),
        ("[keys.a]\nsecret = 'long-enough'\nin_flight = -1\n", "keys.a.in_flight: it must be"),
        ("[keys.a]\nsecret = 'long-enough'\nrpm = 1\n", "there is no such key"),
        ("[server\n", "not valid TOML"),
        ("[models]\naliases = 3\n", "models.aliases: Expected `object`"),
    ],
)
def test_faults_name_their_path(tmp_path: Path, text: str, words: str) -> None:
    """A faulty file is refused with the path of the fault."""
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text), environ={})
    assert words in str(caught.value)


@pytest.mark.parametrize("item", ["port=1", "server.port", "=", "server.port.deep=1"])
def test_set_wants_section_key_value(item: str) -> None:
    """A malformed --set is refused, never ignored."""
    with pytest.raises(ConfigError):
        load(None, environ={"SFBRIDGE_SERVER__PORT": "1"}, sets=[item])


def test_a_missing_file_is_said_so(tmp_path: Path) -> None:
    """A path that does not exist is an error, not an empty configuration."""
    with pytest.raises(ConfigError, match="there is no such file"):
        load(tmp_path / "none.toml", environ={})


def test_keys_open_other_addresses(tmp_path: Path) -> None:
    """With a key, the server may listen beyond loopback."""
    text = "[server]\nhost = '0.0.0.0'\n[keys]\na = 'long-enough'\n"
    assert isinstance(load(write(tmp_path, text), environ={}), Config)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("127.9.9.9", True),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("", False),
        ("127.0.0.1.example", False),
    ],
)
def test_loopback_is_recognised(host: str, local: bool) -> None:
    """Only this machine's own addresses count as loopback."""
    assert is_loopback(host) is local


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("stream.patience=nan", "stream.patience"),
        ("stream.keep_alive=inf", "stream.keep_alive"),
        ("http.connections=-3", "http.connections"),
        ("server.max_body=0", "server.max_body"),
        ("tools.repair_rounds=-1", "tools.repair_rounds"),
    ],
)
def test_impossible_numbers_are_refused(item: str, words: str) -> None:
    """A number that would hang or break the server stops the start."""
    with pytest.raises(ConfigError, match=words):
        load(None, environ={}, sets=[item])


def test_one_underscore_is_told_not_ignored() -> None:
    """A mistyped variable is named, because nobody would find out otherwise."""
    with pytest.raises(
        ConfigError, match="SFBRIDGE_SERVER_PORT: write it as SFBRIDGE_SECTION__KEY"
    ):
        load(None, environ={"SFBRIDGE_SERVER_PORT": "3"})


@pytest.mark.parametrize("secret", ["{a}b-is-a-secret", "[x-is-a-secret", '"q-is-a-secret'])
def test_secrets_are_taken_as_they_are(secret: str) -> None:
    """A secret may begin with any character; nothing in it is read as TOML."""
    environ = {"SFBRIDGE_KEYS__ME": secret, "SFBRIDGE_UPSTREAM__SALESFORCE__CLIENT_SECRET": secret}
    config = load(None, environ=environ)
    assert config.keys["me"] == secret
    assert config.upstream["salesforce"]["client_secret"] == secret


def test_one_key_of_an_absent_table_keeps_the_defaults_of_the_others() -> None:
    """Setting one key of the upstream does not forget where the shipped one points."""
    config = load(None, environ={}, sets=["upstream.salesforce.surface=platform", "sandbox.port=0"])
    assert config.upstream["salesforce"] == {
        "kind": "salesforce",
        "my_domain": "sandbox",
        "surface": "platform",
    }


def keys_file(folder: Path, text: str, mode: int = 0o600) -> str:
    path = folder / "keys.toml"
    path.write_text(text)
    path.chmod(mode)
    return f"server.keys_file={path}"


def test_keys_may_stand_in_a_file_of_their_own(tmp_path: Path) -> None:
    """Keys of keys_file count like those of [keys], also for opening other addresses."""
    text = "laptop = 'long-enough'\n[n8n]\nsecret_hash = 'x'\nmodels = ['gpt-*']\n"
    sets = [keys_file(tmp_path, text), "server.host=0.0.0.0", "keys.me=also-long-enough"]
    found = clients(load(None, environ={}, sets=sets))
    assert set(found) == {"laptop", "n8n", "me"}
    assert found["n8n"].models == ("gpt-*",)
    assert found["laptop"] == Key(secret="long-enough")


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("a = 'long-enough'\n", 0o640, "chmod 600"),
        ("a = 'long-enough'\n", 0o604, "chmod 600"),
        ("me = 'long-enough'\n", 0o600, "keys.me: it is in"),
        ("a = 'short'\n", 0o600, "keys.a: a key needs at least 8"),
        ("a = [\n", 0o600, "not valid TOML"),
    ],
)
def test_faulty_keys_files_stop_the_start(tmp_path: Path, text: str, mode: int, words: str) -> None:
    """A file that others can read, or that says too little or too much, is refused in words."""
    with pytest.raises(ConfigError) as caught:
        load(None, environ={}, sets=[keys_file(tmp_path, text, mode), "keys.me=also-long-enough"])
    assert words in str(caught.value)
    assert "long-enough" not in str(caught.value)


def test_a_missing_keys_file_stops_the_start(tmp_path: Path) -> None:
    """A server that was to have keys does not start without them."""
    with pytest.raises(ConfigError, match="no such file"):
        load(None, environ={}, sets=[f"server.keys_file={tmp_path / 'none.toml'}"])


def test_limits_of_a_key_come_from_the_environment_too() -> None:
    """Lists and numbers of a key's table are read as such, its secret as it is."""
    environ = {
        "SFBRIDGE_KEYS__N8N__SECRET": "[bracket-secret",
        "SFBRIDGE_KEYS__N8N__MODELS": '["gpt-*"]',
        "SFBRIDGE_KEYS__N8N__IN_FLIGHT": "3",
    }
    found = clients(load(None, environ=environ))["n8n"]
    assert found == Key(secret="[bracket-secret", models=("gpt-*",), in_flight=3)


def test_paths_begin_at_the_files_folder_where_paths_are_meant(tmp_path: Path) -> None:
    """Relative paths of the file are its neighbours; a key, an alias or a variable that is merely called like one of
    them is the user's own, and stays."""
    file = tmp_path / "own.toml"
    file.write_text("""\
[keys]
source = "sk-a-key-of-mine"
[models.aliases]
binary = "gpt-4o"
[sessions]
path = "kept.db"
[upstream.l]
kind = "lingma"
source = "one"
sources = ["two", "~/three"]
[upstream.c]
kind = "claude-cli"
command = "./bin/claude"
api_key_file = "key"
environment = { path = "x:y", my_file = "z" }
[upstream.d]
kind = "claude-cli"
command = "claude"
""")
    config = load(file, environ={})
    assert config.keys["source"] == "sk-a-key-of-mine"
    assert config.models.aliases["binary"] == "gpt-4o"
    assert config.sessions.path == str(tmp_path / "kept.db")
    assert config.upstream["l"]["source"] == str(tmp_path / "one")
    assert config.upstream["l"]["sources"] == [str(tmp_path / "two"), "~/three"]
    assert config.upstream["c"]["command"] == str(tmp_path / "bin" / "claude")
    assert config.upstream["c"]["api_key_file"] == str(tmp_path / "key")
    assert config.upstream["c"]["environment"] == {"path": "x:y", "my_file": "z"}
    assert config.upstream["d"]["command"] == "claude"


@pytest.mark.parametrize(
    ("item", "meant"),
    [
        ("sessions.path=kept.db", "sessions.path=/here/kept.db"),
        ("server.keys_file=k", "server.keys_file=/here/k"),
        ("upstream.x.api_key_file=key", "upstream.x.api_key_file=/here/key"),
        ("upstream.x.command=./claude", "upstream.x.command=/here/claude"),
        ("upstream.x.command=claude", "upstream.x.command=claude"),
        ("sessions.path=~/kept.db", "sessions.path=~/kept.db"),
        ("sessions.path=/kept.db", "sessions.path=/kept.db"),
        ("keys.path=secret-of-mine", "keys.path=secret-of-mine"),
        ("upstream.x.base_url=http://x", "upstream.x.base_url=http://x"),
        ("server.port=1", "server.port=1"),
    ],
)
def test_a_path_of_the_command_line_is_one_of_this_folder(item: str, meant: str) -> None:
    """What is given to a service here means there what it meant here."""
    assert from_here(item, Path("/here")) == meant
