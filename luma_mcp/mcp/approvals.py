"""The user's approval without a question: a quote that a model shows to the user, or a button that the user presses.

Both are signed texts that come back as `quote_id`. A quote is for one request, one take, one price and one person, and
a dry run returns it only where the settings allow it. A button is for one tool with exactly its arguments, one price
and one person; the user writes the prompt only where the button asks for one. Each is valid for one purchase. Models
do not see the approval of a button: hosts pass it to the player only, and the player does not report it.
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
# These do not identify the purchase. The player counts the takes: the next one that is not bought yet.
_NOT_FIXED = frozenset({"take", "quote_id", "dry_run"})
_PROMPT = "prompt"


class Approvals:
    """Makes and reads quotes and the approvals of buttons.

    Args:
        key: the secret that the servers of one account share.
        wall: the time of day, in Unix time.
        in_dry_runs: whether a dry run returns a quote, for clients that cannot ask.
    """

    def __init__(self, key: bytes, wall: Callable[[], float], *, in_dry_runs: bool = False) -> None:
        self._quote_signer, self._button_signer = Signer(key, "quotes"), Signer(key, "buttons")
        self._wall = wall
        self.in_dry_runs = in_dry_runs
        """Whether a dry run returns a quote."""

    def quote(self, subject: str, usd: float, person: Person) -> str:
        """A quote for a subject."""
        return self._seal(self._quote_signer, subject, usd, person, QUOTE_SECONDS)

    def button_approval(
        self, tool: str, arguments: Mapping[str, Any], usd: float, person: Person, *, asks_for_prompt: bool = False
    ) -> str:
        """The approval that a button sends with its call. `asks_for_prompt`: the user writes the prompt."""
        subject = _button(tool, arguments, has_free_prompt=asks_for_prompt)
        return self._seal(self._button_signer, subject, usd, person, BUTTON_SECONDS)

    def consent_by_quote(self, quote_id: str, subject: str, usd: float, person: Person) -> str | None:
        """The name of the approval by a quote; None if the quote is invalid, is another person's, or has expired."""
        return self._read(self._quote_signer, quote_id, subject, usd, person)

    def consent_by_button(
        self, quote_id: str, tool: str, arguments: Mapping[str, Any], usd: float, person: Person
    ) -> str | None:
        """The name of the approval by a pressed button; it is valid once, whatever the take."""
        for has_free_prompt in (False, True):
            subject = _button(tool, arguments, has_free_prompt=has_free_prompt)
            name = self._read(self._button_signer, quote_id, subject, usd, person)
            if name is not None:
                return name
        return None

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


def _button(tool: str, arguments: Mapping[str, Any], *, has_free_prompt: bool) -> str:
    """The subject of a button's approval: the tool and its arguments, and whether the user writes the prompt."""
    free = _NOT_FIXED | {_PROMPT} if has_free_prompt else _NOT_FIXED
    fixed = {name: arguments[name] for name in sorted(arguments) if name not in free}
    return f"{tool} {'any prompt' if has_free_prompt else 'as it is'} {to_json(fixed).decode()}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
