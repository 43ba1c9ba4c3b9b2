"""A person's yes without a question: a quote that a model shows to the person, or a button that the person presses.

Both are sealed texts that come back as `quote_id`. A quote is for one request, one take, one price and one person, and
it is answered only where the settings allow it. A button is for one tool with its arguments, to which the person may
add a prompt. Models do not see what is behind a button: hosts hand it to the player alone.
"""

import hashlib
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import to_json

from luma_mcp.domain.person import Person
from luma_mcp.domain.signing import Signer

QUOTE_SECONDS = 15 * 60
BUTTON_SECONDS = 24 * 3600
# What a person may add to a button, and what does not say what is bought.
_NOT_FIXED = frozenset({"prompt", "take", "quote_id", "dry_run"})


class Quotes:
    """Makes quotes, and reads them.

    Args:
        key: what the servers of one account share, and nobody else knows.
        wall: the time of day, in Unix time.
        in_dry_runs: whether a dry run answers one, for clients that cannot ask.
    """

    def __init__(self, key: bytes, wall: Callable[[], float], *, in_dry_runs: bool = False) -> None:
        self._quotes, self._buttons = Signer(key, "quotes"), Signer(key, "buttons")
        self._wall = wall
        self.in_dry_runs = in_dry_runs
        """Whether a dry run answers a quote."""

    def of(self, subject: str, usd: float, person: Person) -> str:
        """A quote for what a subject names."""
        return self._seal(self._quotes, subject, usd, person, QUOTE_SECONDS)

    def of_button(self, tool: str, arguments: Mapping[str, Any], usd: float, person: Person) -> str:
        """What a button sends with its call."""
        return self._seal(self._buttons, _button(tool, arguments), usd, person, BUTTON_SECONDS)

    def consent(self, quote_id: str, subject: str, usd: float, person: Person) -> str | None:
        """The name of the yes that a quote stands for; None if it is none, is another's, or has ended."""
        return self._read(self._quotes, quote_id, subject, usd, person)

    def consent_by_button(
        self, quote_id: str, tool: str, arguments: Mapping[str, Any], usd: float, person: Person
    ) -> str | None:
        """The name of the yes that a pressed button stands for, which is another one for each take."""
        name = self._read(self._buttons, quote_id, _button(tool, arguments), usd, person)
        return f"{name}-{arguments.get('take', 1)}" if name else None

    def _seal(self, signer: Signer, subject: str, usd: float, person: Person, seconds: int) -> str:
        return signer.sign(
            {
                "subject": _digest(subject),
                "micros": round(usd * 1e6),
                "person": person.name,
                "until": int(self._wall() + seconds),
                "name": secrets.token_hex(16),
            }
        )

    def _read(self, signer: Signer, quote_id: str, subject: str, usd: float, person: Person) -> str | None:
        content = signer.read(quote_id)
        if content is None or content["subject"] != _digest(subject) or content["person"] != person.name:
            return None
        is_over = round(usd * 1e6) > content["micros"] or self._wall() >= content["until"]
        return None if is_over else content["name"]


def _button(tool: str, arguments: Mapping[str, Any]) -> str:
    fixed = {name: arguments[name] for name in sorted(arguments) if name not in _NOT_FIXED}
    return f"{tool} {to_json(fixed).decode()}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
