"""How much a model may answer, so that the answer fits now and the next turn still does.

Apart from pruning because it holds for every request, also for those that nothing has to leave.
"""

from __future__ import annotations

from typing import Final

# Part of the window that an answer leaves free: room for the next turn, and for an estimate that is
# some 20 % off.
RESERVE: Final = 0.15
# An agent's edit of a file is some hundred tokens. An answer with less room is cut in the middle of a
# call, turn after turn, which is worse than compacting; in a small window an eighth has to do.
_LEAST: Final = 1024
_LEAST_SHARE: Final = 8


def least_output(window: int, floor: int = 0) -> int:
    """Tokens that a prompt must leave for its answer in `window`; at least `floor`, never the whole window."""
    return max(1, min(max(min(_LEAST, window // _LEAST_SHARE), floor), window // 2))


def cap_output(
    asked: int | None,
    prompt_tokens: int,
    window: int | None,
    output_cap: int | None,
    *,
    reserve: float = RESERVE,
    floor: int = 0,
) -> int | None:
    """The `max_tokens` to send, in tokens; None when the client set none, since servers then take what is left.

    With `free` = window - prompt:

        cap  = free - min(reserve * window, free / 2)       the reserve never takes more than half,
        cap  = max(cap, min(free, least_output(window)))    nor what any answer needs
        sent = min(asked, cap, output_cap)
        sent = max(sent, min(floor, free, output_cap))      only with a floor, for models that think first

    A window or an output cap of None is unknown and limits nothing. The answer is never below 1 and, as
    long as anything is free, never above `free`; it is above `asked` only for the floor.
    """
    if asked is None:
        return None
    most = asked if output_cap is None else min(asked, output_cap)
    least = floor if output_cap is None else min(floor, output_cap)
    if window is not None:
        free = max(0, window - prompt_tokens)
        cap = free - int(min(reserve * window, free / 2))
        most = min(most, max(cap, min(free, least_output(window))))
        least = min(least, free)
    return max(most, least, 1)
