"""Films: plan, price, allow once; then buy each shot when the shots that it waits for are there, until all are final.

The state of a film is in the ledger only, so any server of that ledger continues it, whatever happened to the one
before. Two servers that wait for one film share its shots: each shot is bought by the first of them.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from luma_mcp.domain.clock import Clock
from luma_mcp.domain.errors import (
    BudgetError,
    InvalidRequestError,
    LumaError,
    NotFoundError,
)
from luma_mcp.domain.generation import NOT_FOUND, Generation
from luma_mcp.domain.meter import NO_METER, Meter
from luma_mcp.film import plan as plans
from luma_mcp.film.buying import ShotBuyer
from luma_mcp.film.encrypted_links import SignedLinks
from luma_mcp.film.film import CANCELLED, Film, FilmShot, film_of, new_film_id
from luma_mcp.film.frames import SourcesOf, frames_of
from luma_mcp.film.plan import FilmFormat, Frames, Plan, Shot
from luma_mcp.ledger import caps
from luma_mcp.ledger.caps import Balance, Budget
from luma_mcp.ledger.reservation_groups import GroupChangedError, ReservationGroups
from luma_mcp.ledger.reservations import NewGroup, NewReservation, ReservationGroup
from luma_mcp.polling.poller import Poller, Snapshot
from luma_mcp.purchasing.service import PurchaseService

_log = logging.getLogger(__name__)

# Both of Luma's APIs make ten clips at once.
_AT_ONCE = 10
# After a transient error, and between checks for a lost purchase.
_PAUSE_SECONDS = 10.0

OnFilm = Callable[[Film, float, str | None], Awaitable[None]]
"""Called with the film, the seconds that were waited, and the present problem."""


class FilmService:
    """Plans and buys films.

    Args:
        groups: the reservation groups of the ledger.
        purchases: buys the shots.
        poller: waits for them.
        clock: how time passes.
        links: encrypts the signed links of plans.
        meter: counts purchases.
    """

    def __init__(
        self,
        groups: ReservationGroups,
        purchases: PurchaseService,
        poller: Poller,
        clock: Clock,
        links: SignedLinks,
        meter: Meter = NO_METER,
    ) -> None:
        self._groups = groups
        self._purchases = purchases
        self._poller = poller
        self._clock = clock
        self._links = links
        self._buyer = ShotBuyer(groups, purchases, links, meter)

    async def plan(self, film_format: FilmFormat, shots: Sequence[Shot], sources_of: SourcesOf) -> Plan:
        """Resolve the sources, check every shot and price it; nothing is sent or written.

        Raises:
            InvalidRequestError: a shot cannot be made so. This and the following errors name the shot.
            NotFoundError: no generation has an id that is named.
            FileError: a local file cannot be read, or cannot be uploaded for Luma.
        """
        plans.check_order(shots)
        frames: list[Frames] = []
        for number, shot in enumerate(shots, start=1):
            try:
                frames.append(await frames_of(shot, sources_of(film_format.backend), self._links))
            except LumaError as error:
                raise _of_shot(number, error) from error
        encrypted = self._links.encrypted
        plan = plans.make_plan(
            film_format, [replace(shot, start=encrypted(shot.start), end=encrypted(shot.end)) for shot in shots], frames
        )
        for number, planned in enumerate(plan.shots, start=1):
            if planned.end_on is not None:
                try:
                    await sources_of(film_format.backend).check_frames()
                except LumaError as error:
                    raise _of_shot(number, error) from error
                break
        return plan

    def check(self, usd: float, price_text: str) -> None:
        """Raises: BudgetError, if the cap for one call forbids the price of a film."""
        caps.check_call(self._purchases.budget, usd, price_text)

    async def create(self, plan: Plan, *, take: int, person: str, consent: str | None) -> tuple[Film, bool]:
        """Write the film down and reserve its money; the film, and whether it is new.

        Raises:
            BudgetError: a cap forbids it, or the account's credit is less than all shots cost.
            ConsentNeededError: the settings demand the user's approval first.
        """
        budget, balance = await self._affordable(plan)
        new = NewGroup(
            id=new_film_id(),
            fingerprint=plan.fingerprint,
            document=plan.to_json(),
            reservations=_reservations(plan),
            account=self._account(plan),
            take=take,
            person=person,
            consent=consent,
        )
        group, is_new = await self._purchases.with_refunds(lambda: self._groups.create(new, budget, balance))
        return await self._polled(group), is_new

    def unpaid(self, film: Film, plan: Plan) -> list[NewReservation]:
        """The shots of a new plan of a film whose money is neither spent nor reserved already."""
        return film.group.unpaid(_reservations(plan))

    async def cancel(self, film: Film) -> Film:
        """Give back the money of the shots that are not bought. Shots that Luma is making stay."""
        await self._groups.release(film.id, {shot.planned.key: CANCELLED for shot in film.shots if not shot.is_final})
        group = await self._groups.get(film.id)
        return await self._polled(group or film.group)

    async def change(self, film: Film, plan: Plan, *, approved_usd: float, consent: str | None) -> Film:
        """Replace the plan of a film: shots that it has already stay, and the money of the rest is reserved.

        Args:
            film: the film.
            plan: the plan.
            approved_usd: the price that the user approved.
            consent: names the user's approval.

        Raises:
            InvalidRequestError: the plan is for another API.
            BudgetError: a cap forbids it, or the film has changed and would cost more.
            ConsentNeededError: the settings demand the user's approval first.
        """
        if film.plan.form.backend != plan.form.backend:
            raise InvalidRequestError("A film stays with the API that it began with.", "Make another film.")
        budget, balance = await self._affordable(plan)

        async def change() -> ReservationGroup:
            return await self._groups.change(
                film.group,
                plan.to_json(),
                _reservations(plan),
                max_micros=round(approved_usd * 1e6),
                budget=budget,
                balance=balance,
                consent=consent,
            )

        try:
            group = await self._purchases.with_refunds(change)
        except GroupChangedError:
            raise BudgetError(
                "The film has changed meanwhile, and this costs more than the price that was approved.",
                "Nothing was bought. Call again.",
            ) from None
        return await self._polled(group)

    async def get(self, film_id: str, person: str | None) -> Film:
        """A film as it is now.

        Args:
            film_id: its id.
            person: the person whose films are visible; None for those of all persons.

        Raises:
            NotFoundError: there is no such film.
        """
        return await self._polled(await self._group(film_id, person))

    async def newest(self, limit: int, person: str | None) -> list[Film]:
        """The last films, newest first, as the ledger has them; all, or one person's."""
        return [film_of(group, {}) for group in await self._groups.newest(limit, person)]

    async def wait(
        self,
        film_id: str,
        person: str | None,
        *,
        timeout_seconds: float,
        sources_of: SourcesOf,
        on_film: OnFilm,
        is_background: bool = False,
    ) -> Film:
        """Buy the shots that are ready, and wait, until every shot is final or until the timeout.

        Args:
            film_id: the film's id.
            person: the person whose films are visible; None for those of all persons.
            timeout_seconds: the longest wait. Purchases that have started are completed.
            sources_of: starts the resolution of a shot's sources.
            on_film: called at each change.
            is_background: whether no client waits: a shot whose local file cannot be read here stays planned.

        Raises:
            NotFoundError: there is no such film.
            AuthenticationError, InsufficientCreditsError: the account cannot buy. Its shots stay planned.
            LumaError: Luma cannot be asked, or the ledger cannot be used. Nothing is lost.
        """
        started_at = self._clock.now()
        problems: dict[str, str] = {}
        try_again_at = started_at
        while True:
            film = await self._polled(await self._group(film_id, person))
            now = self._clock.now()
            await on_film(film, now - started_at, _first(problems))
            if film.blocked:
                await self._groups.release(film.id, film.blocked)
                continue
            if film.is_over or self._poller.is_ending:
                return film
            if now >= try_again_at:
                try_again_at = now + _PAUSE_SECONDS
                problems.clear()
                if await self._buyer.check_lost(film, problems):
                    continue
            wanted = [shot for shot in _to_buy(film) if shot.planned.key not in problems]
            if wanted:
                await self._buyer.buy_all(film, wanted, sources_of, problems, is_background=is_background)
                continue
            remaining_seconds = timeout_seconds - (now - started_at)
            if remaining_seconds <= 0 or (film.state == "in doubt" and not film.lost):
                return film
            pause = min(remaining_seconds, try_again_at - now) if problems or film.lost else remaining_seconds
            await self._wait_for(film, pause, started_at, _first(problems), on_film)

    async def _wait_for(
        self, film: Film, max_seconds: float, started_at: float, problem: str | None, on_film: OnFilm
    ) -> None:
        """Wait until a running shot is final, or until something that failed may be tried again."""
        running = [shot.poll_id for shot in film.shots if not shot.is_final and shot.poll_id]
        if not running:
            # Another server is buying, or nothing can be bought at present.
            await self._clock.sleep(min(max_seconds, _PAUSE_SECONDS))
            return

        async def report(snapshot: Snapshot) -> None:
            generations = {generation.id: generation for generation in snapshot.generations}
            await on_film(film_of(film.group, generations), self._clock.now() - started_at, snapshot.problem or problem)

        snapshot = await self._poller.wait(running, until="any", timeout_seconds=max_seconds, on_snapshot=report)
        await self._purchases.record_final_states(*snapshot.generations)

    async def _group(self, film_id: str, person: str | None) -> ReservationGroup:
        group = await self._groups.get(film_id)
        if group is None or person not in (None, group.person):
            raise NotFoundError(
                f"No film has the id {film_id}.", "create_film answers the id; luma://films lists them."
            )
        return group

    async def _polled(self, group: ReservationGroup) -> Film:
        """The film with its running generations as they are now, as far as Luma can be asked.

        The ledger is read again only if this poll has changed it.
        """
        film, has_changed = film_of(group, {}), False
        running = [shot.generation_id for shot in film.running if shot.generation_id]
        if not running:
            return film
        generations: dict[str, Generation] = {}
        try:
            snapshot = await self._poller.wait(running, until="all", timeout_seconds=0, on_snapshot=_ignore)
            generations = {generation.id: generation for generation in snapshot.generations}
            has_changed = await self._purchases.record_final_states(*snapshot.generations)
        except NotFoundError:
            # Luma knows none of them.
            generations = {generation_id: Generation(id=generation_id, state=NOT_FOUND) for generation_id in running}
        except LumaError:
            _log.info("the shots of %s cannot be asked for now", group.id, exc_info=True)
        return film_of((await self._groups.get(group.id) if has_changed else None) or group, generations)

    async def _affordable(self, plan: Plan) -> tuple[Budget, Balance | None]:
        """The budget, and the credit at Luma. If the API reports its credit, a film may not cost more."""
        budget, backend = self._purchases.budget, plan.form.backend
        if budget.min_credit_usd is not None:
            return budget, await self._purchases.balances.read(backend)
        balance = await self._purchases.balances.known(backend)
        return (budget if balance is None else replace(budget, min_credit_usd=0.0)), balance

    def _account(self, plan: Plan) -> str:
        return self._purchases.account_of(plan.form.backend)


def _to_buy(film: Film) -> Sequence[FilmShot]:
    """The shots that are ready, as many as Luma has room for."""
    free = _AT_ONCE - len(film.running) - sum(shot.state in ("buying", "waiting") for shot in film.shots)
    return film.ready[: max(free, 0)]


def _first(problems: Mapping[str, str]) -> str | None:
    return next(iter(problems.values()), None)


def _reservations(plan: Plan) -> tuple[NewReservation, ...]:
    return tuple(NewReservation(shot.key, round(shot.usd * 1e6)) for shot in plan.shots)


def _of_shot(number: int, error: LumaError) -> LumaError:
    """The same error, naming the shot."""
    return type(error)(f"Shot {number}: {error}", error.hint)


async def _ignore(_snapshot: Snapshot) -> None:
    """The film's progress is reported after each wait."""
