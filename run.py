"""Start sfbridge: `python run.py --config config.toml`."""

import sys

from sfbridge.cli import main

if __name__ == "__main__":
    sys.exit(main())
