"""HTTP to Luma: exchanges with a deadline and a size limit, reads that are repeated, purchases that are sent once."""

import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

import anyio
from pydantic_core import to_json

from luma_mcp.backends.responses import complete_part, has_id
from luma_mcp.domain.clock import suspend_aware_now
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
ErrorOf = Callable[[int, bytes, Mapping[str, str], float], LumaError]
OnAnswer = Callable[[str, int, float], None]
"""Called after an exchange with its method, its status (0 without an answer), its seconds."""
IsRefusal = Callable[[int, bytes, Mapping[str, str]], bool]

_ATTEMPTS = 3
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 8.0
# A read may wait as long as Luma's Retry-After asks, up to this.
_LONGEST_RETRY_AFTER_SECONDS = 60.0
_CONNECT_SECONDS, _ANSWER_SECONDS = 10.0, 60.0
_SEND_HEADERS = "send_request_headers.started"
_MAX_ANSWER_BYTES = 4 * 1024 * 1024
# A purchase whose connection stands only so late is not sent: another server may have settled it meanwhile.
_YOUNG_SECONDS = 15.0
_SUCCESSES = frozenset({200, 201, 202, 204})
_HINT_AMBIGUOUS = "It may have been bought, so it must not be sent again before it was looked for."


def _ignore(_method: str, _status: int, _seconds: float) -> None:
    """Count nothing."""


class Transport:
    """Speaks HTTP to one API with one token. It touches no network before the first call.

    Args:
        token: the API key; None if there is none, and then every call raises AuthenticationError.
        token_hint: what to tell a person whose token is missing or refused.
        base_url: where the API is. The token is sent there and nowhere else.
        error_of: what an answer that is not a success means.
        is_refusal: whether such an answer to a purchase proves that nothing was bought.
        transport: carries the bytes; a test gives its own.
        sleep: waits between attempts; a test gives its own.
        on_answer: called after each exchange.
    """

    def __init__(
        self,
        token: str | None,
        *,
        token_hint: str,
        base_url: str,
        error_of: ErrorOf,
        is_refusal: IsRefusal,
        transport: "httpx.AsyncBaseTransport | None",
        sleep: Sleep,
        on_answer: OnAnswer | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._token = token
        self._token_hint = token_hint
        self._error_of = error_of
        self._is_refusal = is_refusal
        self._transport = transport
        self._sleep = sleep
        self._on_answer = on_answer or _ignore
        self._http: httpx.AsyncClient | None = None
        self._purchase_http: httpx.AsyncClient | None = None

    async def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        clients = (self._http, self._purchase_http)
        self._http = self._purchase_http = None
        for client in clients:
            if client is not None:
                await client.aclose()

    def _proxy(self) -> str | None:
        return proxy_for(self.base_url) if self._transport is None else None

    async def purchase(
        self,
        path: str,
        body: dict[str, Any],
        *,
        request_id: str,
        decided_at: float | None = None,
        seconds: float = _ANSWER_SECONDS,
    ) -> bytes:
        """POST once, on a fresh connection.

        Args:
            path: of the operation.
            body: its JSON.
            request_id: names the POST at Luma.
            decided_at: when the ledger last said that the purchase is ours, by `clock.suspend_aware_now`; now by
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
        if self._purchase_http is None:
            # A connection that was idle may be dead without anybody knowing, so none is used again.
            self._purchase_http = open_http(self._transport, proxy=self._proxy(), keep_alive=False)
        began = suspend_aware_now() if decided_at is None else decided_at
        progress = _Progress(seconds)

        async def follow(event: str, info: Any) -> None:
            progress.is_traced = True
            # A CONNECT goes to a proxy, and holds nothing of the purchase.
            if not event.endswith(_SEND_HEADERS) or info["request"].method == b"CONNECT":
                return
            if suspend_aware_now() - began > _YOUNG_SECONDS:
                raise UnreachableError(
                    "This server was stopped before the request could be sent.", "Nothing was sent. Call again."
                )
            progress.has_left = True

        try:
            status, data, headers = await self._send(
                self._purchase_http,
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
        if status in _SUCCESSES:
            return data
        error = self._error(status, data, headers)
        raise error if self._is_refusal(status, data, headers) else ambiguous(error)

    async def read(
        self, method: str, path: str, query: dict[str, Any] | None = None, *, json: dict[str, Any] | None = None
    ) -> bytes:
        """Send what costs nothing; again after a transient error.

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
                is_too_long = retry_after is not None and retry_after > _LONGEST_RETRY_AFTER_SECONDS
                if not error.is_transient or attempt == _ATTEMPTS or is_too_long:
                    raise
                pause = min(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1), _LONGEST_PAUSE_SECONDS)
                jitter = random.uniform(0.5, 1)  # noqa: S311 - no secret
                await self._sleep(retry_after if retry_after is not None else pause * jitter)
            attempt += 1

    async def _exchange(
        self, method: str, path: str, query: dict[str, Any] | None, json: dict[str, Any] | None
    ) -> bytes:
        """One read and the body of its answer."""
        if self._token is None:
            raise AuthenticationError("No Luma token is set.", self._token_hint)
        if self._http is None:
            self._http = open_http(self._transport, proxy=self._proxy())
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
        has_answered, status, began = False, 0, time.monotonic()
        data, response_headers = bytearray(), cast("Mapping[str, str]", {})
        longest = _ANSWER_SECONDS if progress is None else progress.seconds
        try:
            with anyio.fail_after(_CONNECT_SECONDS + longest):
                async with aclosing(await http.send(request, stream=True)) as answer:
                    has_answered, status, response_headers = True, answer.status_code, answer.headers
                    await _read_into(data, answer)
                    return status, bytes(data), response_headers
        except (httpx.DecodingError, httpx.InvalidURL, httpx.CookieConflict) as error:
            raise UnexpectedResponseError(f"Luma's answer cannot be read ({type(error).__name__}).") from error
        except (httpx.HTTPError, httpx.StreamError, TimeoutError, OSError) as error:
            if progress is not None and status in _SUCCESSES and has_id(complete_part(data)):
                return status, to_json(complete_part(data)), response_headers
            never_left = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
            is_unsent = progress is not None and progress.is_unsent
            if is_unsent or (isinstance(error, never_left) and not has_answered):
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
            self._on_answer(method, status, time.monotonic() - began)

    def _error(self, status: int, data: bytes, headers: Mapping[str, str]) -> LumaError:
        error = self._error_of(status, data, headers, time.time())
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
    """The error of a purchase that was sent, and whose answer is lost or cannot be read."""
    return AmbiguousPurchaseError(f"{error} What became of the purchase is not known.", _HINT_AMBIGUOUS)


class _Progress:
    """How far a purchase has come on its way, by httpcore's trace. A transport of a test may trace nothing."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.is_traced = self.has_left = False

    @property
    def is_unsent(self) -> bool:
        """Whether certainly no byte of the purchase was sent, whatever a proxy did to the CONNECT before it."""
        return self.is_traced and not self.has_left


async def _read_into(data: bytearray, answer: "httpx.Response") -> None:
    """Read the body. Raises: UnexpectedResponseError, if it is too long."""
    async with aclosing(cast("AsyncGenerator[bytes]", answer.aiter_bytes())) as blocks:
        async for block in blocks:
            data += block
            if len(data) > _MAX_ANSWER_BYTES:
                raise UnexpectedResponseError(f"Luma answered more than {_MAX_ANSWER_BYTES // 1024 // 1024} MB.")
