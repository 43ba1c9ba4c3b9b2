"""The person behind a call: who it is, and what that person may do here."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from luma_mcp.domain.variables import SHORTEST_TOKEN, is_hard_to_guess

Right = Literal["read", "spend", "delete"]
RIGHTS: tuple[Right, ...] = get_args(Right)
SCOPES = tuple(f"luma:{right}" for right in RIGHTS)
"""The OAuth scopes of the rights, unless the settings name others."""
DELETE_SCOPE = SCOPES[RIGHTS.index("delete")]

PERSON_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
"""What the settings may call a person. Who signs in is `SUBJECT@ISSUER`, so the two are never the same."""


def named_token(text: str) -> tuple[str, str]:
    """The name and the token of `name:token`; without a name it is empty."""
    name, colon, token = text.partition(":")
    return (name, token) if colon and PERSON_NAME.fullmatch(name) else ("", text)


def check_tokens(texts: Sequence[str]) -> None:
    """Raises: ValueError, if a token is easy to guess, or two persons have the same one."""
    tokens = [named_token(text) for text in texts]
    if not all(is_hard_to_guess(token) for _, token in tokens):
        raise ValueError(
            f"each must have {SHORTEST_TOKEN} characters or more, and be random: "
            'python -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
    persons: dict[str, str] = {}
    for name, token in tokens:
        if persons.setdefault(token, name) != name:
            raise ValueError(f"{persons[token] or 'nobody'} and {name or 'nobody'} have the same token")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who calls tools.

    Args:
        name: the same in every process for the same person; empty for the owner of the server.
        rights: what this person may do.
    """

    name: str = ""
    rights: frozenset[Right] = frozenset(RIGHTS)

    @property
    def is_owner(self) -> bool:
        """Whether it is the owner of the server, who sees what everybody made."""
        return not self.name

    @property
    def folder(self) -> str:
        """Where files of this person are, inside the output folder; two persons never share one."""
        shown = re.sub(r"[^A-Za-z0-9._-]", "-", self.name)[:40].strip(".-")
        return f"persons/{shown}-{hashlib.sha256(self.name.encode()).hexdigest()[:8]}"


OWNER = Person()
"""Who calls over stdio: the person whose keys these are."""
