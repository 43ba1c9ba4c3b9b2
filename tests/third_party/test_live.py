"""The walk with one's own key, here against the emulator: what it prints, and that it buys only when it is told to."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.calls import emulated
from tests.support.stdio_process import INHERITED

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("key", ["luma-api-x", "x"])
def test_it_says_its_price_and_buys_only_when_it_is_told_to(tmp_path: Path, key: str) -> None:
    with emulated() as base_url:
        environment = {**INHERITED, "LUMA_TOKEN": key, "LUMA_BASE_URL": base_url}
        command = [sys.executable, "-m", "benchmarks.live", "--keep", str(tmp_path)]
        printed = [
            subprocess.run([*command, *more], env=environment, capture_output=True, text=True, timeout=120, check=True)
            for more in ([], ["--buy"])
        ]

    assert "Nothing was bought" in printed[0].stdout
    assert "a picture costs $0.0" in printed[0].stdout
    assert "state: completed" in printed[1].stdout
    assert [path.suffix for path in tmp_path.iterdir() if path.suffix in (".png", ".jpg")]
