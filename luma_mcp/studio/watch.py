"""Waiting for generations: look, report, sleep, until they are final or patience runs out."""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import anyio

from luma_mcp.luma.client import LumaClient
from luma_mcp.luma.errors import AuthenticationError, InvalidRequestError, LumaError, NotFoundError, RateLimitError
from luma_mcp.luma.models import Generation
from luma_mcp.studio.clock import Clock

Until = Literal["all", "any"]

# Seconds between looks. Luma's documentation polls pictures every 2 s and clips every 3 s.
_PICTURE_SECONDS = 2.0
_CLIP_SECONDS = 4.0
# Something that runs for long is not going to end in the next moment.
_SLOWER_AFTER_SECONDS = 180.0
_SLOW_SECONDS = 10.0
_LOOKS_AT_ONCE = 5
# An error of these kinds will not pass by itself.
_FINAL_ERRORS = (NotFoundError, AuthenticationError, InvalidRequestError)


@dataclass(frozen=True, slots=True)
class Look:
    """How things stand. `elapsed_seconds` is the time since the wait began."""

    generations: tuple[Generation, ...]
    elapsed_seconds: float
    trouble: str | None = None


OnLook = Callable[[Look], Awaitable[None]]


class Watch:
    """Waits on behalf of callers. A wait that is cancelled ends at once; the generation goes on at Luma."""

    def __init__(self, luma: LumaClient, clock: Clock) -> None:
        self._luma = luma
        self._clock = clock

    async def wait(self, ids: Sequence[str], *, until: Until, patience_seconds: float, on_look: OnLook) -> Look:
        """Wait until all, or any, of them are final; at the longest for `patience_seconds`.

        Every look is handed to `on_look`, also the last one. An error that may pass does not end the wait.

        Raises:
            NotFoundError: no generation has one of the ids.
            LumaError: nothing at all was heard of them while patience lasted.
        """
        ids = list(dict.fromkeys(ids))
        began = self._clock.now()
        known: dict[str, Generation] = {}
        while True:
            trouble = await self._look_at([one for one in ids if one not in known or not known[one].is_final], known)
            elapsed = self._clock.now() - began
            look = Look(tuple(known[one] for one in ids if one in known), elapsed, trouble and str(trouble))
            await on_look(look)
            left = patience_seconds - elapsed
            if _is_over(ids, known, until) or left <= 0:
                if len(known) < len(ids) and trouble is not None and left <= 0:
                    raise trouble
                return look
            await self._clock.sleep(min(_pause(look, trouble), left))

    async def _look_at(self, ids: Sequence[str], known: dict[str, Generation]) -> LumaError | None:
        """Ask for each; the last error that may pass, if there was one."""
        troubles: list[LumaError] = []
        hands = anyio.CapacityLimiter(_LOOKS_AT_ONCE)

        async def look(generation_id: str) -> None:
            async with hands:
                try:
                    known[generation_id] = await self._luma.get_generation(generation_id)
                except LumaError as error:
                    troubles.append(error)

        async with anyio.create_task_group() as tasks:
            for generation_id in ids:
                tasks.start_soon(look, generation_id)
        for error in troubles:
            if isinstance(error, _FINAL_ERRORS):
                raise error
        return troubles[-1] if troubles else None


def _is_over(ids: Sequence[str], known: dict[str, Generation], until: Until) -> bool:
    final = [one in known and known[one].is_final for one in ids]
    return any(final) if until == "any" else all(final)


def _pause(look: Look, trouble: LumaError | None) -> float:
    """Until the next look, a little uneven so that many waiters do not ask in step."""
    if isinstance(trouble, RateLimitError) and trouble.retry_after is not None:
        return trouble.retry_after
    running = [one for one in look.generations if not one.is_final]
    seconds = _PICTURE_SECONDS if any(one.is_picture for one in running) else _CLIP_SECONDS
    if look.elapsed_seconds > _SLOWER_AFTER_SECONDS:
        seconds = _SLOW_SECONDS
    return seconds * random.uniform(0.85, 1.15)  # noqa: S311 - no secret
