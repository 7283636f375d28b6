"""Who keeps a service running: systemd or launchd, where its file is, what is asked of it and what it answers."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from sfbridge.config import ConfigError

from . import units

UNIT: Final = "sfbridge.service"
_BUS: Final = re.compile(r"connect to .*\bbus\b|D-Bus connection", re.IGNORECASE)
# launchctl: the end of what it was to end has begun (EINPROGRESS). Until the agent is gone, also from `print`, none can
# be loaded in its place: "Bootstrap failed: 5: Input/output error" (Homebrew waits likewise).
_UNDER_WAY: Final = 36
# Longer than anybody lets open answers finish; an agent that is still there after that is told as a failure.
_PATIENCE: Final = 600.0
_PAUSE: Final = 0.2


class Step(NamedTuple):
    """One command. `ends` is another one, which succeeds as long as there is something for this one to end: where it
    fails, nothing is done. A forgiven failure is not shown."""

    command: tuple[str, ...]
    ends: tuple[str, ...] = ()
    forgiven: bool = False


class Failure(NamedTuple):
    """A step that failed, and what it said."""

    step: Step
    told: str


class Standing(NamedTuple):
    """How a service stands, by its supervisor; `active` is None where that could not be asked."""

    told: str
    active: bool | None


class Keeping(NamedTuple):
    """One supervisor: its file, how that is written and read, and what is asked of it to start, stop, forget and tell."""

    name: str
    file: Path
    write: Callable[[units.Plan], str]
    read: Callable[[str], units.Found | None]
    start: tuple[Step, ...]
    stop: tuple[Step, ...]
    forget: tuple[Step, ...]
    ask: tuple[str, ...]
    understand: Callable[[str], Standing]
    show: tuple[str, ...]
    # shows the last that the server itself logged; where all of it is
    words: tuple[str, ...]
    log: str
    # where secrets and SFBRIDGE_ variables may stand: a file that it reads, and words for it
    variables: Path | None
    place: str


def keeping_of(kind: str | None, environ: Mapping[str, str]) -> Keeping:
    """The supervisor of this system, or the one named. Raises ConfigError where there is none."""
    match kind or {"linux": "systemd", "darwin": "launchd"}.get(sys.platform):
        case "systemd":
            return _systemd(environ)
        case "launchd":
            return _launchd()
        case _:
            raise ConfigError(f"services are known for Linux and macOS, not for {sys.platform}")


def _systemd(environ: Mapping[str, str]) -> Keeping:
    given = environ.get("XDG_CONFIG_HOME", "")
    base = Path(given) if given.startswith("/") else Path.home() / ".config"
    file, variables = base / "systemd" / "user" / UNIT, base / "sfbridge" / "environment"
    own = ("systemctl", "--user")
    return Keeping(
        name="systemd",
        file=file,
        write=lambda plan: units.systemd_unit(plan, variables),
        read=units.read_unit,
        start=(
            Step((*own, "daemon-reload")),
            # a unit that was started too often is not started again before that is forgotten
            Step((*own, "reset-failed", UNIT), forgiven=True),
            # by its path: systemd may have been started with another XDG_CONFIG_HOME
            Step((*own, "enable", str(file))),
            Step((*own, "restart", UNIT)),
        ),
        stop=(Step((*own, "disable", "--now", UNIT)),),
        forget=(Step((*own, "daemon-reload")), Step((*own, "reset-failed", UNIT), forgiven=True)),
        ask=(*own, "show", UNIT, "--property=ActiveState,SubState,Result,NRestarts"),
        understand=_of_systemd,
        show=(*own, "--no-pager", "--full", "status", UNIT),
        # `status` shows those of the last start only, and one that was refused has none
        words=("journalctl", "--user", f"--identifier={units.NAME}", "--no-pager", "--lines=3"),
        log="journalctl --user -u sfbridge",
        variables=variables,
        place=f"the configuration file, or into {variables} as SFBRIDGE_SECTION__KEY=value (chmod 600)",
    )


def _launchd() -> Keeping:
    library = Path.home() / "Library"
    file, log = library / "LaunchAgents" / f"{units.LABEL}.plist", library / "Logs" / "sfbridge.log"
    domain = f"gui/{os.getuid()}"
    agent = f"{domain}/{units.LABEL}"
    ask = ("launchctl", "print", agent)
    leave = Step(("launchctl", "bootout", agent), ends=ask)
    return Keeping(
        name="launchd",
        file=file,
        write=lambda plan: units.launchd_agent(plan, log),
        read=units.read_agent,
        start=(
            # a loaded agent keeps the property list that it was loaded with, and cannot be loaded twice
            leave,
            Step(("launchctl", "enable", agent)),
            Step(("launchctl", "bootstrap", domain, str(file))),
        ),
        stop=(leave,),
        forget=(),
        ask=ask,
        understand=_of_launchd,
        # it prints a hundred lines
        show=(),
        words=("tail", "-n", "3", str(log)),
        log=str(log),
        variables=None,
        place="the configuration file (launchd reads no file of variables)",
    )


def _of_systemd(answer: str) -> Standing:
    found = dict(line.split("=", 1) for line in answer.splitlines() if "=" in line)
    state = found.get("ActiveState", "unknown")
    sub = found.get("SubState", state)
    words = [state if sub == state else f"{state} ({sub})"]
    words += [found["Result"]] if found.get("Result", "success") != "success" else []
    times = found.get("NRestarts", "0")
    words += [f"restarted {times} times by itself"] if times != "0" else []
    return Standing(", ".join(words), state in ("active", "reloading"))


def _of_launchd(answer: str) -> Standing:
    # the first of each: what belongs to the agent has such lines too, further down
    found = dict(reversed(re.findall(r"^\s*(state|last exit code) = (.+)$", answer, re.MULTILINE)))
    state = found.get("state", "unknown")
    code = found.get("last exit code", "0")
    ended = "" if code in ("0", "(never exited)") else f", last exit code {code}"
    return Standing(f"{state}{ended}", state == "running")


def standing(keeping: Keeping) -> Standing:
    """What the supervisor says of the service."""
    if shutil.which(keeping.ask[0]) is None:
        return Standing(f"{keeping.ask[0]} is not here", None)
    answer = _run(keeping.ask, quiet=True)
    if answer.returncode == 0:
        return keeping.understand(answer.stdout)
    # launchctl begins with "Bad request."
    told = answer.stderr.strip().rpartition("\n")[2]
    return Standing(told or "not loaded", None if _BUS.search(told) else False)


def show(keeping: Keeping, standing: Standing) -> None:
    """What the supervisor itself tells people, and of a server that does not run its last words."""
    if standing.active is None:
        _advise(_without_bus(standing.told))
        return
    if keeping.show:
        print(flush=True)
        _run(keeping.show)
    if not standing.active:
        _advise(_last_words(keeping))


def perform(steps: Iterable[Step]) -> Failure | None:
    """Run and show the steps up to the first that fails."""
    for step in steps:
        if shutil.which(step.command[0]) is None:
            return Failure(step, f"{step.command[0]} is not here; run this where it is")
        if step.ends and _run(step.ends, quiet=True).returncode:
            continue
        print("$", shlex.join(step.command), flush=True)
        done = _run(step.command)
        if step.ends:
            failed = not _ended(step.ends, wait=done.returncode in (0, _UNDER_WAY))
        else:
            failed = bool(done.returncode) and not step.forgiven
        if failed:
            ended = f"{shlex.join(step.command)} ended with {done.returncode}"
            return Failure(step, f"{done.stderr}{ended}")
        if not done.returncode:
            print(done.stderr, end="", file=sys.stderr, flush=True)
    return None


def explain(keeping: Keeping, failure: Failure) -> None:
    """Say what failed, and what to do or what the server had to say."""
    print(failure.told, file=sys.stderr, flush=True)
    _advise(_without_bus(failure.told))
    if failure.step == keeping.start[-1]:
        _advise(_last_words(keeping))


def hint(keeping: Keeping) -> str:
    """What to know of a service that was started."""
    user = _owner()
    if keeping.name != "systemd" or Path("/var/lib/systemd/linger", user).exists():
        return ""
    return f"It ends when you log out; to keep it: loginctl enable-linger {user}"


def variables(keeping: Keeping) -> dict[str, str]:
    """What the service gets from its file of variables."""
    try:
        text = keeping.variables.read_text(encoding="utf-8") if keeping.variables else ""
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{keeping.variables}: cannot be read ({error})") from None
    return units.read_variables(text)


def written(keeping: Keeping) -> str | None:
    """The file as it is; None where there is none."""
    try:
        return keeping.file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def put(file: Path, text: str) -> None:
    """Write a file whole or not at all, for its owner alone."""
    file.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with open(number, "w", encoding="utf-8") as new:
            new.write(text)
        os.replace(name, file)
    finally:
        # it is there only after a failure
        Path(name).unlink(missing_ok=True)


def remove(keeping: Keeping) -> None:
    """The file, and the link to it that `enable` made, which stays where systemd could not be asked."""
    keeping.file.unlink()
    (keeping.file.parent / "default.target.wants" / keeping.file.name).unlink(missing_ok=True)


def _ended(ends: tuple[str, ...], *, wait: bool) -> bool:
    """Whether that which was to end is gone, at the latest after some patience: a server ends its answers first."""
    until = time.monotonic() + (_PATIENCE if wait else 0)
    while not _run(ends, quiet=True).returncode:
        if time.monotonic() > until:
            return False
        time.sleep(_PAUSE)
    return True


def _run(command: tuple[str, ...], *, quiet: bool = False) -> subprocess.CompletedProcess[str]:
    """Its errors are kept, its output too where it is quiet."""
    return subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )


def _last_words(keeping: Keeping) -> str:
    """What the server logged at last, and where the rest is."""
    found = _run(keeping.words, quiet=True) if shutil.which(keeping.words[0]) else None
    said = found.stdout.strip() if found and not found.returncode else ""
    return f"its last words:\n{said}\nmore: {keeping.log}" if said else f"its log: {keeping.log}"


def _without_bus(told: str) -> str:
    """What to do where the systemd that belongs to this user cannot be reached."""
    if not _BUS.search(told):
        return ""
    if "not been booted with systemd" in told:
        return "this machine was not started by systemd, which keeps no service then"
    user = _owner()
    return (
        f"systemd keeps services for users who are logged in: log in as {user} itself, not by su or sudo, and try "
        f"again; or run `sudo loginctl enable-linger {user}` and `export XDG_RUNTIME_DIR=/run/user/{os.getuid()}` first"
    )


def _advise(words: str) -> None:
    if words:
        print(f"-> {words}", file=sys.stderr, flush=True)


def _owner() -> str:
    """Whose processes these are; another one may be logged in."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
