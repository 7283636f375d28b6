"""Tool calls for models that cannot make them, JSON answers and stop sequences for upstreams without. Pure.

The mark in every tag is what makes syntax quoted from a document inert; `dialect` knows the form, `prompt` and
`transcript` write it, `scanner` reads it, `arguments` checks what it carries, `salvage` guards the exceptions.
"""

from typing import Final

from .dialect import LINE_PARAMS, Dressed, Fault, PlannedCall, Verdict
from .prompt import correction, dress, dropped_line
from .salvage import DIALECTS
from .scanner import Reader
from .shape import ask_shape, check_shape, shape_correction
from .stops import StopCutter
from .words import without_values

# The corrections of a call that are counted as its repair, by the names that a verdict's notes use.
REPAIRS: Final = frozenset(
    {
        "ctrl",
        "comma",
        "pylit",
        "pydict",
        "esc",
        "fence",
        "doubled",
        "inner",
        "namecase",
        "str2bool",
        "str2int",
        "str2num",
        "str2null",
        "str2json",
        "num2str",
        "bool2str",
        "wrap",
        "enumcase",
        "nullopt",
        "rawnonce",
        "closer",
        "noclose",
    }
)

__all__ = [
    "DIALECTS",
    "LINE_PARAMS",
    "REPAIRS",
    "Dressed",
    "Fault",
    "PlannedCall",
    "Reader",
    "StopCutter",
    "Verdict",
    "ask_shape",
    "check_shape",
    "correction",
    "dress",
    "dropped_line",
    "shape_correction",
    "without_values",
]
