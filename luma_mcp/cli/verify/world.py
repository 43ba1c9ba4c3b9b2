"""The API that is verified: probes that cost nothing, purchases by the ledger, and a record of every exchange."""

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from luma_mcp.backends.exchange import Exchange
from luma_mcp.backends.transport import Transport
from luma_mcp.cli.verify.facts import object_of
from luma_mcp.cli.verify.plan import Planned
from luma_mcp.composition import RealClock, build_services
from luma_mcp.config.settings import Settings
from luma_mcp.domain.apis import BackendName
from luma_mcp.domain.clock import Clock
from luma_mcp.domain.errors import LumaError
from luma_mcp.domain.generation import Generation
from luma_mcp.mcp.services import Services
from luma_mcp.media import worker
from luma_mcp.media.track_tags import describe_file
from luma_mcp.purchasing.orders import PurchaseRequest

if TYPE_CHECKING:
    import httpx

UNKNOWN_ID = "00000000-0000-0000-0000-000000000000"
_POLL_SECONDS = 1.0
# Generations, lists and balances that lag are waited for so long.
MAX_WAIT_SECONDS = 300.0


@dataclass
class Bought:
    """A purchase of the verification, and what was observed of it.

    Args:
        planned: the purchase.
        error: the error of the purchase, in the words of this project; empty if it was accepted.
        id: the id of the generation; empty if it was refused.
        created: the response to the purchase.
        states: the states that the API reported, each once, in order.
        found_after, listed_after, charged_after: seconds from the purchase until it was there.
        final: the last response with the generation.
        description: the facts of the file that was made.
    """

    planned: Planned
    error: str = ""
    id: str = ""
    created: Exchange | None = None
    states: list[str] = field(default_factory=list[str])
    found_after: float | None = None
    listed_after: float | None = None
    charged_after: float | None = None
    final: Exchange | None = None
    description: tuple[str, ...] = ()


class World:
    """One API under verification.

    Args:
        settings: the person's; the ledger and the caps hold here too.
        api: the API.
        network: carries the bytes; None is the network of this machine.
        clock: the machine's unless a test passes one.
        on_step: called with each step, as a sentence.
    """

    def __init__(
        self,
        settings: Settings,
        api: BackendName,
        *,
        network: "httpx.AsyncBaseTransport | None" = None,
        clock: Clock | None = None,
        on_step: Callable[[str], None],
    ) -> None:
        self.api: BackendName = api
        self.clock = clock or RealClock()
        self.on_step = on_step
        self._probes: list[Exchange] = []
        self._purchases: list[Exchange] = []
        self.services: Services = build_services(settings, network, self.clock, on_exchange=self._record)
        self._base_url = settings.base_url if api == "dream_machine" else settings.agents_base_url
        self._network = network
        key = settings.key if api == "dream_machine" else settings.agents_key
        self._transport = self._to_api(key)
        self._nonce = secrets.randbelow(10**6) + 2

    def _record(self, _api: BackendName, exchange: Exchange) -> None:
        """Record a purchase. The services read in the background too, which is no probe."""
        if exchange.method == "POST" and exchange.sent is not None:
            self._purchases.append(exchange)

    def _to_api(self, key: str | None) -> Transport:
        return Transport(
            key,
            base_url=self._base_url,
            clock=self.clock,
            network=self._network,
            on_exchange=self._probes.append,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def probe(
        self, method: str, path: str, query: dict[str, Any] | None = None, *, json: dict[str, Any] | None = None
    ) -> Exchange | None:
        """Send a request that costs nothing; its response, None without one."""
        before = len(self._probes)
        with suppress(LumaError):
            await self._transport.read(method, path, query, json=json)
        return self._last_since(before)

    async def probe_with_wrong_key(self, path: str, key: str) -> Exchange | None:
        """Read with a key that is none; the response, None without one."""
        before, transport = len(self._probes), self._to_api(key)
        try:
            with suppress(LumaError):
                await transport.read("GET", path)
        finally:
            await transport.close()
        return self._last_since(before)

    async def probe_purchase(self, path: str, body: dict[str, Any]) -> Exchange | None:
        """POST a purchase that is wrong in two ways, once; the response, None without one."""
        before = len(self._probes)
        with suppress(LumaError):
            await self._transport.purchase(
                path, body, is_refusal=lambda _status, _body, _headers: True, request_id=f"verify-{self._nonce}"
            )
        return self._last_since(before)

    def _last_since(self, count: int) -> Exchange | None:
        return self._probes[-1] if len(self._probes) > count else None

    async def buy(self, planned: Planned) -> Bought:
        """Buy, as a tool would: within the caps, and once."""
        bought = Bought(planned)
        before = len(self._purchases)
        quote = self.services.purchases.quote(planned.request)
        # A take of its own: what was bought by an earlier verification shows nothing new.
        request = PurchaseRequest(quote, on_wait=_ignore, take=self._nonce)
        try:
            bought.id = (await self.services.purchases.buy(request)).generation.id
        except LumaError as error:
            bought.error = str(error)
        bought.created = next(iter(self._purchases[before:]), None)
        return bought

    async def follow(self, bought: Bought, *, has_list: bool = False, balance_before: object = None) -> None:
        """Poll a generation until it has ended, is listed, and shows in the balance.

        Args:
            bought: the purchase; its fields are filled in.
            has_list: whether the API lists generations.
            balance_before: the balance before the purchase; None where the API reports none.
        """
        started = self.clock.now()
        while (waited := self.clock.now() - started) < MAX_WAIT_SECONDS:
            await self._look(bought, waited, has_list=has_list, balance_before=balance_before)
            has_ended = bought.states and bought.states[-1].lower() in _ENDS
            is_listed = not has_list or bought.listed_after is not None
            is_charged = balance_before is None or bought.charged_after is not None or bought.states[-1:] in _FAILED
            if has_ended and is_listed and is_charged:
                return
            await self.clock.sleep(_POLL_SECONDS)

    async def _look(self, bought: Bought, waited: float, *, has_list: bool, balance_before: object) -> None:
        if bought.charged_after is None and balance_before is not None:
            balance = object_of(await self.probe("GET", "/credits")).get("credit_balance")
            bought.charged_after = waited if balance != balance_before else None
        response = await self.probe("GET", f"/generations/{bought.id}")
        state = object_of(response).get("state")
        if response is not None and response.status == 200 and state is not None:
            bought.found_after = waited if bought.found_after is None else bought.found_after
            bought.final = response
            if str(state) not in bought.states:
                bought.states.append(str(state))
        if has_list and bought.listed_after is None:
            page = object_of(await self.probe("GET", "/generations", {"limit": 100, "offset": 0}))
            entries: list[Any] = page.get("generations") or []
            bought.listed_after = waited if any(entry.get("id") == bought.id for entry in entries) else None

    async def describe(self, bought: Bought) -> None:
        """Fetch the file that was made and describe it."""
        try:
            generation = await self.services.backend.get_generation(bought.id)
            asset = "video" if bought.planned.role == "clip" else _first_image(generation)
            async with self.services.downloads.open_asset(generation, asset, _ignore_bytes) as (path, _):
                bought.description = await worker.run(describe_file, path)
        except LumaError as error:
            bought.error = str(error)


_ENDS = frozenset({"completed", "failed", "succeeded", "error"})
_FAILED = (["failed"], ["FAILED"], ["error"])


def _first_image(generation: Generation) -> str:
    return next((output.name or output.kind for output in generation.outputs), "image")


async def _ignore(_waited: float, _reason: str) -> None:
    """Report nothing."""


async def _ignore_bytes(_size: int, _length: int | None) -> None:
    """Report nothing."""
