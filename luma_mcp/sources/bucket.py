"""The person's own bucket, into which local files are uploaded so that Luma can read them by signed links.

Dream Machine reads links only. The bucket stays private: a link opens one file until it expires. The same content is
uploaded once, under its hash. The bucket's own tools find the credentials (AWS_..., GOOGLE_..., AZURE_..., or those of
the machine); this package does not see them.
"""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, urlsplit

import anyio.to_thread

from luma_mcp.domain.addresses import LOOPBACK
from luma_mcp.domain.errors import FileError
from luma_mcp.domain.extras import install_hint
from luma_mcp.domain.url_signatures import unsigned
from luma_mcp.sources.local_files import LocalFile

if TYPE_CHECKING:
    from obstore.store import AzureStore, GCSStore, S3Store

    ObjectStore = AzureStore | GCSStore | S3Store

# Long enough for the longest queue, and for viewing the purchase again the same day.
LINK_LIFETIME = timedelta(hours=6)
_MAX_WHOLE_BYTES = 8 * 1024**2
_RETRY = {"max_retries": 3, "retry_timeout": timedelta(seconds=60)}
_REASONS = {
    "FileNotFoundError": "there is no such bucket",
    "NotFoundError": "there is no such bucket",
    "PermissionDeniedError": "access is refused",
    "UnauthenticatedError": "the credentials are refused",
    "GenericError": "it cannot be reached, or no credentials are found",
}
_CONFIG_NAMES = {"endpoint": "endpoint", "region": "region", "account": "account_name"}


class Bucket:
    """A bucket.

    Args:
        address: `s3://bucket/folder`, `gs://` or `az://`, with `?endpoint=` and `?region=` if they are not in the
            environment; None if it is not set, and then every call states the setting.
        local_api: whether the API is on this machine, so that links may lead there too.
    """

    def __init__(self, address: str | None, *, local_api: bool) -> None:
        self._address = address
        self._local_api = local_api
        self._store: ObjectStore | None = None

    async def put(self, file: LocalFile) -> str:
        """Put a file into the bucket, unless its content is there already; a link that opens it for six hours.

        Raises:
            FileError: there is no bucket, or it cannot be used.
        """
        return await anyio.to_thread.run_sync(self._put, file, abandon_on_cancel=True)

    async def location(self, file: LocalFile) -> str:
        """The URL that a file has in the bucket, without a signature; nothing is put there. Raises: as put."""
        return await anyio.to_thread.run_sync(self._location, file, abandon_on_cancel=True)

    @property
    def is_set(self) -> bool:
        """Whether the person has set one."""
        return self._address is not None

    async def share(self, path: Path, sha256: str, media_type: str) -> str:
        """Put a saved file there, unless its content is there already; a link that opens it for six hours.

        Raises:
            FileError: as put.
        """
        return await anyio.to_thread.run_sync(self._share, path, sha256, media_type, abandon_on_cancel=True)

    def _share(self, path: Path, sha256: str, media_type: str) -> str:
        store = self._open(path.name)
        name = f"{sha256}{path.suffix}"
        try:
            if not self._exists(store, name, path.stat().st_size):
                store.put(name, path, attributes={"Content-Type": media_type})
            return self._link(store, name)
        except Exception as error:
            raise _error_of(error, self._address or "") from error

    def _put(self, file: LocalFile) -> str:
        store = self._open(file.name)
        name = _name_of(file)
        try:
            if not self._exists(store, name, file.size):
                # In parts where it is large; one that cannot be read to its end is not kept.
                content = file.blocks() if file.size > _MAX_WHOLE_BYTES else b"".join(file.blocks())
                store.put(name, content, attributes={"Content-Type": file.media_type})
            return self._link(store, name)
        except FileError:
            raise
        except Exception as error:
            raise _error_of(error, self._address or "") from error

    def _location(self, file: LocalFile) -> str:
        store = self._open(file.name)
        try:
            return unsigned(self._link(store, _name_of(file)))
        except Exception as error:
            raise _error_of(error, self._address or "") from error

    def _exists(self, store: "ObjectStore", name: str, size: int) -> bool:
        try:
            return store.head(name)["size"] == size
        except FileNotFoundError:
            return False

    def _link(self, store: "ObjectStore", name: str) -> str:
        import obstore  # noqa: PLC0415

        link = obstore.sign(store, "GET", name, LINK_LIFETIME)
        if not link.startswith("https://") and not self._local_api:
            raise FileError("The bucket's links are not https, so Luma cannot read them.", "Set an https endpoint.")
        return link

    def _open(self, name: str) -> "ObjectStore":
        if self._address is None:
            raise FileError(
                f"{name!r} is a local file, and Luma reads links only. LUMA_UPLOAD_URL is not set.",
                "Ask the person to set LUMA_UPLOAD_URL to a bucket of theirs (s3://bucket/folder, gs:// or az://) in "
                "this server's environment, or give an https URL.",
            )
        if self._store is None:
            self._store = _open_store(self._address)
        return self._store


def _open_store(address: str) -> "ObjectStore":
    try:
        from obstore.store import AzureStore, GCSStore, S3Store  # noqa: PLC0415 - an extra, and 15 ms
    except ImportError as error:
        raise FileError(
            "LUMA_UPLOAD_URL is set, and the package that it needs is not installed.",
            install_hint("uploads"),
        ) from error
    url = urlsplit(address)
    options = dict(parse_qsl(url.query))
    config: dict[str, Any] = {_CONFIG_NAMES[name]: value for name, value in options.items()}
    kinds = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
    on_loopback = urlsplit(options.get("endpoint", "")).hostname in LOOPBACK
    try:
        return kinds[url.scheme].from_url(
            url._replace(query="").geturl(),
            config=cast("Any", config),
            client_options={"allow_http": True} if on_loopback else {},
            retry_config=cast("Any", _RETRY),
        )
    except Exception as error:
        raise _error_of(error, address) from error


def _name_of(file: LocalFile) -> str:
    return f"{file.sha256}.{file.ending}"


def _error_of(error: Exception, address: str) -> FileError:
    """The error for a refusal of the bucket. Its own message is left out, for it may hold a signature."""
    if isinstance(error, FileError):
        return error
    name = type(error).__name__
    kind = _REASONS.get(name, name)
    label = urlsplit(address)._replace(query="").geturl()
    return FileError(
        f"The bucket {label} of LUMA_UPLOAD_URL cannot be used ({kind}).",
        "Nothing was bought. Check its name, its region and the credentials in this server's environment.",
    )
