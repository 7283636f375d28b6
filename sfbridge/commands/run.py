"""`run`: start a program that is told everything it needs, and a server for it if none runs."""

from __future__ import annotations

import argparse
import asyncio
import errno
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from sfbridge import log
from sfbridge.client import address
from sfbridge.config import Config, ConfigError, state_file
from sfbridge.hiding import Secrets
from sfbridge.secrecy import secrets_of

from . import options, programs
from .choosing import chosen
from .reach import reached
from .setup import Order, Program
from .terminal import done, progress

LOG: Final = "run.log"
_NO_FILE: Final = "there is no config.toml in this folder, so the built-in sandbox org answers; --config names yours"


def declare(commands: options.Commands) -> None:
    parser = options.command(
        commands,
        "run",
        "start Claude Code, Codex or opencode with everything they must be told",
        "With the server that runs, or one of its own that ends with the program. What stands behind -- goes to the "
        "program, whose exit code is passed on.",
        "sfbridge run claude --model gpt-4o -- -p 'Say hello.'",
    )
    parser.add_argument("program", choices=tuple(programs.PROGRAMS), help="what to start")
    parser.add_argument("--model", default="", help="which model it shall use (the default model)")
    options.add(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    program = programs.PROGRAMS[arguments.program]
    found = shutil.which(arguments.program)
    if found is None:
        raise ConfigError(
            f"{arguments.program} is not installed here: npm install -g {program.package}"
        )
    origins = options.origins(arguments)
    config = origins.load()
    sandboxed = origins.path is None and config.upstream == Config().upstream
    with _logging(config):
        work = _run(
            config,
            program,
            arguments.model,
            [found, *arguments.rest],
            _NO_FILE if sandboxed else "",
        )
        return asyncio.run(work)


@contextmanager
def _logging(config: Config) -> Iterator[None]:
    """The log goes to a file: a program that draws on the terminal must not be written over. Where there can be no
    file, there is no log."""
    secrets = Secrets(secrets_of(config))
    with ExitStack() as stack:
        try:
            stack.enter_context(log.to_file(state_file(LOG), config.log.level, secrets))
        except OSError as error:
            print(
                f"sfbridge: there is no log, because {error.filename} cannot be written",
                file=sys.stderr,
            )
            log.configure("critical", secrets, "text")
        yield


async def _run(
    config: Config, program: Program, wanted: str, command: list[str], notice: str
) -> int:
    """Start the program. `notice` is about a server of our own, and not said where one runs."""
    progress(f"preparing {program.name}")
    async with reached(config) as client:
        model = await chosen(client, config, wanted)
        own, *given = command
        order = Order(client.base, client.key, model, tuple(given), os.environ, Path.cwd())
        setup = program.setup(order)
        done()
        print(f"sfbridge: {program.name} with {model.id} at {client.base}", file=sys.stderr)
        if notice and client.base != address(config):
            print(f"sfbridge: {notice}", file=sys.stderr)
        for advice in setup.advice:
            print(f"sfbridge: {advice}", file=sys.stderr)
        kept = {name: value for name, value in os.environ.items() if name not in setup.without}
        environ = {**kept, **programs.beside_proxies(kept), **setup.environ}
        with _private(setup.settings) as file:
            flags = (setup.settings_flag, file) if file else ()
            return await _child([own, *flags, *setup.arguments], environ)


@contextmanager
def _private(settings: Mapping[str, Any]) -> Iterator[str]:
    """A file with these settings that only its owner can read, for as long as the block lasts; its name, or nothing
    where there are none. Arguments can be read by everybody on the machine, and a key is among the settings."""
    if not settings:
        yield ""
        return
    # where there is one, it is emptied at the latest when its owner logs out
    place = os.environ.get("XDG_RUNTIME_DIR", "")
    own = place if os.access(place, os.W_OK | os.X_OK) else None
    with tempfile.TemporaryDirectory(prefix="sfbridge-", dir=own) as folder:
        path = f"{folder}/settings.json"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(settings, file)
        yield path


async def _child(command: Sequence[str], environ: dict[str, str]) -> int:
    """Run a program on our terminal; its exit code, as a shell has it."""
    try:
        child = await asyncio.create_subprocess_exec(*command, env=environ)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        # a script that names no interpreter, as npm leaves one where it ran no install script: shells run it too
        child = await asyncio.create_subprocess_exec("/bin/sh", *command, env=environ)
    with ExitStack() as stack:
        _pass_on_signals(child, stack)
        code = await child.wait()
    return code if code >= 0 else 128 - code


def _in_front() -> bool:
    """Whether a terminal's Ctrl-C reaches this process, wherever its streams lead."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _pass_on_signals(child: asyncio.subprocess.Process, stack: ExitStack) -> None:
    """Whatever would end us goes to the child instead, whose end then is ours."""
    loop = asyncio.get_running_loop()
    # the terminal itself sends Ctrl-C to both; then the child has it already
    shared = _in_front()
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"):
        number = getattr(signal, name, None)
        if number is None:
            continue

        def forward(number: int = number) -> None:
            if shared and number in (signal.SIGINT, signal.SIGQUIT):
                return
            with suppress(ProcessLookupError):
                child.send_signal(number)

        with suppress(NotImplementedError, RuntimeError):
            loop.add_signal_handler(number, forward)
            stack.callback(loop.remove_signal_handler, number)
