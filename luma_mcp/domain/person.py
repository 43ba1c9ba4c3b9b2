"""The person who makes a call, and the rights of that person on this server."""

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
    """A caller of tools.

    Args:
        name: the same in every process for the same person; empty for the owner of the server.
        rights: the rights of this person.
    """

    name: str = ""
    rights: frozenset[Right] = frozenset(RIGHTS)

    @property
    def is_owner(self) -> bool:
        """Whether it is the owner of the server, who sees the generations of all persons."""
        return not self.name

    @property
    def folder(self) -> str:
        """The folder for this person's files, inside the output folder; no two persons share one."""
        readable = re.sub(r"[^A-Za-z0-9._-]", "-", self.name)[:40].strip(".-")
        return f"persons/{readable}-{hashlib.sha256(self.name.encode()).hexdigest()[:32]}"


OWNER = Person()
"""The caller over stdio: the owner of the keys."""
