"""Tools that an upstream ran by itself: between blocks, and nothing of the answer's ending."""

from __future__ import annotations

import json

import pytest
from turns_of import turns_of  # noqa: F401

from sfbridge.core.stream import Ran
