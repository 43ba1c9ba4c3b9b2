"""Bearer tokens of a team server: the forms that the settings accept."""

import re
from collections.abc import Sequence

from luma_mcp.domain.text import plain_form

MIN_TOKEN_LENGTH = 16
# Words in bearer tokens that everybody tries first.
_TRIED_WORDS = (
    "changeme", "password", "passw0rd", "secret", "letmein", "qwerty", "12345678", "abcdefg", "example", "default",
)  # fmt: skip
PERSON_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
"""What the settings may call a person. Who signs in is `SUBJECT@ISSUER`, so the two are never the same."""


def named_token(text: str) -> tuple[str, str]:
    """The name and the token of `name:token`; without a name it is empty."""
    name, colon, token = text.partition(":")
    return (name, token) if colon and PERSON_NAME.fullmatch(name) else ("", text)


def check_tokens(texts: Sequence[str]) -> None:
    """Raises: ValueError, if a token is easy to guess, or two persons have the same one."""
    tokens = [named_token(text) for text in texts]
    if not all(is_hard_to_guess(token) for _, token in tokens):
        raise ValueError(
            f"each must have {MIN_TOKEN_LENGTH} characters or more, and be random: "
            'python -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
    persons: dict[str, str] = {}
    for name, token in tokens:
        if persons.setdefault(token, name) != name:
            raise ValueError(f"{persons[token] or 'nobody'} and {name or 'nobody'} have the same token")


def is_hard_to_guess(token: str) -> bool:
    """Whether a bearer token looks random: long, of many letters, without a word that everybody tries, not repeated."""
    plain = plain_form(token)
    is_repeated = any(plain == plain[:length] * (len(plain) // length) for length in range(1, len(plain) // 2 + 1))
    has_word = any(word in plain for word in _TRIED_WORDS)
    return len(token) >= MIN_TOKEN_LENGTH and len(set(plain)) >= 8 and not is_repeated and not has_word
