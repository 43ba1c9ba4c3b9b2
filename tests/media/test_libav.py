"""Versions of PyAV differ; a clip is opened alike with each."""

import av
import pytest

from luma_mcp.media import libav


@pytest.mark.parametrize(
    ("version", "options"),
    [
        ("15.0.0", {"metadata_errors": "ignore"}),
        ("18.1.0", {"metadata_errors": "ignore"}),
        ("19.0.2", {}),
        ("20.1.0rc1", {}),
    ],
)
def test_an_argument_is_passed_to_the_versions_that_have_it(
    version: str, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[dict[str, str]] = []
    monkeypatch.setattr(av, "__version__", version)
    monkeypatch.setattr(av, "open", lambda _file, **values: calls.append(values))
    libav.open_input(None, "mp4")  # type: ignore[arg-type]

    assert calls == [{"format": "mp4", **options}]


def test_the_version_is_that_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    assert libav.version() == av.__version__
    monkeypatch.setattr("importlib.metadata.version", _not_installed)
    assert libav.version() == "none"


def _not_installed(name: str) -> str:
    from importlib.metadata import PackageNotFoundError

    raise PackageNotFoundError(name)
