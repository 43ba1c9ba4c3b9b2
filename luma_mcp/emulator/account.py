"""An emulated account: credit, generations, their life cycles and limits, as both APIs have them. No HTTP."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Generic

from luma_mcp.emulator.billing import Billing
from luma_mcp.emulator.lifecycle import Ended
from luma_mcp.emulator.limiter import MINUTE_SECONDS, Limiter, Limits, Quota
from luma_mcp.emulator.store import GenerationStore, W

_FAIL = re.compile(r"\[fail(?::\s*(?P<reason>[^\]]*))?\]")
_FORBIDDEN_WORD = "blacklisted"


class Account(Generic[W]):
    """The part of an account that is the same at both APIs.

    Args:
        clock: seconds that only rise.
        wall: Unix time.
        speed: how many times faster than Luma generations proceed, and a minute of the limits passes.
        credit_usd: the first balance.
        limits: the limits by family of models; a family without an entry has none.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        speed: float,
        credit_usd: float,
        limits: Mapping[str, Limits],
    ) -> None:
        self.billing = Billing(credit_usd * 100)
        self.generations: GenerationStore[W] = GenerationStore()
        self.failures_due: list[str] = []
        """Reasons for which the next generations fail; the emulator's faults add to it."""
        self._clock = clock
        self._wall = wall
        self._speed = speed
        self._limiters = {family: Limiter(limit) for family, limit in limits.items()}

    def admit(self, family: str, running: int) -> Quota | None:
        """Count a creation; its quota, if the family has limits. Raises: LimitReachedError."""
        limiter = self._limiters.get(family)
        return limiter and limiter.admit(self._clock(), running, MINUTE_SECONDS / self._speed)

    def sell(self, generation: W, cents: float) -> None:
        """Charge for a generation and start it. The caller has found that the credit suffices."""
        self.billing.charge(generation.id, cents)
        self.generations.add(generation)

    def end(self, generation: W, ended: Ended) -> None:
        """End a generation, and pay back one that failed."""
        generation.ended = ended
        if ended == "failed":
            self.billing.refund(generation.id)

    def due(self) -> list[W]:
        """The running generations whose time has come."""
        return [running for running in self.generations.running() if running.lifecycle.is_over(self.age(running))]

    def age(self, generation: W) -> float:
        """The seconds since a generation was accepted, at Luma's own speed."""
        return (self._clock() - generation.began_at) * self._speed

    def seconds_left(self, generation: W) -> float:
        """The seconds until the end of a generation."""
        return max(0.0, generation.lifecycle.total - self.age(generation)) / self._speed

    def today(self) -> datetime:
        """The time of day, for `created_at`."""
        return datetime.fromtimestamp(self._wall(), UTC)


def demanded_failure(prompt: str) -> str | None:
    """The reason that a prompt demands its generation to fail for, empty where it names none; None without one."""
    match = _FAIL.search(prompt)
    return (match["reason"] or "") if match else None


def is_forbidden(prompt: str) -> bool:
    """Return whether the emulated moderation refuses the text of a prompt."""
    return _FORBIDDEN_WORD in prompt.lower()
