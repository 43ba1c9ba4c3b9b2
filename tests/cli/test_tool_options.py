"""Options that are made from a tool's schema, and the arguments that are made from them."""

import argparse
from pathlib import Path

import pytest

from luma_mcp.cli.tool_options import add_clips, add_options, arguments_of, with_files
from luma_mcp.mcp.tools import editing, images, videos

CREATE_VIDEO = next(spec for spec in videos.TOOLS if spec.name == "create_video")
EDIT_VIDEO = editing.TOOLS[0]
CREATE_IMAGE = next(spec for spec in images.TOOLS if spec.name == "create_image")


def parsed(spec, *words: str) -> dict:
    parser = argparse.ArgumentParser()
    add_options(parser, spec, leave_out={"prompt"})
    return arguments_of(spec, parser.parse_args(words))


def test_what_is_not_typed_is_not_sent() -> None:
    assert parsed(CREATE_VIDEO) == {}


def test_pictures_with_a_time_and_with_a_weight_are_objects() -> None:
    assert parsed(CREATE_VIDEO, "--keyframes", "a@b.png@0", "c.png@2.5") == {
        "keyframes": [{"source": "a@b.png", "seconds": 0.0}, {"source": "c.png", "seconds": 2.5}]
    }
    assert parsed(CREATE_IMAGE, "--image-refs", "a.png", "b.png@0.5") == {
        "image_refs": [{"source": "a.png"}, {"source": "b.png", "weight": 0.5}]
    }


def test_numbers_flags_and_choices_have_their_types() -> None:
    arguments = parsed(CREATE_VIDEO, "--take", "3", "--loop", "--aspect-ratio", "16:9")

    assert arguments == {"take": 3, "loop": True, "aspect_ratio": "16:9"}


def test_files_of_any_depth_are_opened_and_texts_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        (tmp_path / name).touch()
    opened: set[Path] = set()

    arguments = with_files(
        {"prompt": "a.png", "start_frame": "a.png", "keyframes": [{"source": "b.png", "seconds": 1}], "take": 2}, opened
    )

    assert arguments == {
        "prompt": "a.png",
        "start_frame": str(tmp_path / "a.png"),
        "keyframes": [{"source": str(tmp_path / "b.png"), "seconds": 1}],
        "take": 2,
    }
    assert opened == {tmp_path}


@pytest.mark.parametrize("value", ["~nosuchuser/a.png", "x" * 5000, "a\0b", "https://a.example/b.png", "nothing.png"])
def test_what_names_no_file_stays_as_it_is(value: str) -> None:
    opened: set[Path] = set()

    assert with_files({"source": value}, opened) == {"source": value}
    assert opened == set()


def test_clips_are_words_with_a_range() -> None:
    parser = argparse.ArgumentParser()
    add_clips(parser, EDIT_VIDEO)
    add_options(parser, EDIT_VIDEO, leave_out={"clips"})

    options = parser.parse_args(["a.mp4", "b.mp4@1.5", "c.mp4@0-2"])

    assert arguments_of(EDIT_VIDEO, options) == {
        "clips": [
            {"source": "a.mp4"},
            {"source": "b.mp4", "start": 1.5},
            {"source": "c.mp4", "start": 0.0, "end": 2.0},
        ]
    }


def test_a_picture_without_its_time_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(CREATE_VIDEO, "--keyframes", "a.png")

    assert "'a.png' is not SOURCE@SECONDS" in capsys.readouterr().err
