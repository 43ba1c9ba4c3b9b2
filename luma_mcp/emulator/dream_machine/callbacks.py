"""Telling a caller's server of each change of state, as Luma does: the generation as JSON, no signature.

An answer other than 200 is retried at most three times, 100 ms apart; a request may take 5 s.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx

Sleep = Callable[[float], Awaitable[None]]

_RETRIES = 3
_SECONDS_BETWEEN = 0.1
_TIMEOUT_SECONDS = 5


async def deliver(url: str, generation: dict[str, Any], sleep: Sleep = anyio.sleep) -> bool:
    """POST a generation to a callback URL; whether it was taken."""
    async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS) as client:
        for attempt in range(_RETRIES + 1):
            if attempt:
                await sleep(_SECONDS_BETWEEN)
            try:
                response = await client.post(url, json=generation)
            except (httpx.HTTPError, httpx.InvalidURL):
                continue
            if response.status_code == 200:
                return True
    return False
