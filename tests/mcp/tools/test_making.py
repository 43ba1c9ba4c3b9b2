"""What makers ask `edit_video` for first, as a model calls it."""

import json
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from tests.support.agent import Agent, once

pytestmark = [pytest.mark.anyio, pytest.mark.medium]

FORM = {"resolution": "540p", "model": "ray-flash-2"}
SRT = "1\n00:00:00,500 --> 00:00:01,500\nHello\n"


@pytest.mark.child_process
@once
async def test_everything_at_once_becomes_one_file_with_a_sidecar(agent: Agent, output: Path) -> None:
    clip = await agent.make("create_video", prompt="a boat", **FORM)
    output.mkdir(parents=True, exist_ok=True)
    Image.new("RGBA", (40, 20), (255, 0, 0, 255)).save(output / "logo.png")
    (output / "words.srt").write_text(SRT)
    sounding = await agent.make("add_audio", generation_id=clip, prompt="waves")
    (music,) = (await agent.call("download_generation", generation_ids=[sounding]))["files"]
    arguments: dict[str, Any] = {
        "clips": [
            {"source": clip, "start": 1, "end": 2, "speed": 2, "reverse": True},
            {"source": "logo.png", "end": 0.5},
            {"source": sounding, "end": 1, "volume": 0},
        ],
        "aspect_ratio": "9:16", "fit": "contain", "bar_color": "#ff8800", "width": 90, "fps": 25,
        "fade_in_seconds": 0.2, "fade_out_seconds": 0.2, "seconds": 3,
        "sound": [{"source": music["path"], "start": 1, "volume": 0.5, "loop": True, "duck": True, "fade_seconds": 0}],
        "captions": "words.srt", "burn_captions": True,
        "overlays": [{"source": "logo.png", "corner": "top-right", "scale": 0.2, "opacity": 0.5, "start": 1, "end": 2}],
        "max_mb": 5,
    }  # fmt: skip
    (made,) = (await agent.call("edit_video", **arguments))["files"]
    path = Path(made["path"])
    with av.open(made["path"]) as container:
        video = container.streams.video[0]
        assert (video.width, video.height, video.average_rate) == (90, 160, 25)
        assert sum(1 for _ in container.decode(video)) == 75
        assert len(container.streams.audio) == 1
    assert path.with_suffix(".srt").read_text() == SRT
    note = json.loads(path.with_name(f"{path.name}.json").read_text())
    assert [sorted(part) for part in note["parts"]] == [
        ["from", "generation_id", "reversed", "sha256", "speed", "to"], ["file", "sha256", "to"],
        ["generation_id", "sha256", "to", "volume"],
    ]  # fmt: skip
    assert note["edit"]["ratio"] == [9, 16]
    assert note["edit"]["burnt_in"] is True
    assert note["edit"]["captions"] == [{"start": 0.5, "end": 1.5, "text": "Hello"}]
    assert [sorted(item) for item in (*note["edit"]["sounds"], *note["edit"]["overlays"])] == [
        ["fade_seconds", "is_ducked", "is_looped", "sha256", "start", "volume"],
        ["corner", "end", "opacity", "sha256", "start", "width"],
    ]
    assert (await agent.call("edit_video", **arguments))["files"] == [made]
    Image.new("RGBA", (40, 20), (0, 0, 255, 255)).save(output / "logo.png")
    assert (await agent.call("edit_video", **arguments))["files"] != [made]


@once
@pytest.mark.parametrize(
    "captions", [SRT, [{"start": 0.5, "end": 1.5, "text": "Hello"}], '[{"start": 0.5, "end": 1.5, "text": "Hello"}]']
)
async def test_captions_are_a_text_or_a_list_and_lie_beside_the_film(agent: Agent, output: Path, captions: Any) -> None:
    clip = await agent.make("create_video", prompt="a boat", **FORM)
    (made,) = (await agent.call("edit_video", clips=clip, captions=captions))["files"]
    (saved,) = (await agent.call("download_generation", generation_ids=[clip]))["files"]

    assert Path(made["path"]).with_suffix(".srt").read_text() == SRT
    content = Path(made["path"]).read_bytes()
    assert content.startswith(Path(saved["path"]).read_bytes()), "the clip is copied, and its origin is added"


@once
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
async def test_a_file_of_captions_has_one_of_the_usual_encodings(agent: Agent, output: Path, encoding: str) -> None:
    clip = await agent.make("create_video", prompt="a boat", **FORM)
    output.mkdir(parents=True, exist_ok=True)
    (output / "words.srt").write_bytes(SRT.replace("Hello", "Grüße").encode(encoding))
    (made,) = (await agent.call("edit_video", clips=clip, captions="words.srt"))["files"]

    assert "Grüße" in Path(made["path"]).with_suffix(".srt").read_text()


@once
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"burn_captions": True}, "burn_captions draws captions, and there are no captions."),
        ({"bar_color": "red", "fit": "cover"}, "bar_color is the colour of the bars of fit 'contain'."),
        ({"bar_color": "sky"}, "'sky' is no colour such as #ff8800"),
        ({"aspect_ratio": "tall"}, "'tall' is no ratio such as 9:16"),
        ({"aspect_ratio": "100:1"}, "'100:1' is no ratio such as 9:16"),
        ({"format": "gif", "sound": "waves.mp3"}, "A gif has no sound. Leave sound out"),
        ({"format": "png", "max_mb": 1}, "max_mb goes with mp4 and webm, not with png."),
        ({"captions": "no captions at all"}, "'no captions at all' is no SRT. Name a .srt or .vtt file"),
        ({"captions": "notes.srt"}, "'notes.srt' is not a text"),
        ({"captions": "empty.srt"}, "The captions are no SRT"),
        ({"captions": "long.srt"}, "'long.srt' is larger than captions are (1 MB)."),
        ({"captions": "/etc/passwd.srt"}, "outside the folders that may be read"),
        ({"captions": [{"start": 2, "end": 1, "text": "x"}]}, "cannot begin at 2 s and end at 1 s"),
        ({"captions": [{"start": 2}]}, "captions"),
        ({"overlays": [{"source": "notes.srt"}]}, "'notes.srt' is not a clip"),
        ({"overlays": [{"source": "notes.srt", "start": 2, "end": 2}]}, "cannot begin at 2 s and end at 2 s"),
        ({"sound_volume": 0.5}, "Each sound has its own: sound=[{source, start, volume"),
        ({"mute": True}, "edit_video has it for each clip"),
        ({"subtitles": "a.srt"}, "It is called captions here."),
        ({"logo": "a.png"}, "It is called overlays here."),
        ({"max_mb": 0.001}, "do not fit into 0.001 MB. Nothing was written."),
        ({"clips": [{"source": "CLIP", "speed": 100}]}, "speed"),
    ],
)
async def test_what_does_not_go_together_is_one_sentence(
    agent: Agent, output: Path, arguments: dict[str, Any], sentence: str
) -> None:
    clip = await agent.make("create_video", prompt="a boat", **FORM)
    output.mkdir(parents=True, exist_ok=True)
    (output / "notes.srt").write_bytes(b"\xff\x81\x8d")
    (output / "empty.srt").write_text("nothing")
    (output / "long.srt").write_text("x" * 1_000_001)
    arguments = {"clips": [{"source": clip, "end": 1}]} | json.loads(json.dumps(arguments).replace("CLIP", clip))

    assert sentence in await agent.refusal("edit_video", **arguments)
    assert sorted(path.name for path in output.iterdir()) == ["empty.srt", "long.srt", "notes.srt"]


COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


@once
@pytest.mark.parametrize("edit_format", ["mp4", "webm", "gif", "jpg", "png"])
async def test_an_edit_of_a_generation_states_that_a_model_made_part_of_it(
    agent: Agent, output: Path, edit_format: str
) -> None:
    clip = await agent.make("create_video", prompt="a boat", **FORM)
    arguments: dict[str, Any] = {"clips": [{"source": clip, "end": 0.5}], "width": 80, "format": edit_format}
    (made,) = (await agent.call("edit_video", **arguments))["files"]
    path = Path(made["path"])

    holder = path.with_name(f"{path.name}.xmp") if edit_format == "webm" else path
    assert COMPOSITE.encode() in holder.read_bytes()
    assert json.loads(path.with_name(f"{path.name}.json").read_text())["digital_source_type"] == COMPOSITE
    assert (await agent.call("edit_video", **arguments))["files"] == [made]


@once
async def test_the_origin_of_a_saved_file_is_known_by_its_sidecar_or_by_its_content(
    agent: Agent, output: Path, tmp_path: Path
) -> None:
    """And nothing is stated of a file that no model made."""
    clip = await agent.make("create_video", prompt="a boat", **FORM)
    (saved,) = (await agent.call("download_generation", generation_ids=[clip]))["files"]
    name = Path(saved["path"]).name
    note = json.loads((output / f"{name}.json").read_text())
    assert note["digital_source_type"].endswith("/trainedAlgorithmicMedia")
    own = (output / name).read_bytes()
    (output / "own.mp4").write_bytes(own)
    (output / "marked.mp4").write_bytes(own + b"\0\0\0\x28free http trainedAlgorithmicMedia!!!")
    Image.new("RGB", (20, 20)).save(output / "marked.png", xmp=None)
    (output / "marked.png").write_bytes((output / "marked.png").read_bytes() + b"trainedAlgorithmicMedia")

    async def stated(source: str, **more: Any) -> bool:
        (made,) = (await agent.call("edit_video", clips=[{"source": source, "end": 0.5}], width=80, **more))["files"]
        return COMPOSITE.encode() in Path(made["path"]).read_bytes()

    assert await stated(name)
    assert await stated("marked.mp4")
    assert not await stated("own.mp4")
    assert await stated("own.mp4", overlays=[{"source": "marked.png"}])
