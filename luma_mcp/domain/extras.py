"""The extras of this package, which not every user needs."""

from typing import Literal

Extra = Literal["uploads", "postgres", "metrics", "socks", "completion", "worker"]


def install_hint(extra: Extra) -> str:
    """How to install an extra; it works before the package is released, and for a program that uv installed."""
    return (
        f"It needs the extra `{extra}`: in a copy of the repository, uv tool install '.[{extra}]' "
        f"or pip install '.[{extra}]'."
    )
