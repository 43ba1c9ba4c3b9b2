"""Bearer tokens of a team server: the formats that the settings accept."""

import re
from collections.abc import Sequence

from luma_mcp.domain.text import alphanumeric

MIN_TOKEN_LENGTH = 16
# Words in bearer tokens that are guessed first.
_COMMON_PASSWORDS = (
    "changeme", "password", "passw0rd", "secret", "letmein", "qwerty", "12345678", "abcdefg", "example", "default",
)  # fmt: skip
# The rest of a token without common words and rows of letters must still be random.
_COMMON_WORDS = re.compile(
    "luma|dream|machine|token|bearer|team|admin|test|demo|hello|welcome|server|owner|key|mcp|api"
)
_FORWARD = (
    "abcdefghijklmnopqrstuvwxyz",
    "0123456789",
    "1234567890",
    "qwertyuiop",
    "qwertzuiop",
    "asdfghjkl",
    "zxcvbnm",
)
_ROWS = (*_FORWARD, *(row[::-1] for row in _FORWARD))
_MIN_ROW = 4
_MIN_RANDOM_LENGTH, _MIN_LETTERS = 12, 8
_TOKEN = re.compile(r"[^\s:]+")
PERSON_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
"""A person's name in the settings. A person who signs in is named `SUBJECT@ISSUER`, so the two never coincide."""


def named_token(text: str) -> tuple[str, str]:
    """The name and the token of `name:token`; without a name it is empty."""
    name, colon, token = text.partition(":")
    return (name, token) if colon and PERSON_NAME.fullmatch(name) else ("", text)


def check_tokens(texts: Sequence[str]) -> None:
    """Raises: ValueError, if a token is easy to guess, is malformed, or belongs to two persons."""
    tokens = [named_token(text) for text in texts]
    if any(not _TOKEN.fullmatch(token) for _, token in tokens):
        raise ValueError(
            "each is a token or NAME:TOKEN; a name begins with a letter and has letters, digits, dots, - and _ only, "
            "a token no spaces and no colon"
        )
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
    """Whether a bearer token looks random: long, of many letters, no words, no rows of letters, not repeated."""
    plain = alphanumeric(token)
    is_repeated = any(plain == plain[:length] * (len(plain) // length) for length in range(1, len(plain) // 2 + 1))
    # Words are letters of one case, and random text of that length has digits too.
    has_common_word = any(word in plain for word in _COMMON_PASSWORDS) or (
        plain.isalpha() and token in (token.lower(), token.upper())
    )
    rest = _without_rows(_COMMON_WORDS.sub("", plain))
    is_long = len(token) >= MIN_TOKEN_LENGTH and len(rest) >= _MIN_RANDOM_LENGTH
    return is_long and len(set(rest)) >= _MIN_LETTERS and not is_repeated and not has_common_word


def _without_rows(plain: str) -> str:
    """The text without rows of four and more letters of the alphabet, digits or keys of a keyboard."""
    for row in _ROWS:
        for length in range(len(row), _MIN_ROW - 1, -1):
            for start in range(len(row) - length + 1):
                plain = plain.replace(row[start : start + length], "")
    return plain
