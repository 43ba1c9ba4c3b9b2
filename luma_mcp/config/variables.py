"""Environment variables as hosts pass them on: quoted, not replaced by their value, misspelt, or placeholders."""

import re
from collections.abc import Collection, Mapping

# The texts that hosts pass on for a variable that they do not know: ${LUMA_TOKEN}, ${LUMA_TOKEN:-}, ${env:LUMA_TOKEN},
# ${input:luma-token}, ${{ secrets.LUMA_TOKEN }}, {{LUMA_TOKEN}}, {env:LUMA_TOKEN}, $LUMA_TOKEN, $env:LUMA_TOKEN,
# %LUMA_TOKEN%, !LUMA_TOKEN!.
_UNEXPANDED = re.compile(
    r"\$\{\{.*?\}\}|\$\{[^{}]*\}|\{\{[^{}]*\}\}|\{(?:env|input|secrets?|file):[^{}]*\}|\$\([A-Za-z_][^()]*\)"
    r"|\$(?:env:)?[A-Za-z_]\w*|%[A-Za-z_]\w*%|![A-Za-z_]\w*!"
)
# A field of a bundle's configuration form that the user left empty.
_LEFT_BLANK = re.compile(r"\$\{user_config\.[^{}]*\}")
# Placeholders for a key in instructions. A key is random, so only its start is compared.
_PLACEHOLDER_KEY = re.compile(
    r"(luma-)?(api-)?(x{4,}|your|my[-_ ]?(api|key|token)|paste|insert|replace|changeme|example|placeholder|\*).*"
    r"|.*(\.\.\.|\u2026|[<>]).*|(luma-)?(api-)?(key|token)?",
    re.IGNORECASE,
)
_PREFIX = "LUMA_"
# Names of other programs that start the same way: the SDKs of Luma, and the variables of this package's own tests.
_FOREIGN_NAMES = frozenset({"LUMA_API_KEY", "LUMA_AGENTS_API_KEY", "LUMA_CUSTOM_HEADERS", "LUMA_LOG", "LUMA_TOKEN"})


def unquoted(text: str) -> str:
    """The value without the spaces and quotes that copying adds."""
    return text.strip().strip("\"'\u2018\u2019\u201c\u201d").strip()


def is_left_blank(text: str) -> bool:
    """Whether the user left that field of a configuration form empty."""
    return not text or _LEFT_BLANK.fullmatch(text) is not None


def unexpanded_part(text: str) -> str | None:
    """The part of a value that the host should have replaced; None if it has no such part."""
    match = _UNEXPANDED.search(text)
    return match[0] if match else None


def is_placeholder_key(text: str) -> bool:
    """Whether it is a placeholder for a key, as instructions have it."""
    return _PLACEHOLDER_KEY.fullmatch(text) is not None


def unknown_names(variables: Mapping[str, str], known: Collection[str]) -> list[str]:
    """A sentence for each variable that starts with LUMA_ and is no setting, with the most similar name."""
    sentences: list[str] = []
    for name in sorted(variables):
        if not name.upper().startswith(_PREFIX) or name in known or name in _FOREIGN_NAMES:
            continue
        import difflib  # noqa: PLC0415 - rarely needed, and the start of the process does not need it

        near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.75)
        meant = f" Did you mean {near[0]}?" if near else ""
        sentences.append(f"{name} is no setting of this server, so it has no effect.{meant}")
    return sentences
