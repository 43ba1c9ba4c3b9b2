"""Sends the purchases that wait for a slot at Luma, and reads them.

Any server of the account sends: the ledger selects the next purchase, and makes it `sending` in the same transaction.
While an account is full, one server checks every few seconds which of its generations have ended.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from luma_mcp.backends.base import Backend, EncodedRequest, StoredRequest, with_links
from luma_mcp.domain.apis import APIS, BackendName, LimitFamily, limit_family
from luma_mcp.domain.clock import suspend_aware_now
from luma_mcp.domain.errors import InvalidRequestError, LumaError
from luma_mcp.domain.generation import Generation
from luma_mcp.domain.media_refs import generation_in
from luma_mcp.ledger.purchase_queue import (
    NextPurchase,
    PurchaseQueue,
    QueuedPurchase,
    QueueLength,
    QueuePause,
    described,
)
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.queue import QueueEntry
from luma_mcp.ledger.rows import PurchaseRow
from luma_mcp.purchasing.payloads import Payloads
from luma_mcp.purchasing.sending import OnAccepted, OnWaiting, Sender, new_request_id
from luma_mcp.purchasing.settling import Settler

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """How purchases wait.

    Args:
        payloads: writes and reads their requests.
        max_at_once: the slots at Luma, as the user states them; None if that is not known.
    """

    payloads: Payloads
    max_at_once: int | None = None


class PurchaseQueueService:
    """The purchases that wait.

    Args:
        backend: the APIs.
        ledger: the ledger.
        sender: sends purchases.
        settler: records which generations have ended.
        options: how purchases wait.
        accounts: the ledger's accounts by API; without them all is Dream Machine's.
    """

    def __init__(
        self,
        backend: Backend,
        ledger: Ledger,
        sender: Sender,
        settler: Settler,
        options: QueueOptions,
        *,
        accounts: Mapping[BackendName, str],
    ) -> None:
        self._backend = backend
        self._ledger = ledger
        self._queue = PurchaseQueue(ledger)
        self._sender = sender
        self._settler = settler
        self._payloads = options.payloads
        self._names: dict[str, BackendName] = {account: name for name, account in accounts.items()}
        self._max_at_once = options.max_at_once

    def listen(self, on_waiting: OnWaiting, on_accepted: OnAccepted) -> None:
        """Call functions that start jobs: with each account at which something waits, and with what was bought."""
        self._sender.on_waiting = on_waiting
        self._sender.on_accepted = on_accepted

    def entry(self, encoded: EncodedRequest, links: Mapping[str, str]) -> QueueEntry:
        """How a purchase waits if it has to.

        Args:
            encoded: its request, with the names of its files.
            links: the links of its files.
        """
        family = limit_family(encoded.backend, encoded.request.kind)
        return QueueEntry(family, partial(self._payloads.write, encoded, links), self._max_at_once)

    async def described(self, row: PurchaseRow) -> Generation:
        """A purchase that waits, as a generation. A runner of jobs sends it soon. Raises: LedgerError."""
        await self._sender.on_waiting(row.account)
        found = (await self._queue.get([row.queue_id or ""]))[row.queue_id or ""]
        if found.row.generation_id:
            # It was sent meanwhile.
            return Generation(id=found.row.generation_id, kind=row.kind, price_usd=row.usd)
        return described(found, self._name(row.account))

    async def waiting_accounts(self) -> list[str]:
        """The accounts at which something waits. Raises: LedgerError."""
        return await self._queue.accounts()

    async def lengths(self) -> list[tuple[BackendName, QueueLength]]:
        """The number of purchases that wait, by API, family and person. Raises: LedgerError."""
        return [(self._name(length.account), length) for length in await self._queue.lengths()]

    async def send_waiting(self, account: str) -> float | None:
        """Send what waits at an account, as far as there are slots; the seconds until there may be more.

        None if nothing waits. Raises: LedgerError.
        """
        pauses: list[float] = []
        may_check = False
        for family in APIS[self._name(account)].limit_families:
            pause = await self._send_family(account, family)
            may_check = may_check or pause.may_check
            pauses += [] if pause.seconds is None else [pause.seconds]
        if may_check:
            await self._settler.settle_running(account, await self._queue.running(account))
        return min(pauses, default=None)

    async def _send_family(self, account: str, family: LimitFamily) -> QueuePause:
        while True:
            found = await self._queue.send_next(
                account, family, max_at_once=self._max_at_once, request_id=new_request_id()
            )
            if isinstance(found, QueuePause):
                return found
            await self._send(found, family)

    async def _send(self, found: NextPurchase, family: LimitFamily) -> None:
        row, decided_at = found.row, found.decided_at
        entry = QueueEntry(family, lambda: found.payload, self._max_at_once)
        try:
            request, stills = self._payloads.read(found.payload)
            if stills:
                request = StoredRequest(request.backend, request.path, await self._with_stills(request, stills))
                if not await self._ledger.renew(row):
                    return
                decided_at = suspend_aware_now()
        except LumaError as error:
            if error.is_transient:
                await self._sender.put_back(row, entry, str(error)[:200])
            else:
                await self._sender.refuse(row, str(error)[:200])
            return
        await self._sender.send_queued(row, request, decided_at, entry)

    async def _with_stills(self, request: StoredRequest, stills: tuple[str, ...]) -> dict[str, object]:
        links: dict[str, str] = {}
        for name in stills:
            generation = await self._backend.get_generation(generation_in(name) or "")
            url = generation.url("image")
            if url is None:
                raise InvalidRequestError(f"Generation {generation.id} has no image any more.")
            links[name] = url
        return with_links(request.body, links)

    async def cancel(self, queue_id: str) -> Generation | str | None:
        """Cancel a purchase that waits, and release its money; the purchase, or the id of its generation.

        None if the ledger does not know it. Raises: LedgerError.
        """
        row = await self._queue.cancel(queue_id)
        if row is None:
            return None
        return row.generation_id or described(QueuedPurchase(row, None), self._name(row.account))

    def _name(self, account: str) -> BackendName:
        return self._names.get(account, "dream_machine")
