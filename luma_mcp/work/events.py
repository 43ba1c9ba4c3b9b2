"""The job that delivers events to the operator's receiver, in the form of Standard Webhooks.

An event is delivered at least once, with the same id and body each time, until the receiver accepts it with a 2xx
status, for a day. The pause between two deliveries is as long as the event is old, up to an hour.
"""

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import anyio

from luma_mcp.domain.clock import Clock
from luma_mcp.ledger import events
from luma_mcp.ledger.events import EVENT, EVENT_SECONDS, Event
from luma_mcp.ledger.outbox import Outbox
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.rows import PurchaseRow, select_by_id
from luma_mcp.ledger.store import Transaction
from luma_mcp.net.http import open_http
from luma_mcp.net.proxies import proxy_for
from luma_mcp.work.jobs import JobKind

if TYPE_CHECKING:
    import httpx

_log = logging.getLogger(__name__)

DELIVER = "event"
"""The name of the job; the key is that of the event."""
_DELIVERY_SECONDS = 15.0
_MIN_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 5.0, 3600.0
_PURCHASE = "purchase"


@dataclass(frozen=True, slots=True)
class Receiver:
    """The receiver of events.

    Args:
        url: its address.
        secret: the secret that signs what it gets.
        with_prompts: whether it gets prompts and reasons of failures.
    """

    url: str
    secret: str
    with_prompts: bool = False


class EventJob:
    """Delivers events.

    Args:
        ledger: holds the events.
        receiver: gets them.
        clock: the clock.
        transport: carries bytes; the network unless a test passes one.
    """

    def __init__(
        self, ledger: Ledger, receiver: Receiver, clock: Clock, transport: "httpx.AsyncBaseTransport | None" = None
    ) -> None:
        self._ledger = ledger
        self._outbox = Outbox(ledger)
        self._receiver = receiver
        self._clock = clock
        self._transport = transport
        self._next: dict[str, float] = {}

    @property
    def kind(self) -> JobKind:
        """The job."""
        return JobKind(DELIVER, self.run, self._find)

    async def _find(self) -> list[str]:
        """The events that are due. After a restart all are, for the receiver may be back."""
        now = self._clock.now()
        return [key for key in await self._outbox.open(EVENT) if self._next.get(key, now) <= now]

    async def run(self, key: str) -> float | None:
        """Deliver an event; the seconds until it is delivered again, None if it need not be."""
        accounts = self._ledger.accounts
        found = await self._ledger.read(
            lambda transaction: [
                (account, event, _row(transaction, event, accounts))
                for account in accounts
                if (event := events.read(transaction, account, key)) is not None
            ]
        )
        for account, event, row in found:
            is_delivered = await self._deliver(event, row)
            if not is_delivered and event.age_seconds < EVENT_SECONDS:
                pause = min(max(event.age_seconds, _MIN_PAUSE_SECONDS), _MAX_PAUSE_SECONDS)
                self._next[key] = self._clock.now() + pause
                return pause
            if not is_delivered:
                _log.warning("the event %s (%s) was not accepted for a day, and is given up", event.id, event.type)
            await self._close(account, key)
        if self._next.pop(key, None) is not None:
            # The receiver is back, so that the next search finds the others.
            self._next.clear()
        return None

    async def _close(self, account: str, key: str) -> None:
        await self._ledger.transact(lambda transaction: events.close(transaction, account, key))

    async def _deliver(self, event: Event, row: PurchaseRow | None) -> bool:
        """POST an event; whether it was accepted. No redirect is followed, and no body of a response is read."""
        import httpx  # noqa: PLC0415 - costs 50 ms, and the start of the process does not need it
        from standardwebhooks import Webhook  # noqa: PLC0415

        body = json.dumps(
            {"type": event.type, "timestamp": event.at.isoformat(), "data": self._data(event, row)}, ensure_ascii=True
        )
        sent_at = datetime.fromtimestamp(self._clock.wall(), UTC)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": event.id,
            "webhook-timestamp": str(int(sent_at.timestamp())),
            "webhook-signature": Webhook(self._receiver.secret).sign(event.id, sent_at, body),
        }
        url = self._receiver.url
        try:
            with anyio.fail_after(_DELIVERY_SECONDS):
                async with (
                    open_http(self._transport, proxy=None if self._transport else proxy_for(url)) as client,
                    client.stream("POST", url, content=body, headers=headers, follow_redirects=False) as response,
                ):
                    status = response.status_code
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            _log.info("the event %s (%s) was not delivered: %s", event.id, event.type, type(error).__name__)
            return False
        if not response.is_success:
            _log.info("the event %s (%s) was not accepted: %d", event.id, event.type, status)
        return response.is_success

    def _data(self, event: Event, row: PurchaseRow | None) -> dict[str, Any]:
        """The facts of an event. The names of its key are such facts, but for the number of a purchase."""
        data = {name: value for name, value in event.names.items() if name != _PURCHASE}
        if row is None:
            return data
        data |= {
            "generation_id": row.generation_id or row.queue_id,
            "kind": row.kind,
            "model": row.model,
            "usd": row.usd,
            "person": row.person,
        }
        if self._receiver.with_prompts:
            data |= {"prompt": row.body.get("prompt"), "reason": row.note or None}
        return data


def _row(transaction: Transaction, event: Event, accounts: tuple[str, ...]) -> PurchaseRow | None:
    number = event.names.get(_PURCHASE)
    return select_by_id(transaction, accounts, [number]).get(number) if number is not None else None
