"""The two limits of `POST /generations`: calls in a minute, and jobs at once. Both must pass, and nothing is queued."""

from collections import deque
from dataclasses import dataclass

_WINDOW_SECONDS = 60.0
_CONCURRENCY_RETRY_SECONDS = 60


@dataclass(frozen=True)
class Limits:
    """The limits of a client."""

    per_minute: int = 30
    at_once: int = 10


class LimitReachedError(Exception):
    """A limit was reached."""

    def __init__(self, detail: str, headers: dict[str, str]) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = headers


class Limiter:
    """Counts the attempts of the last minute. Times are Unix time."""

    def __init__(self, limits: Limits | None) -> None:
        self._limits = limits
        self._attempts: deque[float] = deque()

    def admit(self, now: float, running: int) -> dict[str, str]:
        """Count an attempt; the headers of its answer. Raises: LimitReachedError."""
        limits = self._limits
        if limits is None:
            return {}
        while self._attempts and now - self._attempts[0] >= _WINDOW_SECONDS:
            self._attempts.popleft()
        if len(self._attempts) >= limits.per_minute:
            wait = max(1, round(self._attempts[0] + _WINDOW_SECONDS - now))
            headers = self._headers(0, self._attempts[0] + _WINDOW_SECONDS) | {"Retry-After": str(wait)}
            raise LimitReachedError("Rate limit exceeded", headers)
        if running >= limits.at_once:
            raise LimitReachedError("Too many concurrent jobs", {"Retry-After": str(_CONCURRENCY_RETRY_SECONDS)})
        self._attempts.append(now)
        return self._headers(limits.per_minute - len(self._attempts), now + _WINDOW_SECONDS)

    def _headers(self, remaining: int, reset: float) -> dict[str, str]:
        limit = self._limits.per_minute if self._limits else 0
        return {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset": str(round(reset)),
        }
