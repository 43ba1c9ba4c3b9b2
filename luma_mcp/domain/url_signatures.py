"""Signed URLs without their signatures.

A signed URL opens a file for a while, so it goes to Luma and nowhere else: not into the ledger, not next to a saved
file. The same file signed twice is the same file, so requests are compared without signatures.
"""

import re
from typing import Any, cast
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

# A query is signed if it has one of these names: S3, Google, Azure, CloudFront, the older S3 form, and the
# names that content delivery networks and file hosts use.
_SIGNATURES = frozenset(
    {
        "x-amz-signature", "x-goog-signature", "sig", "signature", "token", "access_token", "accesstoken", "auth_token",
        "authtoken", "auth", "authkey", "auth_key", "authorization", "jwt", "hmac", "hdnea", "hdnts", "__token__",
        "x-oss-signature", "q-signature", "x-cos-security-token", "x-bz-signature", "md5hash", "download_token",
        "dl_token", "sign", "wssecret", "txsecret",
    }
)  # fmt: skip
# Names that accompany a signature. Azure's are the fields of a shared access signature.
_PREFIXES = ("x-amz-", "x-goog-", "x-oss-", "q-")
_COMPANIONS = frozenset(
    {
        "awsaccesskeyid", "googleaccessid", "expires", "expire", "expiry", "exp", "key-pair-id", "policy", "se", "st",
        "sp", "sv", "sr", "spr", "sip", "skoid", "sktid", "skt", "ske", "sks", "skv", "ss", "srt", "ts", "timestamp",
        "nonce", "wstime", "txtime", "ossaccesskeyid", "security-token", "e", "t",
    }
)  # fmt: skip
# A long value without words in it is a signature, under any name.
_OPAQUE = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[A-Za-z0-9_\-+/=.~%]{40,}")


def unsigned(url: str) -> str:
    """The URL without its signature; any other text as it is."""
    if not url.startswith(("https://", "http://")) or "?" not in url:
        return url
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return url
    if not any(name.lower() in _SIGNATURES or _OPAQUE.fullmatch(value) for name, value in query):
        return url
    remaining = [pair for pair in query if not _belongs_to_signature(*pair)]
    return parts._replace(query=urlencode(remaining)).geturl()


def canonical_url(url: str) -> str:
    """The URL without its signature, in one spelling of host, port and escapes."""
    try:
        parts = urlsplit(unsigned(url.strip()))
        port = "" if parts.port in (None, 80, 443) else f":{parts.port}"
    except ValueError:
        return url
    path = quote(unquote(parts.path), safe="/~!$&'()*+,;=:@-._")
    return f"{parts.scheme.lower()}://{(parts.hostname or '').lower()}{port}{path}?{parts.query}"


def without_signatures(value: Any) -> Any:
    """The same JSON with every URL in it unsigned. A tuple counts as a list."""
    if isinstance(value, dict):
        return {name: without_signatures(item) for name, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [without_signatures(item) for item in cast("list[Any]", value)]
    return unsigned(value) if isinstance(value, str) else value


def _belongs_to_signature(name: str, value: str) -> bool:
    name = name.lower()
    return (
        name in _SIGNATURES or name in _COMPANIONS or name.startswith(_PREFIXES) or _OPAQUE.fullmatch(value) is not None
    )
