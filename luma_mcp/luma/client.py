"""The one place where bytes go to Luma and come back. One method for each endpoint.

Reads are repeated when they fail in passing. What costs money is sent once: Luma has no idempotency key, so a second
POST is a second purchase.
"""

import random
import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, cast

import anyio

from luma_mcp import __version__
from luma_mcp.luma import rules, wire
from luma_mcp.luma.errors import (
    AmbiguousPurchaseError,
    AuthenticationError,
    NoAnswerError,
    NotFoundError,
    RateLimitError,
    ServerError,
    UnexpectedResponseError,
    UnreachableError,
)
from luma_mcp.luma.models import (
    AddAudioRequest,
    Generation,
    ImageRequest,
    ModifyVideoRequest,
    Page,
    ReframeImageRequest,
    ReframeVideoRequest,
    Request,
    UpscaleRequest,
    VideoRequest,
)

if TYPE_CHECKING:
    import httpx

DEFAULT_BASE_URL: Final = "https://api.lumalabs.ai/dream-machine/v1"

Sleep = Callable[[float], Awaitable[None]]

_ATTEMPTS = 3
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 8.0
# A read may be put off by what Luma asks for, but nobody waits longer for one answer.
_LONGEST_RETRY_AFTER_SECONDS = 60.0
_CONNECT_SECONDS, _ANSWER_SECONDS = 10.0, 60.0
_MOST_BYTES = 4 * 1024 * 1024
_READ_BYTES = 256 * 1024
_SUCCESSES = frozenset({200, 201, 204})
HINT_CA: Final = (
    "A company's proxy may sign in its place: set SSL_CERT_FILE to a file with that company's CA, "
    "or have the system trust it."
)
_HINT_AMBIGUOUS = "It may have been bought, so it must not be sent again before it was looked for."


def open_http(transport: "httpx.AsyncBaseTransport | None" = None, *, by_proxy: bool = True) -> "httpx.AsyncClient":
    """An HTTP client with no credentials in it, trusting what the operating system trusts.

    It goes by way of the proxy that the environment names, unless it has a transport of its own or shall go direct.
    """
    import httpcore  # noqa: PLC0415 - costs 50 ms, which the start of the process shall not pay
    import httpx  # noqa: PLC0415
    import truststore  # noqa: PLC0415

    # httpx reads by httpcore, which takes 64 KB at a time. Each piece costs the same, whatever its size.
    httpcore.AsyncHTTP11Connection.READ_NUM_BYTES = _READ_BYTES  # pyright: ignore[reportAttributeAccessIssue]

    return httpx.AsyncClient(
        transport=transport,
        trust_env=by_proxy,
        verify=truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        timeout=httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
        # Nothing compressed: a small answer could unpack to a very large one.
        headers={"Accept-Encoding": "identity", "User-Agent": f"dream-machine-mcp/{__version__}"},
    )


def certificate_is_refused(error: BaseException | None) -> bool:
    """Whether it failed because nobody whom this machine trusts vouches for the other side."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None


class LumaClient:
    """An account at Luma.

    Args:
        token: the API key; None if there is none, and then every call says so.
        token_hint: what to tell a person whose token is missing or refused.
        base_url: where the API is; the token is sent there and nowhere else.
        transport: how bytes travel; a test hands in its own.
        sleep: how to wait between attempts; a test hands in its own.

    Every method raises `LumaError`s and nothing else. It is made without touching the network and opens its
    connections at the first call; `close` may be called at any time.
    """

    def __init__(
        self,
        token: str | None,
        *,
        token_hint: str = "",
        base_url: str = DEFAULT_BASE_URL,
        transport: "httpx.AsyncBaseTransport | None" = None,
        sleep: Sleep = anyio.sleep,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._token = token
        self._token_hint = token_hint
        self._transport = transport
        self._sleep = sleep
        self._http: httpx.AsyncClient | None = None

    def __repr__(self) -> str:
        return f"LumaClient(base_url={self.base_url!r})"

    async def close(self) -> None:
        """Give back the connections. A later call opens new ones."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def create_video(self, request: VideoRequest) -> Generation:
        """Spends. Raises: AmbiguousPurchaseError when it may have been bought; other errors mean it was not."""
        return await self._purchase(request)

    async def create_image(self, request: ImageRequest) -> Generation:
        """Spends, as create_video does."""
        return await self._purchase(request)

    async def reframe_video(self, request: ReframeVideoRequest) -> Generation:
        """Spends, as create_video does."""
        return await self._purchase(request)

    async def reframe_image(self, request: ReframeImageRequest) -> Generation:
        """Spends, as create_video does."""
        return await self._purchase(request)

    async def modify_video(self, request: ModifyVideoRequest) -> Generation:
        """Spends, as create_video does."""
        return await self._purchase(request)

    async def upscale_video(self, request: UpscaleRequest) -> Generation:
        """Spends, as create_video does. Answers a new generation."""
        return await self._purchase(request)

    async def add_audio(self, request: AddAudioRequest) -> Generation:
        """Spends, as create_video does. Answers a new generation."""
        return await self._purchase(request)

    async def get_generation(self, generation_id: str) -> Generation:
        """Raises: NotFoundError."""
        return wire.read_generation(await self._of_one("GET", generation_id))

    async def list_generations(self, *, limit: int = 20, offset: int = 0) -> Page:
        """Newest first. Large limits are known to make Luma answer 500."""
        return wire.read_page(await self._read("GET", "/generations", {"limit": limit, "offset": offset}))

    async def delete_generation(self, generation_id: str) -> None:
        """Raises: NotFoundError."""
        await self._of_one("DELETE", generation_id)

    async def get_credit_usd(self) -> float:
        """What is left in the account, in dollars."""
        return wire.read_credit_usd(await self._read("GET", "/credits"))

    async def ping(self) -> None:
        """Returns if Luma answers and takes the token."""
        await self._read("GET", "/ping")

    async def list_concepts(self) -> tuple[str, ...]:
        """The camera concepts that `VideoRequest.concepts` takes."""
        return wire.read_words(await self._read("GET", "/generations/concepts/list"))

    async def list_camera_motions(self) -> tuple[str, ...]:
        """Words for a prompt. An older endpoint that may be gone."""
        return wire.read_words(await self._read("GET", "/generations/camera_motion/list"))

    async def _of_one(self, method: str, generation_id: str) -> bytes:
        try:
            return await self._read(method, wire.one_generation(generation_id))
        except NotFoundError as error:
            raise NotFoundError(f"No generation has the id {generation_id}.", error.hint) from error

    async def _purchase(self, request: Request) -> Generation:
        """POST once."""
        rules.check(request)
        path = wire.endpoint(request)
        try:
            return wire.read_generation(await self._exchange("POST", path, json=wire.body(request)))
        except (NoAnswerError, ServerError, UnexpectedResponseError) as error:
            raise AmbiguousPurchaseError(
                f"{error} What became of the purchase is not known.", _HINT_AMBIGUOUS
            ) from error

    async def _read(self, method: str, path: str, query: dict[str, int] | None = None) -> bytes:
        """GET or DELETE, repeated while it fails in passing. A DELETE that was done already counts as done."""
        attempt = 1
        while True:
            try:
                return await self._exchange(method, path, query=query)
            except (UnreachableError, ServerError, RateLimitError) as error:
                asked = getattr(error, "retry_after", None)
                if attempt == _ATTEMPTS or (asked is not None and asked > _LONGEST_RETRY_AFTER_SECONDS):
                    raise
                pause = min(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1), _LONGEST_PAUSE_SECONDS)
                await self._sleep(asked if asked is not None else pause * random.uniform(0.5, 1))  # noqa: S311
            except NotFoundError:
                if method == "DELETE" and attempt > 1:
                    return b""
                raise
            attempt += 1

    async def _exchange(
        self, method: str, path: str, *, query: dict[str, int] | None = None, json: dict[str, Any] | None = None
    ) -> bytes:
        """One request and its answer."""
        if self._token is None:
            raise AuthenticationError("No Luma token is set.", self._token_hint)
        status, data, headers = await self._send(method, path, self._token, params=query, json=json)
        if status in _SUCCESSES:
            return data
        error = wire.error_of(status, data, headers, time.time())
        if isinstance(error, AuthenticationError):
            raise AuthenticationError(str(error), self._token_hint)
        raise error

    async def _send(self, method: str, path: str, token: str, **content: Any) -> tuple[int, bytes, Mapping[str, str]]:
        """Status, body and headers of the answer; the body is read to a limit.

        The whole exchange has a deadline of its own, for httpx counts anew with each byte that drips in.
        """
        import httpx  # noqa: PLC0415 - see open_http

        if self._http is None:
            self._http = open_http(self._transport)
        url = self.base_url + path
        try:
            with anyio.fail_after(_CONNECT_SECONDS + _ANSWER_SECONDS):
                async with self._http.stream(
                    method, url, headers={"Authorization": f"Bearer {token}"}, **content
                ) as answer:
                    return answer.status_code, await _limited(answer), answer.headers
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
            if certificate_is_refused(error):
                raise UnreachableError(
                    f"The certificate of {self.base_url} is not trusted here.", f"Nothing was sent. {HINT_CA}"
                ) from error
            raise UnreachableError(
                f"Luma cannot be reached at {self.base_url} ({type(error).__name__}).",
                "Nothing was sent. Check the network, the proxy settings and LUMA_BASE_URL, then call again.",
            ) from error
        except (httpx.TransportError, TimeoutError) as error:
            raise NoAnswerError(
                f"Luma did not answer at {self.base_url} ({type(error).__name__}).", "Call again in a moment."
            ) from error
        except (httpx.InvalidURL, httpx.DecodingError) as error:
            raise UnexpectedResponseError(f"Luma's answer cannot be read ({type(error).__name__}).") from error


async def _limited(answer: "httpx.Response") -> bytes:
    data = bytearray()
    async with aclosing(cast("AsyncGenerator[bytes]", answer.aiter_bytes())) as blocks:
        async for block in blocks:
            data += block
            if len(data) > _MOST_BYTES:
                raise UnexpectedResponseError(f"Luma answered more than {_MOST_BYTES // 1024 // 1024} MB.")
    return bytes(data)
