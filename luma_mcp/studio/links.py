"""Links without the signatures that open them.

A signed link is a key to a file for a while. It goes to Luma and nowhere else: not into the book, not beside a saved
file. And the same file signed twice is the same file, so requests are compared without signatures.
"""

from typing import Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

# A query is a signed one if it has one of these: S3, Google, Azure, CloudFront and the older S3 form.
_SIGNATURES = frozenset({"x-amz-signature", "x-goog-signature", "sig", "signature"})
# What comes with them. Azure's are the fields of a shared access signature.
_BEGINNINGS = ("x-amz-", "x-goog-")
_COMPANIONS = frozenset(
    {"awsaccesskeyid", "googleaccessid", "expires", "key-pair-id", "policy", "se", "st", "sp", "sv", "sr", "spr", "sip"}
) | {"skoid", "sktid", "skt", "ske", "sks", "skv", "ss", "srt"}


def unsigned(url: str) -> str:
    """The link without its signature; any other text as it is."""
    if not url.startswith(("https://", "http://")) or "?" not in url:
        return url
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return url
    if not _SIGNATURES.intersection(name.lower() for name, _ in query):
        return url
    kept = [(name, value) for name, value in query if not _is_signing(name.lower())]
    return parts._replace(query=urlencode(kept)).geturl()


def all_unsigned(value: Any) -> Any:
    """The same JSON with every link in it unsigned."""
    if isinstance(value, dict):
        return {name: all_unsigned(one) for name, one in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [all_unsigned(one) for one in cast("list[Any]", value)]
    return unsigned(value) if isinstance(value, str) else value


def _is_signing(name: str) -> bool:
    return name in _SIGNATURES or name in _COMPANIONS or name.startswith(_BEGINNINGS)
