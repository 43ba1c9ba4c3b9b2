"""The person behind a call: who it is, and what that person may do here."""

import hashlib
import re
from dataclasses import dataclass
from typing import Literal, get_args

Right = Literal["read", "spend", "delete"]
RIGHTS: tuple[Right, ...] = get_args(Right)
SCOPES = tuple(f"luma:{right}" for right in RIGHTS)
"""The OAuth scopes of the rights, unless the settings name others."""
DELETE_SCOPE = SCOPES[RIGHTS.index("delete")]


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
        readable = re.sub(r"[^A-Za-z0-9._-]", "-", self.name)[:40].strip(".-")
        return f"persons/{readable}-{hashlib.sha256(self.name.encode()).hexdigest()[:32]}"


OWNER = Person()
"""Who calls over stdio: the person whose keys these are."""
