"""Events: facts about purchases and films that the operator's receiver is notified of.

An event is written to the outbox in the transaction that makes it true, so that no restart loses it. Its key is its
content, so that the same fact is one event. A delivered event stays for a day, and is not recorded again meanwhile.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from luma_mcp.ledger import rows
from luma_mcp.ledger.caps import CapReachedError, ConsentNeededError
from luma_mcp.ledger.states import State
from luma_mcp.ledger.store import Transaction

EVENT, DELIVERED = "event", "delivered event"
"""The kinds of entries of the outbox for an event that is to be delivered, and for one that was."""
EVENT_SECONDS = 24 * 3600.0
"""The time for which an event is delivered again and again, and for which a delivered one is remembered."""
_APPROVAL_SECONDS = 15 * 60

OnEvent = Callable[[str], Awaitable[None]]

_TYPES: dict[State, str] = {
    "completed": "generation.completed",
    "failed": "generation.failed",
    "refused": "generation.failed",
    "absent": "generation.failed",
    "lost": "generation.in_doubt",
    "disputed": "generation.in_doubt",
}


@dataclass(frozen=True, slots=True)
class Event:
    """An event that is to be delivered.

    Args:
        key: its key in the outbox.
        id: the same at each delivery, and different for each event.
        type: its type, such as `generation.completed`.
        at: its time.
        age_seconds: the time since.
        names: its fields, of text and numbers.
    """

    key: str
    id: str
    type: str
    at: datetime
    age_seconds: float
    names: dict[str, Any]


class EventLog:
    """Records the events of a process. Callers of `add` and `refusal` check `is_on` first.

    Args:
        is_on: whether events are recorded.
    """

    def __init__(self, *, is_on: bool) -> None:
        self.is_on = is_on
        """Whether events are recorded."""
        self._recorded: list[str] = []
        self._on_event: OnEvent | None = None

    def listen(self, on_event: OnEvent) -> None:
        """Call a function with the key of each event, after the transaction that recorded it."""
        self._on_event = on_event

    async def committed(self) -> None:
        """Notify of what was recorded."""
        recorded, self._recorded = self._recorded, []
        if self._on_event is not None:
            for key in recorded:
                await self._on_event(key)

    def add(self, transaction: Transaction, account: str, event_type: str, **names: object) -> None:
        """Record an event, unless it is recorded."""
        key = json.dumps({"type": event_type, **names}, separators=(",", ":"))
        found = transaction.execute(
            "SELECT 1 FROM outbox WHERE account = ? AND kind = ? AND key = ?", (account, DELIVERED, key)
        )
        if found.fetchone() is None:
            rows.add_to_outbox(transaction, account, EVENT, key, transaction.now())
            self._recorded.append(key)

    def state(self, transaction: Transaction, row_id: int, state: State) -> None:
        """Record that a purchase entered a state, if that is an event."""
        if self.is_on and state in _TYPES:
            [(account,)] = transaction.execute("SELECT account FROM purchases WHERE id = ?", (row_id,)).fetchall()
            self.add(transaction, account, _TYPES[state], purchase=row_id)

    def refusal(self, transaction: Transaction, account: str, refusal: CapReachedError | ConsentNeededError) -> None:
        """Record that a cap was reached, once a day, or that an approval is wanted."""
        now, person = transaction.now(), refusal.person
        if isinstance(refusal, CapReachedError):
            day = datetime.fromtimestamp(now).date().isoformat()  # noqa: DTZ006 - the caps' day is this machine's
            self.add(transaction, account, "cap.reached", person=person, cap=refusal.cap, day=day)
        else:
            quarter = int(now // _APPROVAL_SECONDS) * _APPROVAL_SECONDS
            self.add(transaction, account, "approval.wanted", person=person, usd=refusal.usd, since=quarter)


def read(transaction: Transaction, account: str, key: str) -> Event | None:
    """An event that is to be delivered; None if there is none, or no more."""
    found = transaction.execute(
        "SELECT since FROM outbox WHERE account = ? AND kind = ? AND key = ?", (account, EVENT, key)
    ).fetchone()
    if found is None:
        return None
    since, names = float(found[0]), json.loads(key)
    event_id = "evt_" + hashlib.sha256(f"{account} {key}".encode()).hexdigest()[:32]
    at = datetime.fromtimestamp(since, UTC)
    return Event(key, event_id, names.pop("type"), at, transaction.now() - since, names)


def close(transaction: Transaction, account: str, key: str) -> None:
    """Record that an event was delivered, or given up. Those of the day before are deleted."""
    entry = (account, EVENT, key)
    transaction.execute("DELETE FROM outbox WHERE account = ? AND kind = ? AND key = ?", entry)
    now = transaction.now()
    transaction.execute(
        "DELETE FROM outbox WHERE account = ? AND kind = ? AND since < ?", (account, DELIVERED, now - EVENT_SECONDS)
    )
    rows.add_to_outbox(transaction, account, DELIVERED, key, now)
