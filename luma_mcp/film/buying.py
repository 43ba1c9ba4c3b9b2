"""PurchaseOutcome the shots of a film: each once, at no more than the approved price, after those that it waits for."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import anyio

from luma_mcp.domain.errors import (
    AmbiguousPurchaseError,
    AuthenticationError,
    FileError,
    GoneError,
    InsufficientCreditsError,
    InvalidRequestError,
    LumaError,
    NotFoundError,
)
from luma_mcp.domain.meter import Meter
from luma_mcp.domain.pricing import Price
from luma_mcp.domain.requests import ImageKeyframe, VideoRequest
from luma_mcp.film import plan as plans
from luma_mcp.film.encrypted_links import SignedLinks
from luma_mcp.film.film import Film, FilmShot
from luma_mcp.film.frames import SourcesOf, frames_of
from luma_mcp.film.plan import NEXT
from luma_mcp.ledger.reservation_groups import ReservationGroups
from luma_mcp.ledger.reservations import ReservationName, ReservationUnavailableError
from luma_mcp.ledger.rows import PurchaseRow
from luma_mcp.purchasing.orders import PurchaseRequest
from luma_mcp.purchasing.service import PurchaseService
from luma_mcp.sources.resolver import Resolution

_MAX_NOTE_LENGTH = 300
_PLAN_AGAIN = "create_film with this film_id and the shots plans it with what is there now."
# These count once they are repeated: one replica of Luma's, or a gateway, may be wrong for a moment.
_TO_BE_CONFIRMED = (NotFoundError, AuthenticationError, GoneError)
# The cause is the account and not a shot, so no shot is released; the user corrects the account and calls again.
_OF_THE_ACCOUNT = (AuthenticationError, InsufficientCreditsError)


class ShotBuyer:
    """Buys shots, and checks those whose purchase is lost.

    Args:
        groups: the reservation groups of the ledger.
        purchases: buys.
        links: reads the signed links of plans.
        meter: counts what is bought.
    """

    def __init__(self, groups: ReservationGroups, purchases: PurchaseService, links: SignedLinks, meter: Meter) -> None:
        self._groups = groups
        self._purchases = purchases
        self._links = links
        self._meter = meter
        self._refused: set[tuple[str, str]] = set()

    async def check_lost(self, film: Film, problems: dict[str, str]) -> bool:
        """Check the purchases whose responses were lost; return whether there were any.

        Errors are added to `problems`, by the key of the shot.
        """
        for shot in film.lost:
            try:
                await self._purchases.search_for(cast("PurchaseRow", shot.purchase))
            except LumaError as error:
                problems[shot.planned.key] = f"Shot {shot.number}: {error.full_text}"
        return bool(film.lost)

    async def buy_all(
        self,
        film: Film,
        shots: Sequence[FilmShot],
        sources_of: SourcesOf,
        problems: dict[str, str],
        *,
        is_background: bool = False,
    ) -> None:
        """Buy some shots at once. Raises: AuthenticationError, InsufficientCreditsError, after all have been tried."""
        of_the_account: list[LumaError] = []

        async def buy(shot: FilmShot) -> None:
            try:
                sources = sources_of(film.plan.form.backend)
                await self._buy(film, shot, sources, problems, is_background=is_background)
            except _OF_THE_ACCOUNT as error:
                of_the_account.append(error)

        async with anyio.create_task_group() as tasks:
            for shot in shots:
                tasks.start_soon(buy, shot)
        if of_the_account:
            raise of_the_account[0]

    async def _buy(
        self, film: Film, shot: FilmShot, sources: Resolution, problems: dict[str, str], *, is_background: bool = False
    ) -> None:
        """Buy a shot. A transient error is added to `problems`; any other one is recorded as the reason of the shot.

        Raises:
            AuthenticationError, InsufficientCreditsError: the account cannot buy.
        """
        key, backend = shot.planned.key, film.plan.form.backend
        try:
            request = await self._request(film, shot, sources)
            quote = self._purchases.quote(request, None, sources.generation_ids)
            if quote.price.usd > shot.planned.usd:
                raise InvalidRequestError(
                    f"It costs {quote.price} now, and {Price.of(shot.planned.usd, shot.planned.basis)} were allowed.",
                    _PLAN_AGAIN,
                )
            publish = sources.publish if sources.has_files else None
            reservation = ReservationName(film.id, key)
            record = await self._purchases.buy(
                PurchaseRequest(
                    quote, _on_wait, take=1, person=film.group.person, publish=publish, draws_on=reservation
                )
            )
        except ReservationUnavailableError:
            problems[key] = f"Shot {shot.number} was bought or left out elsewhere."
        except AmbiguousPurchaseError as error:
            problems[key] = f"Shot {shot.number}: {error.full_text}"
            self._meter.count_purchase(backend, film.group.person, "in doubt", 0.0)
        except LumaError as error:
            is_elsewhere = is_background and isinstance(error, FileError)
            if error.is_transient or is_elsewhere or self._is_first_refusal(film.id, key, error):
                problems[key] = f"Shot {shot.number}: {error.full_text}"
                return
            self._meter.count_purchase(backend, film.group.person, "refused", 0.0)
            if isinstance(error, _OF_THE_ACCOUNT):
                raise
            await self._groups.release(film.id, {key: error.full_text[:_MAX_NOTE_LENGTH]})
        else:
            self._refused.discard((film.id, key))
            outcome, usd = ("joined", 0.0) if record.recovered else ("bought", record.price.usd)
            self._meter.count_purchase(backend, film.group.person, outcome, usd)

    def _is_first_refusal(self, film_id: str, key: str, error: LumaError) -> bool:
        """Check whether an error that must be confirmed occurs for the first time; the shot is then tried once more."""
        if not isinstance(error, _TO_BE_CONFIRMED) or (film_id, key) in self._refused:
            self._refused.discard((film_id, key))
            return False
        self._refused.add((film_id, key))
        return True

    async def _request(self, film: Film, shot: FilmShot, sources: Resolution) -> VideoRequest:
        """The request of a shot, with the clips and pictures that it waited for.

        Raises:
            InvalidRequestError: a source differs from the plan.
            LumaError: a source cannot be read.
        """
        planned, film_format = shot.planned, film.plan.form
        frames = await frames_of(planned.shot, sources, self._links)
        first_picture = None
        if planned.shot.end == NEXT and planned.end_on is None:
            first_picture = (await frames_of(film.plan.shots[shot.number].shot, sources, self._links)).start
        request = plans.stand_in_request(film_format, planned.shot, frames, first_picture)
        if not plans.is_unchanged(request, planned):
            raise InvalidRequestError(
                "A picture or clip that it names is not what it was when the film was planned.", _PLAN_AGAIN
            )
        if planned.start_of is not None:
            request = replace(request, start=await sources.keyframe(_generation_id_of(film, planned.start_of)))
        if planned.end_on is not None:
            picture = await sources.image(f"{_generation_id_of(film, planned.end_on)}#first")
            request = replace(request, end=ImageKeyframe(picture))
        return request


def _generation_id_of(film: Film, index: int) -> str:
    """The generation of a shot that is completed."""
    return film.shots[index].generation_id or ""


async def _on_wait(_waited: float, _message: str) -> None:
    """The film's progress is reported after each purchase."""
