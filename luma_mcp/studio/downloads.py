"""Assets -> files, inside one folder. The token is not here: assets are fetched by a client that has none."""

import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import anyio

from luma_mcp.luma.client import open_http
from luma_mcp.luma.errors import FileError
from luma_mcp.luma.models import Generation
from luma_mcp.luma.wire import quoted
from luma_mcp.studio import guard
from luma_mcp.studio.files import LONGEST_NAME, MOST_BYTES, PartFile, safe_name

if TYPE_CHECKING:
    import httpx

Asset = Literal["video", "image", "preview"]
OnBytes = Callable[[int, int | None], Awaitable[None]]

_SPARE_BYTES = 64 * 1024**2
_BLOCK_BYTES = 1024**2
_STALL_SECONDS, _WHOLE_SECONDS = 30.0, 900.0
_ATTEMPTS = 3
_MOST_REDIRECTS = 4
_GONE = frozenset({401, 403, 404, 410})


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that is there now."""

    generation_id: str
    path: Path
    size_bytes: int
    sha256: str
    media_type: str
    url: str


class Downloads:
    """Keeps assets in a folder.

    Args:
        folder: where files go, made when the first one comes; a function, for finding the default costs time.
        api_url: the API's base URL; assets may come from the same host even if it is on this machine.
        transport: how bytes travel; a test hands in its own.
        look_up: how names become addresses; a test hands in its own.
    """

    def __init__(
        self,
        folder: Callable[[], Path],
        *,
        api_url: str,
        transport: "httpx.AsyncBaseTransport | None" = None,
        look_up: guard.Resolve = guard.resolve,
    ) -> None:
        self._folder = folder
        self._api_url = api_url
        self._transport = transport
        self._look_up = look_up
        self._http: httpx.AsyncClient | None = None

    async def close(self) -> None:
        """Give back the connections."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def keep(
        self, generation: Generation, *, asset: Asset | None = None, directory: str | None = None, on_bytes: OnBytes
    ) -> Kept:
        """Save an asset of a generation; what it was made for, unless another is named.

        The same file is not saved twice: if it is there already under that name, that one is answered.

        Raises:
            FileError: there is no such asset, or it cannot be fetched or saved. Nothing is left behind.
        """
        url = link(generation, asset)
        target = self._inside(directory)
        name = name_for(generation) if asset is None else f"{name_for(generation)}-{asset}"
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with anyio.fail_after(_WHOLE_SECONDS):
                    return await self._fetch(generation.id, url, target, name, on_bytes)
            except _CutShortError as error:
                if attempt == _ATTEMPTS:
                    raise FileError(str(error), "Nothing was lost at Luma; call download_generation again.") from error
            except TimeoutError:
                raise FileError("The download took too long.", "Call download_generation again.") from None
            except OSError as error:
                raise FileError(
                    f"The file cannot be saved in {target}: {error.strerror or type(error).__name__}.",
                    "Free some space there, or set LUMA_OUTPUT_DIR to a folder that can be written.",
                ) from error
        raise AssertionError("unreachable")  # pragma: no cover

    def _inside(self, directory: str | None) -> Path:
        """The folder to save in; a directory that is asked for must lie in the output folder."""
        root = self._folder()
        if directory is None:
            return root
        try:
            root = root.resolve()
            target = (root / Path(directory).expanduser()).resolve()
        except (OSError, RuntimeError, ValueError):
            target = Path("/")
        if not target.is_relative_to(root):
            raise FileError(
                f"The directory {quoted(directory, 80)!r} is outside the output folder {root}.",
                "Name a folder inside it, or none. Only the person can change LUMA_OUTPUT_DIR.",
            )
        return target

    async def _fetch(self, generation_id: str, url: str, target: Path, name: str, on_bytes: OnBytes) -> Kept:
        import httpx  # noqa: PLC0415 - see open_http

        at = url
        for _ in range(_MOST_REDIRECTS + 1):
            destination = await guard.checked(at, api_url=self._api_url, look_up=self._look_up)
            try:
                answer = await self._get(destination)
                async with aclosing(answer):
                    if answer.has_redirect_location:
                        at = str(answer.url.copy_with(host=destination.host).join(answer.headers["location"]))
                        continue
                    length = _length(answer)
                    _check_space(target, length)
                    stream = cast("AsyncGenerator[bytes]", answer.aiter_raw(_BLOCK_BYTES))
                    async with await PartFile.begin(target) as part, aclosing(stream) as blocks:
                        async for block in blocks:
                            await part.write(block)
                            await on_bytes(part.size, length)
                        if length is not None and part.size != length:
                            raise _CutShortError(f"The download broke off after {part.size} of {length} bytes.")
                        path = await part.finish(name)
                        return Kept(generation_id, path, part.size, part.sha256, part.media_type, url)
            except httpx.TransportError as error:
                raise _CutShortError(f"The download broke off ({type(error).__name__}).") from error
        raise FileError("The link leads from one address to the next without end.")

    async def _get(self, destination: guard.Destination) -> "httpx.Response":
        """Ask for it at each of its checked addresses in turn."""
        import httpx  # noqa: PLC0415

        if self._http is None:
            self._http = open_http(self._transport)
        timeout = httpx.Timeout(_STALL_SECONDS, connect=10)
        url = httpx.URL(destination.url)
        if not destination.addresses:
            return await self._http.send(self._http.build_request("GET", url, timeout=timeout), stream=True)
        host = destination.host if url.port is None else f"{destination.host}:{url.port}"
        trouble: httpx.TransportError | None = None
        for address in destination.addresses:
            request = self._http.build_request(
                "GET",
                url.copy_with(host=address),
                headers={"Host": host},
                extensions={"sni_hostname": destination.host},
                timeout=timeout,
            )
            try:
                return await self._http.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                trouble = error
        raise trouble or httpx.ConnectError("no address")


class _CutShortError(Exception):
    """A download that may go better a second time."""


def _length(answer: "httpx.Response") -> int | None:
    """What the answer says it is long. Raises: FileError, if it is no answer to be saved."""
    if answer.status_code in _GONE:
        raise FileError(
            f"The asset is gone or its link has expired ({answer.status_code}).",
            "get_generation may give a new link.",
        )
    if answer.status_code >= 500:
        raise _CutShortError(f"The asset's server failed ({answer.status_code}).")
    if answer.status_code != 200:
        raise FileError(f"The asset's server answered {answer.status_code}.")
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise FileError("The asset came compressed, which was not asked for.")
    said = answer.headers.get("content-length", "")
    length = int(said) if said.isdecimal() else None
    if length is not None and length > MOST_BYTES:
        raise FileError(f"The asset is larger than {MOST_BYTES // 1024**3} GB.")
    return length


def _check_space(folder: Path, length: int | None) -> None:
    there = next(one for one in (folder, *folder.parents) if one.exists())
    if shutil.disk_usage(there).free < (length or 0) + _SPARE_BYTES:
        raise FileError(f"There is not enough free space in {folder}.", "Free some, or set LUMA_OUTPUT_DIR elsewhere.")


def link(generation: Generation, asset: Asset | None) -> str:
    """The link of an asset. Raises: FileError, if there is none (yet)."""
    assets = generation.assets
    links = {
        "video": assets and assets.video,
        "image": assets and assets.image,
        "preview": assets and assets.progress_video,
    }
    wanted: Asset = asset or ("image" if generation.is_picture else "video")
    found = links[wanted]
    if found:
        return found
    if generation.state == "failed":
        raise FileError(f"Generation {generation.id} failed, so it has no {wanted}.")
    if generation.is_final:
        raise FileError(f"Generation {generation.id} has no {wanted}.", "get_generation lists what it has.")
    raise FileError(
        f"Generation {generation.id} is still {quoted(generation.state, 40)}, so it has no {wanted}.",
        f'Wait for it first: wait_for_generation(generation_ids=["{generation.id}"]).',
    )


def name_for(generation: Generation) -> str:
    """A file name, without ending, from the prompt and the id."""
    prompt = generation.request.get("prompt")
    said = safe_name(prompt if isinstance(prompt, str) else "")
    begun = safe_name(generation.id)[:8]
    return f"{said[: LONGEST_NAME - 9].rstrip('-')}-{begun}" if said else f"{safe_name(generation.kind)}-{begun}"
