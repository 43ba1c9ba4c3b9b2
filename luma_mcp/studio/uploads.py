"""Where local files are put so that Luma can read them: a bucket of the person's own, by links signed for a while.

Luma takes links only. The bucket stays private: a link opens one file until it expires. The same content is put there
once, under its hash. The credentials are the bucket's own and are found as its tools find them (AWS_..., GOOGLE_...,
AZURE_..., or what the machine is given); this package does not see them.
"""

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, urlsplit

import anyio.to_thread

from luma_mcp.luma.errors import FileError
from luma_mcp.studio.guard import LOOPBACK, is_private
from luma_mcp.studio.inputs import LocalFile
from luma_mcp.studio.links import unsigned

if TYPE_CHECKING:
    from obstore.store import AzureStore, GCSStore, S3Store

    Bucket = AzureStore | GCSStore | S3Store

SCHEMES = ("s3", "gs", "az")
OPTIONS = ("endpoint", "region", "account")
# Long enough for the longest queue, and for looking at the purchase again the same day.
LINKS_LAST = timedelta(hours=6)
_RETRY = {"max_retries": 3, "retry_timeout": timedelta(seconds=60)}
_TROUBLES = {
    "FileNotFoundError": "there is no such bucket",
    "NotFoundError": "there is no such bucket",
    "PermissionDeniedError": "access is refused",
    "UnauthenticatedError": "the credentials are refused",
    "GenericError": "it cannot be reached, or no credentials are found",
}
_CONFIG_NAMES = {"endpoint": "endpoint", "region": "region", "account": "account_name"}


def check_address(url: str) -> None:
    """Raises: ValueError, if it is not the address of a bucket."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.netloc:
        raise ValueError("it must be a bucket: s3://bucket/folder, gs://bucket/folder or az://container/folder")
    if parts.username or parts.password or parts.fragment:
        raise ValueError("it must hold no credentials; they are set as for the bucket's own tools")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not set(options) <= set(OPTIONS):
        raise ValueError("its options may be ?endpoint=..., ?region=... and ?account=...")
    endpoint = urlsplit(options.get("endpoint", "https://default"))
    if not is_private(endpoint):
        raise ValueError("its endpoint must begin with https:// (http:// only on loopback)")


class Uploads:
    """Puts files into a bucket.

    Args:
        address: `s3://bucket/folder`, `gs://` or `az://`, with `?endpoint=` and `?region=` if they are not in the
            environment; None if the person has set none, and then every call says what to set.
        local_api: whether the API is on this machine, so that links may lead there too.
    """

    def __init__(self, address: str | None, *, local_api: bool) -> None:
        self._address = address
        self._local_api = local_api
        self._bucket: Bucket | None = None

    async def link_to(self, file: LocalFile) -> str:
        """Put a file there, unless its content is there already; a link that opens it for six hours.

        Raises:
            FileError: there is no bucket, or it cannot be used.
        """
        return await anyio.to_thread.run_sync(self._put, file, abandon_on_cancel=True)

    async def where(self, file: LocalFile) -> str:
        """Where it would be put, without putting it. Raises: as link_to."""
        return await anyio.to_thread.run_sync(self._where, file, abandon_on_cancel=True)

    def _put(self, file: LocalFile) -> str:
        bucket = self._open(file.name)
        name = _name_of(file)
        try:
            if not self._is_there(bucket, name, len(file.data)):
                bucket.put(name, file.data, attributes={"Content-Type": file.media_type})
            return self._link(bucket, name)
        except Exception as error:
            raise _said(error, self._address or "") from error

    def _where(self, file: LocalFile) -> str:
        bucket = self._open(file.name)
        try:
            return unsigned(self._link(bucket, _name_of(file)))
        except Exception as error:
            raise _said(error, self._address or "") from error

    def _is_there(self, bucket: "Bucket", name: str, size: int) -> bool:
        try:
            return bucket.head(name)["size"] == size
        except FileNotFoundError:
            return False

    def _link(self, bucket: "Bucket", name: str) -> str:
        import obstore  # noqa: PLC0415

        link = obstore.sign(bucket, "GET", name, LINKS_LAST)
        if not link.startswith("https://") and not self._local_api:
            raise FileError("The bucket's links are not https, so Luma cannot read them.", "Set an https endpoint.")
        return link

    def _open(self, name: str) -> "Bucket":
        if self._address is None:
            raise FileError(
                f"{name!r} is a local file, and Luma reads links only. LUMA_UPLOAD_URL is not set.",
                "Ask the person to set LUMA_UPLOAD_URL to a bucket of theirs (s3://bucket/folder, gs:// or az://) in "
                "this server's environment, or give an https URL.",
            )
        if self._bucket is None:
            self._bucket = _bucket_at(self._address)
        return self._bucket


def _bucket_at(address: str) -> "Bucket":
    try:
        from obstore.store import AzureStore, GCSStore, S3Store  # noqa: PLC0415 - an extra, and 15 ms
    except ImportError as error:
        raise FileError(
            "LUMA_UPLOAD_URL is set, and the package that it needs is not installed.",
            "Install dream-machine-mcp[uploads]; with uvx: uvx --from 'dream-machine-mcp[uploads]' dream-machine-mcp",
        ) from error
    parts = urlsplit(address)
    given = dict(parse_qsl(parts.query))
    config: dict[str, Any] = {_CONFIG_NAMES[name]: value for name, value in given.items()}
    kinds = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
    on_loopback = urlsplit(given.get("endpoint", "")).hostname in LOOPBACK
    try:
        return kinds[parts.scheme].from_url(
            parts._replace(query="").geturl(),
            config=cast("Any", config),
            client_options={"allow_http": True} if on_loopback else {},
            retry_config=cast("Any", _RETRY),
        )
    except Exception as error:
        raise _said(error, address) from error


def _name_of(file: LocalFile) -> str:
    return f"{file.sha256}.{file.ending}"


def _said(error: Exception, address: str) -> FileError:
    """What a bucket refuses, without its own words: those may hold a signature."""
    if isinstance(error, FileError):
        return error
    name = type(error).__name__
    kind = _TROUBLES.get(name, name)
    shown = urlsplit(address)._replace(query="").geturl()
    return FileError(
        f"The bucket {shown} of LUMA_UPLOAD_URL cannot be used ({kind}).",
        "Nothing was bought. Check its name, its region and the credentials in this server's environment.",
    )
