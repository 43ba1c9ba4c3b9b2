"""Extras, and how they are installed."""

import tomllib
from pathlib import Path
from typing import get_args

from luma_mcp.domain.extras import Extra, install_hint

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


def test_each_extra_of_the_package_is_known() -> None:
    assert set(get_args(Extra)) == set(PROJECT["optional-dependencies"])


def test_the_hint_works_before_a_release_and_names_no_other_package() -> None:
    hint = install_hint("postgres")

    assert "uv tool install '.[postgres]'" in hint
    assert "uvx" not in hint
