"""`edit_video` as a model calls it: generations and local clips, names, sidecars, refusals."""

import hashlib
import json
from pathlib import Path
from typing import Any

import av
import pytest
from mcp import Client

from luma_mcp.emulator.app import Emulator
from luma_mcp.files import edits as edit_files
from luma_mcp.media import worker
from luma_mcp.media.edit import edit
from luma_mcp.sources import local_files
from tests.support.agent import Agent, once
from tests.support.ledgers import open_rows

pytestmark = [pytest.mark.anyio, pytest.mark.medium]

FORM = {"resolution": "540p", "model": "ray-flash-2"}


def frames(path: str) -> int:
    with av.open(path) as container:
        return sum(1 for _ in container.decode(video=0))


@once
async def test_generations_and_local_clips_become_one_file(
    agent: Agent, emulator: Emulator, output: Path, ledger_path: Path
) -> None:
    first = await agent.make("create_video", prompt="a boat", **FORM)
    square = await agent.make("create_video", prompt="x y z", aspect_ratio="1:1", **FORM)
    saved = (await agent.call("download_generation", generation_ids=[square]))["files"][0]["path"]
    spent = (await agent.call("get_credits"))["spent_today_usd"]
    answer = await agent.call(
        "edit_video",
        clips=[{"source": first, "start": 1, "end": 3}, {"source": saved, "end": 2.5}, first],
        crossfade_seconds=0.5,
        directory="films",
    )
    (file,) = answer["files"]
    path = Path(file["path"])
    note = json.loads((output / "films" / f"{path.name}.json").read_text())

    assert path == output / "films" / f"a-boat-{first[:8]}-edited-3.mp4"
    assert frames(file["path"]) == 48 + 60 + 120 - 2 * 12
    hashes = [part.pop("sha256") for part in note["parts"]]
    assert note["parts"] == [
        {"generation_id": first, "from": 1.0, "to": 3.0},
        {"file": Path(saved).name, "to": 2.5},
        {"generation_id": first},
    ]
    assert hashes[1] == hashlib.sha256(Path(saved).read_bytes()).hexdigest()
    assert hashes[0] == hashes[2] != hashes[1]
    assert note["edit"] == {"format": "mp4", "crossfade_seconds": 0.5, "fit": "contain"}
    assert note["price_usd"] == pytest.approx(0.14, abs=0.01), "a generation that is in it twice was bought once"
    assert "url" not in file
    assert (await agent.call("get_credits"))["spent_today_usd"] == spent
    with open_rows(ledger_path) as ledger:
        assert ledger.execute("SELECT count(*) FROM purchases").fetchone() == (2,)


@once
async def test_a_saved_sound_is_laid_under_a_clip(agent: Agent, output: Path, tmp_path: Path) -> None:
    clip = await agent.make("create_video", prompt="a boat", **FORM)
    sounding = await agent.make("add_audio", generation_id=clip, prompt="waves")
    sound = (await agent.call("download_generation", generation_ids=[sounding]))["files"][0]["path"]
    answer = await agent.call(
        "edit_video", clips=clip, sound=[{"source": sound, "volume": 0.5}], format="webm", width=320
    )
    (file,) = answer["files"]

    assert file["media_type"] == "video/webm"
    with av.open(file["path"]) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        assert container.streams.video[0].width == 320


@once
async def test_an_edit_that_was_made_before_is_returned_as_it_is(
    agent: Agent, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one with another clip, cut, sound or form is made, as is one whose file was changed since."""
    clip = await agent.make("create_video", prompt="a boat", **FORM)
    waves, wind, square = [
        Path((await agent.call("download_generation", generation_ids=[each]))["files"][0]["path"]).read_bytes()
        for each in (
            await agent.make("add_audio", generation_id=clip, prompt="waves"),
            await agent.make("add_audio", generation_id=clip, prompt="wind"),
            await agent.make("create_video", prompt="a boat", aspect_ratio="1:1", **FORM),
        )
    ]
    (output / "sound.mp4").write_bytes(waves)
    (output / "local.mp4").write_bytes(square)
    edits: list[Any] = []

    run = worker.run

    async def counted(*arguments: Any, **settings: Any) -> Any:
        edits.extend(call for call in [arguments] if call[0] is edit)
        return await run(*arguments, **settings)

    monkeypatch.setattr(worker, "run", counted)
    plain: dict[str, Any] = {"clips": [{"source": clip, "end": 1}, {"source": "local.mp4", "end": 1}], "width": 160}
    plain |= {"sound": "sound.mp4"}
    (made,) = (await agent.call("edit_video", **plain))["files"]
    assert (await agent.call("edit_video", **plain))["files"] == [made]
    assert len(edits) == 1

    quiet = {"sound": [{"source": "sound.mp4", "volume": 0.5}]}
    short_fade = {"sound": [{"source": "sound.mp4", "fade_seconds": 0.5}]}
    others: list[dict[str, Any]] = [
        {"clips": [clip, "local.mp4"]}, {"fit": "cover"}, {"width": 200}, {"sound": None}, quiet, short_fade,
        {"crossfade_seconds": 0.2}, {"format": "webm"}, {"format": "jpg", "sound": None},
    ]  # fmt: skip
    paths = [made["path"]] + [(await agent.call("edit_video", **plain | other))["files"][0]["path"] for other in others]
    assert len(set(paths)) == len(edits) == 1 + len(others)

    (output / "sound.mp4").write_bytes(wind)
    await agent.call("edit_video", **plain)
    (output / "local.mp4").write_bytes(wind)
    await agent.call("edit_video", **plain)
    assert len(edits) == 3 + len(others)
    (output / "sound.mp4").write_bytes(waves)
    (output / "local.mp4").write_bytes(square)
    assert (await agent.call("edit_video", **plain))["files"] == [made]
    Path(made["path"]).write_bytes(b"changed")
    assert (await agent.call("edit_video", **plain))["files"] != [made]
    assert len(edits) == 4 + len(others)
    assert Path(made["path"]).read_bytes() == b"changed"


@once
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"clips": ["missing.mp4"]}, "There is no file 'missing.mp4'"),
        ({"clips": ["https://example.com/a.mp4"]}, "cannot be edited. Name a generation id"),
        ({"clips": ["CLIP#last"]}, "cannot be edited. Name a generation id"),
        ({"clips": ["IMAGE"]}, "is an image; a video is needed here"),
        ({"clips": ["notes.txt"]}, "'notes.txt' is not a clip"),
        ({"clips": ["/etc/hostname"]}, "outside the folders that may be read"),
        ({"clips": [{"source": "CLIP", "start": 3, "end": 2}]}, "cannot begin at 3 s and end at 2 s"),
        ({"clips": [{"source": "CLIP", "start": 9}]}, "Clip 1 is 5.00 s long"),
        ({"clips": []}, "clips"),
        ({"clips": ["CLIP"], "sound": "notes.txt"}, "'notes.txt' is not a sound"),
        ({"clips": ["CLIP"], "sound": "/etc/hostname"}, "outside the folders that may be read"),
        ({"clips": ["CLIP"], "width": 10}, "width"),
        ({"clips": ["CLIP"], "crossfade_seconds": 3}, "crossfade_seconds"),
        ({"clips": ["CLIP"], "directory": "../x"}, "outside the output folder"),
        ({"clips": ["CLIP"], "join": True}, "edit_video puts clips together."),
    ],
)
async def test_what_cannot_be_edited_is_reported_and_leaves_nothing(
    agent: Agent, output: Path, arguments: dict[str, Any], sentence: str
) -> None:
    clip = await agent.make("create_video", prompt="a boat", **FORM)
    image = await agent.make("create_image", prompt="a boat")
    output.mkdir(parents=True, exist_ok=True)
    (output / "notes.txt").write_text("no clip at all, and no sound either")
    arguments = json.loads(json.dumps(arguments).replace("CLIP", clip).replace("IMAGE", image))

    assert sentence in await agent.refusal("edit_video", **arguments)
    assert [path.name for path in output.iterdir()] == ["notes.txt"]


@once
async def test_join_of_earlier_versions_states_what_to_call(agent: Agent) -> None:
    refused = await agent.refusal("download_generation", generation_ids=["x" * 36], join=True)

    assert "edit_video puts clips together." in refused


@once
async def test_a_file_that_is_too_large_is_not_copied(
    agent: Agent, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = await agent.make("create_video", prompt="a boat", **FORM)
    saved = (await agent.call("download_generation", generation_ids=[clip]))["files"][0]["path"]
    monkeypatch.setattr(local_files, "MAX_EDITED_BYTES", 1000)

    assert "is no file of 1 byte to 0 MB" in await agent.refusal("edit_video", clips=[saved])


@once
async def test_a_clip_that_cannot_be_copied_is_reported(
    agent: Agent, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = await agent.make("create_video", prompt="a boat", **FORM)
    saved = (await agent.call("download_generation", generation_ids=[clip]))["files"][0]["path"]

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(local_files.shutil, "copyfileobj", full)
    assert "cannot be read: No space left on device" in await agent.refusal("edit_video", clips=[saved])


@once
async def test_a_pipe_and_a_link_are_no_clips(agent: Agent, output: Path, tmp_path: Path) -> None:
    import os

    output.mkdir(parents=True)
    os.mkfifo(output / "pipe.mp4")
    (tmp_path / "secret.mp4").write_bytes(b"x")
    (output / "link.mp4").symlink_to(tmp_path / "secret.mp4")

    assert "is no ordinary file" in await agent.refusal("edit_video", clips=["pipe.mp4"])
    assert "There is no file" in await agent.refusal("edit_video", clips=["link.mp4"])


@once
async def test_an_edit_that_does_not_fit_on_the_disk_is_refused_before_it_is_made(
    agent: Agent, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = await agent.make("create_video", prompt="a boat", **FORM)
    monkeypatch.setattr(edit_files, "_SPARE_BYTES", 10**18)

    refused = await agent.refusal("edit_video", clips=[{"source": clip, "end": 1}], directory="films")
    assert "The edit may need" in refused
    assert "Nothing was written." in refused
    assert not output.exists() or list(output.iterdir()) == []


@pytest.mark.child_process
@once
async def test_it_is_made_in_a_child_while_others_look(
    agent: Agent, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is ended when it takes too long, with nothing left behind."""
    clip = await agent.make("create_video", prompt="a boat", **FORM)
    answer = await agent.call("edit_video", clips=[{"source": clip, "start": 1}])
    assert frames(answer["files"][0]["path"]) == 96

    monkeypatch.setattr(edit_files, "_MIN_EDIT_SECONDS", -10.0)
    assert "needs more memory or time" in await agent.refusal("edit_video", clips=[{"source": clip, "start": 2}])
    assert len([path for path in output.iterdir() if path.suffix != ".json"]) == 1


async def test_read_only_servers_do_not_edit(serve: Any) -> None:
    async with Client(serve(LUMA_READ_ONLY="1")) as client:
        assert "edit_video" not in {tool.name for tool in (await client.list_tools()).tools}
