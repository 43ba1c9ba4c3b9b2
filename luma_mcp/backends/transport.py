"""HTTP to Luma: exchanges with a deadline and a size limit, reads that are repeated, purchases that are sent once."""

import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

import anyio
from pydantic_core import to_json

from luma_mcp.backends import errors
from luma_mcp.backends.exchange import Exchange, OnExchange, ignore_exchange
from luma_mcp.backends.responses import complete_part, has_id, keep_alive_seconds, per_minute
from luma_mcp.domain.clock import Clock, suspend_aware_now
from luma_mcp.domain.errors import (
    AmbiguousPurchaseError,
    AuthenticationError,
    LumaError,
    NoResponseError,
    NotFoundError,
    UnexpectedResponseError,
    UnreachableError,
)
from luma_mcp.net.http import HINT_CA, is_certificate_error, open_http
from luma_mcp.net.proxies import proxy_for

if TYPE_CHECKING:
    import httpx

Sleep = Callable[[float], Awaitable[None]]
OnResponse = Callable[[str, int, float], None]
"""Called after an exchange with its method, its status (0 without a response), its seconds."""
IsRefusal = Callable[[int, bytes, Mapping[str, str]], bool]

_ATTEMPTS = 3
_FIRST_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 0.5, 8.0
# A read may wait as long as Luma's Retry-After asks, up to this.
_MAX_RETRY_AFTER_SECONDS = 60.0
_CONNECT_SECONDS, _RESPONSE_SECONDS = 10.0, 60.0
_SEND_HEADERS = "send_request_headers.started"
_MAX_RESPONSE_BYTES = 4 * 1024 * 1024
# A connection that was idle so long carries no purchase any more, nor one that the other side closes about then.
_PURCHASE_IDLE_SECONDS, _MIN_IDLE_SECONDS = 2.0, 4.0
_CLOCK_TOLERANCE_SECONDS = 0.5
# A purchase whose connection is open only so late is not sent: another server may have settled it meanwhile.
_YOUNG_SECONDS = 15.0
_SUCCESSES = frozenset({200, 201, 202, 204})
_HINT_AMBIGUOUS = "It may have been bought, so it must not be sent again before it was looked for."


def _ignore(_method: str, _status: int, _seconds: float) -> None:
    """Count nothing."""


class Transport:
    """Speaks HTTP to one API with one token. It touches no network before the first call.

    Args:
        token: the API key; None if there is none, and then every call raises AuthenticationError.
        base_url: the address of the API. The token is sent to it and to nothing else.
        token_hint: the hint for a user whose token is missing or refused.
        clock: measures exchanges, waits between attempts, and dates a Retry-After.
        network: carries the bytes; None is the network of this machine.
        on_response: called after each exchange.
        on_exchange: called with each whole response, and its request.
    """

    def __init__(
        self,
        token: str | None,
        *,
        base_url: str,
        clock: Clock,
        token_hint: str = "",
        network: "httpx.AsyncBaseTransport | None" = None,
        on_response: OnResponse = _ignore,
        on_exchange: OnExchange = ignore_exchange,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._token = token
        self._token_hint = token_hint
        self._network = network
        self._clock = clock
        self._on_response = on_response
        self._on_exchange = on_exchange
        self._http: httpx.AsyncClient | None = None
        self._purchase_http: httpx.AsyncClient | None = None
        self._retired: list[httpx.AsyncClient] = []
        self._purchases = 0
        self._purchase_idle_seconds = _PURCHASE_IDLE_SECONDS
        self._seconds_asleep = suspend_aware_now() - time.monotonic()
        self.per_minute: int | None = None
        """The purchases in a minute that the API allows, as its last response to one states; None if none does."""

    async def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        clients = (self._http, self._purchase_http, *self._retired)
        self._http = self._purchase_http = None
        self._retired = []
        for client in clients:
            if client is not None:
                await client.aclose()

    async def _open_purchase_http(self) -> "httpx.AsyncClient":
        """The client for purchases. It uses a connection again for a moment only: one that is idle may be dead."""
        # httpx counts by a clock that stands still while the machine sleeps.
        seconds_asleep = suspend_aware_now() - time.monotonic()
        if abs(seconds_asleep - self._seconds_asleep) > _CLOCK_TOLERANCE_SECONDS:
            self._retire_purchase_http()
            self._seconds_asleep = seconds_asleep
        while self._retired and not self._purchases:
            await self._retired.pop().aclose()
        if self._purchase_http is None:
            self._purchase_http = open_http(
                self._network, proxy=self._proxy(), keep_alive_seconds=self._purchase_idle_seconds
            )
        return self._purchase_http

    def _retire_purchase_http(self) -> None:
        """Let the next purchase have a new connection. Purchases may be under way on the present ones."""
        if self._purchase_http is not None:
            self._retired.append(self._purchase_http)
            self._purchase_http = None

    def _respect_keep_alive(self, headers: Mapping[str, str]) -> None:
        """Keep no connection for the next purchase if the other side closes it about then."""
        seconds = keep_alive_seconds(headers)
        if seconds is not None and seconds < _MIN_IDLE_SECONDS and self._purchase_idle_seconds:
            self._purchase_idle_seconds = 0.0
            self._retire_purchase_http()

    def _proxy(self) -> str | None:
        return proxy_for(self.base_url) if self._network is None else None

    async def purchase(
        self,
        path: str,
        body: dict[str, Any],
        *,
        is_refusal: IsRefusal,
        request_id: str,
        decided_at: float | None = None,
        seconds: float = _RESPONSE_SECONDS,
    ) -> bytes:
        """POST once, on a new connection or on one that was in use two seconds ago.

        Args:
            path: of the operation.
            body: its JSON.
            is_refusal: whether a response that is no success proves that nothing was bought.
            request_id: names the POST at Luma.
            decided_at: when the ledger last confirmed that the purchase is ours, by `clock.suspend_aware_now`; now by
                default.
            seconds: how long the response is awaited.

        Returns:
            The body. Where the response was cut, the part that came, if the id of the generation is in it.

        Raises:
            AmbiguousPurchaseError: it may have been carried out.
            LumaError: it was not carried out.
        """
        import httpx  # noqa: PLC0415 - costs 50 ms, which the start of the process shall not pay

        if self._token is None:
            raise AuthenticationError("No Luma token is set.", self._token_hint)
        purchase_http = await self._open_purchase_http()
        started = suspend_aware_now() if decided_at is None else decided_at
        progress = _Progress(seconds)

        async def follow(event: str, info: Any) -> None:
            progress.is_traced = True
            # A CONNECT goes to a proxy, and holds nothing of the purchase.
            if not event.endswith(_SEND_HEADERS) or info["request"].method == b"CONNECT":
                return
            if suspend_aware_now() - started > _YOUNG_SECONDS:
                raise UnreachableError(
                    "This server was stopped before the request could be sent.", "Nothing was sent. Call again."
                )
            progress.is_sent = True

        self._purchases += 1
        try:
            status, data, headers = await self._send(
                purchase_http,
                "POST",
                path,
                headers={"X-Request-Id": request_id},
                progress=progress,
                json=body,
                extensions={"trace": follow},
                timeout=httpx.Timeout(seconds, connect=_CONNECT_SECONDS),
            )
        except (NoResponseError, UnexpectedResponseError) as error:
            raise ambiguous(error) from error
        finally:
            self._purchases -= 1
        self._respect_keep_alive(headers)
        if status in _SUCCESSES:
            self.per_minute = per_minute(headers) or self.per_minute
            return data
        error = self._error(status, data, headers)
        raise error if is_refusal(status, data, headers) else ambiguous(error)

    async def read(
        self, method: str, path: str, query: dict[str, Any] | None = None, *, json: dict[str, Any] | None = None
    ) -> bytes:
        """Send a request that costs nothing; again after a transient error.

        A DELETE that was carried out already is a success.
        """
        attempt = 1
        while True:
            try:
                return await self._exchange(method, path, query, json)
            except NotFoundError:
                if method == "DELETE" and attempt > 1:
                    return b""
                raise
            except LumaError as error:
                retry_after = getattr(error, "retry_after", None)
                is_too_long = retry_after is not None and retry_after > _MAX_RETRY_AFTER_SECONDS
                if not error.is_transient or attempt == _ATTEMPTS or is_too_long:
                    raise
                pause = min(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1), _MAX_PAUSE_SECONDS)
                jitter = random.uniform(0.5, 1)  # noqa: S311 - no secret
                await self._clock.sleep(retry_after if retry_after is not None else pause * jitter)
            attempt += 1

    async def _exchange(
        self, method: str, path: str, query: dict[str, Any] | None, json: dict[str, Any] | None
    ) -> bytes:
        """One read and the body of its response."""
        if self._token is None:
            raise AuthenticationError("No Luma token is set.", self._token_hint)
        if self._http is None:
            self._http = open_http(self._network, proxy=self._proxy())
        status, data, headers = await self._send(self._http, method, path, params=query, json=json)
        if status in _SUCCESSES:
            return data
        raise self._error(status, data, headers)

    async def _send(
        self,
        http: "httpx.AsyncClient",
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        progress: "_Progress | None" = None,
        **content: Any,
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Status, body and headers of a response. The whole exchange has a deadline, for httpx counts per byte."""
        import httpx  # noqa: PLC0415 - costs 50 ms, which the start of the process shall not pay

        sent_headers = {"Authorization": f"Bearer {self._token}", **(headers or {})}
        try:
            request = http.build_request(method, self.base_url + path, headers=sent_headers, **content)
        except (httpx.InvalidURL, ValueError, TypeError) as error:
            raise UnreachableError(
                f"{self.base_url} is no address that a request can be sent to ({type(error).__name__}).",
                "Nothing was sent. Check LUMA_BASE_URL and LUMA_AGENTS_BASE_URL.",
            ) from error
        has_status, status, started = False, 0, self._clock.now()
        data, response_headers = bytearray(), cast("Mapping[str, str]", {})
        max_seconds = _RESPONSE_SECONDS if progress is None else progress.seconds
        try:
            with anyio.fail_after(_CONNECT_SECONDS + max_seconds):
                async with aclosing(await http.send(request, stream=True)) as response:
                    has_status, status, response_headers = True, response.status_code, response.headers
                    await _read_into(data, response)
                    sent = content.get("json")
                    self._on_exchange(Exchange(method, path, sent, status, response_headers, bytes(data)))
                    return status, bytes(data), response_headers
        except (httpx.DecodingError, httpx.InvalidURL, httpx.CookieConflict) as error:
            raise UnexpectedResponseError(f"Luma's answer cannot be read ({type(error).__name__}).") from error
        except (httpx.HTTPError, httpx.StreamError, TimeoutError, OSError) as error:
            if progress is not None and status in _SUCCESSES and has_id(complete_part(data)):
                return status, to_json(complete_part(data)), response_headers
            never_sent = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
            is_unsent = progress is not None and progress.is_unsent
            if is_unsent or (isinstance(error, never_sent) and not has_status):
                raise self._unreachable(error) from error
            raise NoResponseError(
                f"Luma did not answer at {self.base_url} ({type(error).__name__}).", "Call again in a moment."
            ) from error
        except LumaError:
            raise
        except Exception as error:
            # Of a proxy's own protocol, which no httpx error stands for.
            if progress is None or not progress.is_unsent:
                raise
            raise self._unreachable(error) from error
        finally:
            self._on_response(method, status, self._clock.now() - started)

    def _error(self, status: int, data: bytes, headers: Mapping[str, str]) -> LumaError:
        error = errors.error_of(status, data, headers, self._clock.wall())
        if isinstance(error, AuthenticationError):
            return AuthenticationError(str(error), self._token_hint)
        return error

    def _unreachable(self, error: Exception) -> UnreachableError:
        if is_certificate_error(error):
            return UnreachableError(
                f"The certificate of {self.base_url} is not trusted here.", f"Nothing was sent. {HINT_CA}"
            )
        return UnreachableError(
            f"Luma cannot be reached at {self.base_url} ({type(error).__name__}).",
            "Nothing was sent. Check the network, the proxy settings and LUMA_BASE_URL, then call again.",
        )


def ambiguous(error: LumaError) -> AmbiguousPurchaseError:
    """The error of a purchase that was sent, and whose response is lost or cannot be read."""
    return AmbiguousPurchaseError(f"{error} What became of the purchase is not known.", _HINT_AMBIGUOUS)


class _Progress:
    """The progress of a purchase on its way, by httpcore's trace. A transport of a test may trace nothing."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.is_traced = self.is_sent = False

    @property
    def is_unsent(self) -> bool:
        """Whether certainly no byte of the purchase was sent, whatever a proxy did to the CONNECT before it."""
        return self.is_traced and not self.is_sent


async def _read_into(data: bytearray, response: "httpx.Response") -> None:
    """Read the body. Raises: UnexpectedResponseError, if it is too long."""
    async with aclosing(cast("AsyncGenerator[bytes]", response.aiter_bytes())) as blocks:
        async for block in blocks:
            data += block
            if len(data) > _MAX_RESPONSE_BYTES:
                raise UnexpectedResponseError(f"Luma answered more than {_MAX_RESPONSE_BYTES // 1024 // 1024} MB.")
