"""Whether the process is logged in. Nothing is kept of an account but these few words; logging in is the vendor's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw, Struct

_STATUS: Final[Mapping[int, str]] = {
    1: "it is not logged in",
    3: "its login has expired",
    4: "its login is faulty",
    5: "it cannot reach the vendor's login service",
    6: "the vendor has banned this address",
    7: "the vendor has disabled the application",
}
_WHITELIST: Final[Mapping[int, str]] = {
    1: "the account is not admitted",
    2: "the account waits for its approval",
    4: "the account's admission is unknown",
    5: "the account has no licence",
}
INSIDE: Final = 2
_ADMITTED: Final = 3


class Login(Struct, frozen=True):
    """What is read of the reply to `auth/status`; tokens, names and account ids are dropped while decoding."""

    status: int = 0
    whitelist: int = 0
    privacyPolicyAgreed: bool | None = None  # noqa: N815  the process' own word

    @property
    def trouble(self) -> str:
        """Why it cannot answer, in words; empty when it can."""
        if self.status != INSIDE:
            return _STATUS.get(self.status, "its login is in an unknown state")
        if self.whitelist != _ADMITTED:
            return _WHITELIST.get(self.whitelist, "the account's admission is unknown")
        if self.privacyPolicyAgreed is False:
            return "the vendor's privacy policy was not accepted (policy_not_accepted); accept it in the vendor's IDE"
        return ""


_decoder: Final = msgspec.json.Decoder(Login, strict=False)


def login_of(result: Raw) -> Login:
    """The state in a reply; one that cannot be read counts as logged out."""
    try:
        return _decoder.decode(result)
    except msgspec.MsgspecError:
        return Login()
