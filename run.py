"""Start sfbridge: `python run.py --config config.toml`."""

import sys

from sfbridge.__main__ import start

if __name__ == "__main__":
    sys.exit(start())
