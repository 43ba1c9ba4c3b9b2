"""Signed URLs without their signatures.

A signed URL opens a file for a while, so it goes to Luma and nowhere else: not into the ledger, not beside a saved
file. The same file signed twice is the same file, so requests are compared without signatures.
"""

from typing import Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

# A query is signed if it has one of these names: S3, Google, Azure, CloudFront and the older S3 form.
_SIGNATURES = frozenset({"x-amz-signature", "x-goog-signature", "sig", "signature"})
# Names that accompany a signature. Azure's are the fields of a shared access signature.
_PREFIXES = ("x-amz-", "x-goog-")
_COMPANIONS = frozenset(
    {"awsaccesskeyid", "googleaccessid", "expires", "key-pair-id", "policy", "se", "st", "sp", "sv", "sr", "spr", "sip"}
) | {"skoid", "sktid", "skt", "ske", "sks", "skv", "ss", "srt"}


def unsigned(url: str) -> str:
    """The URL without its signature; any other text as it is."""
    if not url.startswith(("https://", "http://")) or "?" not in url:
        return url
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return url
    if not _SIGNATURES.intersection(name.lower() for name, _ in query):
        return url
    remaining = [(name, value) for name, value in query if not _belongs_to_signature(name.lower())]
    return parts._replace(query=urlencode(remaining)).geturl()


def without_signatures(value: Any) -> Any:
    """The same JSON with every URL in it unsigned."""
    if isinstance(value, dict):
        return {name: without_signatures(item) for name, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [without_signatures(item) for item in cast("list[Any]", value)]
    return unsigned(value) if isinstance(value, str) else value


def _belongs_to_signature(name: str) -> bool:
    return name in _SIGNATURES or name in _COMPANIONS or name.startswith(_PREFIXES)
