"""The two limits of a creation: requests in a minute and generations at once. Both must pass; nothing is queued."""

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

MINUTE_SECONDS = 60.0


@dataclass(frozen=True)
class Limits:
    """An account's limits for a family of models, which depend on its plan."""

    per_minute: int
    at_once: int


@dataclass(frozen=True)
class Quota:
    """The requests of a minute that are left.

    Args:
        limit: the requests in a minute.
        remaining: how many may follow at once.
        reset_seconds: until the minute of the request that counts is over.
    """

    limit: int
    remaining: int
    reset_seconds: float


class LimitReachedError(Exception):
    """A limit is reached.

    Args:
        kind: the limit.
        limits: both limits.
        quota: the quota of a request that is one too many in its minute.
        retry_seconds: until a request can pass; None where the end of a generation decides.
    """

    def __init__(
        self,
        kind: Literal["per_minute", "at_once"],
        limits: Limits,
        quota: Quota | None = None,
        retry_seconds: float | None = None,
    ) -> None:
        super().__init__(kind)
        self.kind = kind
        self.limits = limits
        self.quota = quota
        self.retry_seconds = retry_seconds


class Limiter:
    """Counts the requests of the last minute."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._requests: deque[float] = deque()

    def admit(self, now: float, running: int, minute: float = MINUTE_SECONDS) -> Quota:
        """Count a request that passes.

        Args:
            now: seconds that only rise.
            running: how many generations are not over.
            minute: the seconds of a minute, fewer for an account that is faster than Luma.

        Raises:
            LimitReachedError: it does not pass, and does not count.
        """
        limits = self._limits
        while self._requests and now - self._requests[0] >= minute:
            self._requests.popleft()
        if len(self._requests) >= limits.per_minute:
            wait = self._requests[0] + minute - now
            raise LimitReachedError("per_minute", limits, Quota(limits.per_minute, 0, wait), wait)
        if running >= limits.at_once:
            raise LimitReachedError("at_once", limits)
        self._requests.append(now)
        return Quota(limits.per_minute, limits.per_minute - len(self._requests), minute)


def retry_after(seconds: float) -> dict[str, str]:
    """The header that asks for a pause of whole seconds, at least one."""
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def parse(text: str) -> Limits:
    """Limits as a person types them, such as `30,4`. Raises: ValueError."""
    per_minute, comma, at_once = text.partition(",")
    if not (comma and per_minute.isdecimal() and at_once.isdecimal() and int(per_minute) and int(at_once)):
        raise ValueError("it must be two whole numbers above 0, such as 30,4")
    return Limits(int(per_minute), int(at_once))
