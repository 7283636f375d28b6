"""`python -m sfbridge`, and where `run.py` leads: says in a line when Python or a library is not what it must be."""

import signal
import sys


def start() -> int:
    """Run the command line; its exit code."""
    # until there is something to end in order, Ctrl-C ends the process as it ends any other
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from .cli import main
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "sfbridge":
            raise
        sys.stderr.write(
            f"sfbridge: {sys.executable} has no module {error.name!r}. sfbridge needs Python 3.11 or newer and its "
            "libraries: in its folder, python3 -m venv .venv && .venv/bin/pip install . "
            "and then .venv/bin/python instead of python\n"
        )
        return 1
    return main()


if __name__ == "__main__":
    sys.exit(start())
