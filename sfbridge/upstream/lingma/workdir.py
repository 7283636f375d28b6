"""An instance's own workdir: seeded by copying a whole logged-in one, locked, cleared of stale discovery files.

Login files are opaque bytes here: copied, never read, never overwritten by older ones.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from .discovery import FILES

USER: Final = Path("cache") / "user"
WORKSPACE: Final = "workspace"
_LOCK: Final = ".sfbridge-lock"
# Of the running installation, not of the login.
_LEFT_OUT: Final = frozenset((*FILES, "logs", "index", WORKSPACE, _LOCK, ".sfbridge-pid"))


class WorkdirError(Exception):
    """The workdir cannot be used; the message says why and what to do."""


class InUse(Exception):
    """Another sfbridge, or an older configuration of this one, has the workdir for now."""


def prepare(source: Path, workdir: Path, *, reseed: bool) -> None:
    """Make the workdir ready for a start. Raises WorkdirError. Copies files, so it belongs into a thread.

    reseed  replace a login that is older than the source's
    """
    try:
        if not (workdir / USER).exists() or (reseed and _newer(source / USER, workdir / USER)):
            _seed(source, workdir)
        workdir.mkdir(parents=True, exist_ok=True, mode=0o700)
        # an empty folder is all that the process may look into
        (workdir / WORKSPACE).mkdir(exist_ok=True, mode=0o700)
        forget(workdir)
    except OSError as error:
        raise WorkdirError(f"{workdir}: {error.strerror or type(error).__name__}") from None


def forget(workdir: Path) -> None:
    """Remove the discovery files of a process that has ended."""
    for name in FILES:
        (workdir / name).unlink(missing_ok=True)


@contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Hold the workdir against another sfbridge. Raises InUse."""
    try:
        import fcntl
    except (
        ImportError
    ):  # Windows has no such locks; its processes refuse a workdir in use by themselves
        yield
        return
    workdir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (workdir / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InUse(f"the workdir {workdir} is still in use by another sfbridge") from None
        yield


def _newer(one: Path, other: Path) -> bool:
    return one.exists() and one.stat().st_mtime > other.stat().st_mtime


def _seed(source: Path, workdir: Path) -> None:
    """Copy a whole workdir, so that either all of it is there or nothing."""
    if not (source / USER).is_file():
        return  # a source that is not logged in: the process will say so itself
    if workdir.resolve().is_relative_to(source.resolve()):
        raise WorkdirError(f"{workdir} lies within its source {source}; choose another data_dir")
    fresh = workdir.with_name(workdir.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    _copy(source, fresh)
    kept = workdir / _LOCK
    if workdir.exists():
        old = workdir.with_name(workdir.name + ".old")
        shutil.rmtree(old, ignore_errors=True)
        if kept.exists():
            kept.rename(fresh / _LOCK)  # the lock is held on this very file
        workdir.rename(old)
        shutil.rmtree(old, ignore_errors=True)
    fresh.rename(workdir)


def _copy(source: Path, target: Path) -> None:
    """Plain files and folders for their owner alone. A link or a device within the login is refused, elsewhere left out."""
    target.mkdir(parents=True, mode=0o700)
    for folder, folders, files in os.walk(source):
        here = Path(folder)
        place = here.relative_to(source)
        if place == Path():
            folders[:] = [name for name in folders if name not in _LEFT_OUT]
            files = [name for name in files if name not in _LEFT_OUT]
        for name in list(folders):
            if (here / name).is_symlink():
                _refuse_in_cache(place / name)
                folders.remove(name)
            else:
                (target / place / name).mkdir(mode=0o700)
        for name in files:
            mode = (here / name).lstat().st_mode
            if not stat.S_ISREG(mode):
                _refuse_in_cache(place / name)
                continue
            copy = target / place / name
            shutil.copy2(here / name, copy)
            copy.chmod(0o700 if mode & stat.S_IXUSR else 0o600)


def _refuse_in_cache(path: Path) -> None:
    if path.parts[0] == "cache":
        raise WorkdirError(
            f"the source's {path} is no plain file; a login with links in it is not copied"
        )
