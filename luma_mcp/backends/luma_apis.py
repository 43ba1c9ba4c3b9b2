"""Luma's APIs behind one backend: a request goes to the API that sells its model, an id to the API that made it.

Which API made a generation is in the purchase ledger. What was made elsewhere is asked of the Agents API first, then of
Dream Machine.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import anyio

from luma_mcp.backends.agents.client import Agents
from luma_mcp.backends.agents.decoding import recalled
from luma_mcp.backends.base import Backend, EncodedRequest, Sendable
from luma_mcp.backends.dream_machine.client import DreamMachine
from luma_mcp.domain.apis import APIS, BackendName
from luma_mcp.domain.errors import IDS_ARE_LISTED, InvalidRequestError, LumaError, NotFoundError
from luma_mcp.domain.generation import PURCHASE_ID, Generation, Page
from luma_mcp.domain.requests import Request, backend_of

_AT_ONCE = 5
_LIST_PAGE = 25


@dataclass(frozen=True, slots=True)
class Bought:
    """A purchase in the ledger.

    Args:
        generation_id: the generation that it came to.
        backend: the API that made it.
        body: the unsigned body that was sent.
        price_usd: its price.
        bought_at: Unix time.
        kind: the operation.
    """

    generation_id: str
    backend: BackendName
    body: Mapping[str, Any]
    price_usd: float
    bought_at: float
    kind: str = "video"


class History(Protocol):
    """The purchase ledger's knowledge of generations."""

    async def of(self, generation_id: str) -> Bought | None:
        """The purchase that a generation came of; None if the ledger does not know it or cannot be read."""
        ...

    async def recent(self, generation_id: str) -> Bought | None:
        """The same, if it was bought so short a time ago that Luma may not know it everywhere yet."""
        ...

    async def queued(self, queue_id: str) -> Generation | str | None:
        """A purchase by its id in the queue: as a generation while it is none, or the id of its generation.

        None if the ledger does not know it. Raises: LedgerError.
        """
        ...

    async def waiting(self, limit: int, person: str | None) -> Sequence[Generation]:
        """The purchases that wait for a slot, the newest first, of all persons or of one."""
        ...

    def newest(self, backend: BackendName) -> AsyncGenerator[Bought]:
        """The purchases at one API that came to a generation, newest first, read as far as they are asked."""
        ...

    def of_person(self, person: str) -> AsyncGenerator[Bought]:
        """The purchases of one person that came to a generation, newest first, read as far as they are asked."""
        ...


class LumaApis:
    """The APIs that this server has keys for.

    Args:
        history: the ledger's knowledge.
        dream_machine: Dream Machine; None without a key for it.
        agents: the Agents API; None without a key for it.
    """

    def __init__(
        self, history: History, *, dream_machine: DreamMachine | None = None, agents: Agents | None = None
    ) -> None:
        self._history = history
        self.dream_machine = dream_machine
        self.agents = agents
        backends: dict[BackendName, Backend] = {}
        if agents is not None:
            backends["agents"] = agents
        if dream_machine is not None:
            backends["dream_machine"] = dream_machine
        self._backends = backends

    @property
    def names(self) -> tuple[BackendName, ...]:
        """The APIs, the Agents API first."""
        return tuple(self._backends)

    @property
    def base_url(self) -> str:
        """The address of the first API."""
        return next(iter(self._backends.values())).base_url

    def of(self, name: BackendName) -> Backend:
        """One of the APIs. Raises: InvalidRequestError, if this server has no key for it."""
        if name not in self._backends:
            raise InvalidRequestError(
                f"This is {APIS[name].name}'s, and this server has no key for it.",
                "Take another model or tool, or have the person set "
                f"{APIS[name].key_variable} in this server's environment.",
            )
        return self._backends[name]

    async def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        for backend in self._backends.values():
            await backend.close()

    def encode(self, request: Request) -> EncodedRequest:
        """The request in the JSON of its API. Raises: InvalidRequestError."""
        return self.of(backend_of(request)).encode(request)

    async def submit(
        self, encoded: Sendable, *, request_id: str, decided_at: float | None = None, person: str = ""
    ) -> Generation:
        """Buy; as `Backend.submit`."""
        backend = self.of(encoded.backend)
        return await backend.submit(encoded, request_id=request_id, decided_at=decided_at, person=person)

    async def backend_of(self, generation_id: str) -> BackendName:
        """The API that made a generation. Raises: NotFoundError."""
        found = await self._resolved(generation_id)
        if isinstance(found, Generation):
            return found.backend
        generation_id = found
        if len(self._backends) == 1:
            return self.names[0]
        bought = await self._history.of(generation_id)
        if bought is not None:
            return bought.backend
        return (await self._search(generation_id)).backend

    async def get_generation(self, generation_id: str) -> Generation:
        """A generation, with its request. One that was bought a moment ago is never "not found".

        A purchase that waits for a slot is one too, and its id is good for its generation later.

        Raises: NotFoundError.
        """
        found = await self._resolved(generation_id)
        if isinstance(found, Generation):
            return found
        generation_id = found
        try:
            return await self._read(generation_id)
        except NotFoundError:
            recent = await self._history.recent(generation_id)
            if recent is None:
                raise
            return _unread(recent)

    async def _resolved(self, generation_id: str) -> Generation | str:
        """The generation of an id of the queue: itself while it waits, else its own id. Other ids stay as they are.

        Raises: NotFoundError.
        """
        if PURCHASE_ID.fullmatch(generation_id) is None:
            return generation_id
        found = await self._history.queued(generation_id)
        if found is None:
            raise NotFoundError(f"No purchase has the id {generation_id}.", IDS_ARE_LISTED)
        return found

    async def _read(self, generation_id: str) -> Generation:
        """A generation, as its API has it. Raises: NotFoundError."""
        if self.agents is None and self.dream_machine is not None:
            # Its echo has the request; the ledger need not be read.
            return await self.dream_machine.get_generation(generation_id)
        bought = await self._history.of(generation_id)
        if bought is not None and bought.backend in self._backends:
            return _recalled(await self.of(bought.backend).get_generation(generation_id), bought)
        return await self._search(generation_id)

    async def _search(self, generation_id: str) -> Generation:
        """A generation that the ledger does not know, from the API that has it. Raises: NotFoundError."""
        failure: LumaError = NotFoundError(f"No generation has the id {generation_id}.", IDS_ARE_LISTED)
        for backend in self._backends.values():
            try:
                return await backend.get_generation(generation_id)
            except LumaError as error:
                # It may be of the API that cannot be asked, so that matters more than that the other has none.
                if isinstance(failure, NotFoundError):
                    failure = error
        raise failure

    async def list_generations(self, *, limit: int = 20, offset: int = 0) -> Page:
        """Part of the generations of every API, newest first. Those of the Agents API come from the ledger.

        An API that fails hides nothing of the other: the page names it. Alone it raises its error.
        """
        unavailable: dict[BackendName, LumaError] = {}
        newest: list[Generation | Bought] = [*await self._history.waiting(offset + limit + 1, None)]
        async with aclosing(self._newest_first(unavailable)) as entries:
            while len(newest) <= offset + limit and (entry := await anext(entries, None)) is not None:
                newest.append(entry)
        page = await self._described(newest[offset : offset + limit], unavailable)
        return Page(page, len(newest) > offset + limit, unavailable)

    async def list_of_person(self, person: str, *, limit: int, offset: int) -> Page:
        """Part of the generations that one person bought here, newest first."""
        newest: list[Generation | Bought] = [*await self._history.waiting(offset + limit + 1, person)]
        async with aclosing(self._history.of_person(person)) as purchases:
            while len(newest) <= offset + limit and (bought := await anext(purchases, None)) is not None:
                if bought.backend in self._backends:
                    newest.append(bought)
        unavailable: dict[BackendName, LumaError] = {}
        page = await self._described(newest[offset : offset + limit], unavailable)
        return Page(page, len(newest) > offset + limit, unavailable)

    async def get_credit_usd(self) -> float:
        """The credit that is left at Dream Machine, in dollars. Raises: InvalidRequestError without a key for it."""
        return await self._dream_machine("balance").get_credit_usd()

    async def delete_generation(self, generation_id: str) -> None:
        """Raises: NotFoundError; InvalidRequestError for one of the Agents API, or one that Luma does not have yet."""
        found = await self._resolved(generation_id)
        if isinstance(found, Generation):
            raise InvalidRequestError(f"Purchase {generation_id} has no generation.", "There is nothing to delete.")
        generation_id = found
        api = APIS[await self.backend_of(generation_id)]
        if not api.deletes:
            raise InvalidRequestError(f"{api.title} cannot delete a generation.", "Its links end after an hour.")
        await self._dream_machine("deletion").delete_generation(generation_id)

    async def list_concepts(self) -> tuple[str, ...]:
        """The values of `VideoRequest.concepts`."""
        return await self._dream_machine("concepts").list_concepts()

    async def list_camera_motions(self) -> tuple[str, ...]:
        """Words for a prompt, as Dream Machine lists them."""
        return await self._dream_machine("camera motions").list_camera_motions()

    async def ping(self) -> None:
        """Return if an API responds and accepts its token. Raises: LumaError, the first one's, if none does."""
        failures = await self.check_each()
        if len(failures) == len(self._backends):
            raise next(iter(failures.values()))

    async def check_each(self) -> dict[BackendName, LumaError]:
        """Check whether every API responds and accepts its token; the errors of those that do not."""
        failures: dict[BackendName, LumaError] = {}
        for name, backend in self._backends.items():
            try:
                await backend.ping()
            except LumaError as error:
                failures[name] = error
        return failures

    def _dream_machine(self, what: str) -> DreamMachine:
        if self.dream_machine is None:
            raise InvalidRequestError(
                f"The Luma Agents API has no {what}.", "The dashboard of platform.lumalabs.ai shows the account."
            )
        return self.dream_machine

    async def _newest_first(self, unavailable: dict[BackendName, LumaError]) -> AsyncGenerator[Generation | Bought]:
        """Every generation: Dream Machine's list and the ledger's purchases at the Agents API, by time.

        Args:
            unavailable: gets the error of Dream Machine, if its list cannot be read and there is another API.
        """
        source = self._history.newest("agents") if self.agents is not None else _nothing()
        async with aclosing(source) as purchases:
            bought = await anext(purchases, None)
            offset = 0
            while self.dream_machine is not None:
                try:
                    page = await self.dream_machine.list_generations(limit=_LIST_PAGE, offset=offset)
                except LumaError as error:
                    if self.agents is None:
                        raise
                    unavailable["dream_machine"] = error
                    break
                for generation in page.generations:
                    created = generation.created_at or datetime.fromtimestamp(0, UTC)
                    while bought is not None and bought.bought_at >= created.timestamp():
                        yield bought
                        bought = await anext(purchases, None)
                    yield generation
                offset += len(page.generations)
                if not page.has_more or not page.generations:
                    break
            while bought is not None:
                yield bought
                bought = await anext(purchases, None)

    async def _described(
        self, entries: Sequence[Generation | Bought], unavailable: dict[BackendName, LumaError]
    ) -> tuple[Generation, ...]:
        """The generations. Those that only the ledger knows are asked for, several at once.

        Args:
            entries: the generations, or the purchases that they came of.
            unavailable: gets the error of an API that cannot be asked.
        """
        described: dict[int, Generation] = {}
        limiter = anyio.CapacityLimiter(_AT_ONCE)

        async def describe(index: int, bought: Bought) -> None:
            async with limiter:
                try:
                    generation = await self.of(bought.backend).get_generation(bought.generation_id)
                    described[index] = _recalled(generation, bought)
                except LumaError as error:
                    described[index] = _unread(bought)
                    if not isinstance(error, NotFoundError):
                        unavailable.setdefault(bought.backend, error)

        async with anyio.create_task_group() as tasks:
            for index, entry in enumerate(entries):
                if isinstance(entry, Bought):
                    tasks.start_soon(describe, index, entry)
                else:
                    described[index] = entry
        return tuple(described[index] for index in range(len(entries)))


def _recalled(generation: Generation, bought: Bought) -> Generation:
    """A generation with its request, which the ledger has where the API echoes nothing."""
    if APIS[bought.backend].echoes_requests:
        return generation
    return recalled(generation, bought.body, bought.price_usd)


def _unread(bought: Bought) -> Generation:
    """A generation that its API does not describe now. Its state is unknown."""
    return _recalled(Generation(id=bought.generation_id, kind=bought.kind, backend=bought.backend), bought)


async def _nothing() -> AsyncGenerator[Bought]:
    """The history of an API that this server has no key for."""
    return
    yield
