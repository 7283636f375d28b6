"""`service`: run the server whenever its owner is logged in, kept alive by systemd or launchd."""

from __future__ import annotations

import argparse
import os
import shlex
import sys

from sfbridge.client import address
from sfbridge.config import load

from . import options, plans, standing, supervisors
from .supervisors import Keeping, Step
from .terminal import called


def declare(commands: options.Commands) -> None:
    parser = options.command(
        commands,
        "service",
        "run in the background, kept by systemd or launchd",
        "`install` shows what it writes and starts the server, also after an update: a service that is there keeps its "
        "configuration unless --config names another. `status` is 0 when its server answers. `uninstall` takes "
        "the service away; configuration, conversations and logs stay.",
        "sfbridge service install --config ~/.config/sfbridge/config.toml",
    )
    parser.add_argument("action", choices=("install", "status", "uninstall"))
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be done, do nothing"
    )
    parser.add_argument(
        "--kind", choices=("systemd", "launchd"), help="whose service (this system's own)"
    )
    options.add(parser)
    parser.set_defaults(run=service)


def service(arguments: argparse.Namespace) -> int:
    keeping = supervisors.keeping_of(arguments.kind, os.environ)
    match arguments.action:
        case "install":
            return _install(keeping, arguments)
        case "uninstall":
            return _uninstall(keeping, dry=arguments.dry_run)
        case _:
            return standing.tell(keeping, arguments)


def _install(keeping: Keeping, arguments: argparse.Namespace) -> int:
    before = supervisors.written(keeping)
    origins = plans.asked_for(arguments, keeping.read(before) if before else None)
    plans.need_file(origins)
    plans.need_no_secret(origins.sets, keeping.place)
    known = supervisors.variables(keeping)
    _tell_left_behind(keeping, known)
    # as the service will see it, which has this shell's variables no more
    config = load(origins.path, environ=known, sets=origins.sets)
    environ = plans.surroundings(os.environ)
    text = keeping.write(plans.plan_of(origins, config.server.shutdown_grace, environ))
    print(f"{keeping.file} is up to date already" if text == before else f"{keeping.file}:\n{text}")
    if arguments.dry_run:
        _foretell(keeping.start)
        return 0
    if text != before:
        supervisors.put(keeping.file, text)
    if failure := supervisors.perform(keeping.start):
        supervisors.explain(keeping, failure)
        return 1
    print(
        f"started with {origins.path} for {address(config)}; how it is: {called()} service status"
    )
    if told := supervisors.hint(keeping):
        print(told)
    return 0


def _uninstall(keeping: Keeping, *, dry: bool) -> int:
    if not keeping.file.is_file():
        print(f"{keeping.file} is not there; nothing to do")
        return 0
    if dry:
        _foretell(keeping.stop)
        print(f"would remove {keeping.file}")
        _foretell(keeping.forget)
        return 0
    failure = supervisors.perform(keeping.stop)
    supervisors.remove(keeping)
    print(f"removed {keeping.file}", flush=True)
    # after a failure it would only be said twice
    if failure := failure or supervisors.perform(keeping.forget):
        supervisors.explain(keeping, failure)
        return 1
    return 0


def _foretell(steps: tuple[Step, ...]) -> None:
    for step in steps:
        where = ", if it is loaded" if step.ends else ""
        print(f"would run{where}: {shlex.join(step.command)}")


def _tell_left_behind(keeping: Keeping, known: dict[str, str]) -> None:
    """Say what of this shell, or of the file of variables, is not as its owner may think."""
    if names := plans.left_behind(os.environ, known):
        told = "set in this shell only, so the service does not have it; put it into"
        print(f"{', '.join(names)}: {told} {keeping.place}", file=sys.stderr)
    if known and keeping.variables and keeping.variables.stat().st_mode & 0o077:
        print(f"{keeping.variables}: others can read it; chmod 600 it", file=sys.stderr)
