"""Local files: what is read, and everything that is not."""

import hashlib
import os
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from luma_mcp.domain.errors import FileError
from luma_mcp.emulator.rendering.clips import write_clip
from luma_mcp.sources import file_search
from luma_mcp.sources.local_files import LocalFile, LocalFiles

pytestmark = pytest.mark.anyio


def picture(kind: str = "PNG", size: tuple[int, int] = (64, 36), **options: object) -> bytes:
    out = BytesIO()
    Image.new("RGB", size, "teal").save(out, kind, **options)
    return out.getvalue()


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "open"
    folder.mkdir()
    (folder / "hero.png").write_bytes(picture())
    return folder


@pytest.fixture
def inputs(open_folder: Path) -> LocalFiles:
    return LocalFiles(lambda: [open_folder])


@pytest.mark.parametrize(
    "way", ["{0}/hero.png", "file://{0}/hero.png", "hero.png", " hero.png ", "{0}/./x/../hero.png"]
)
async def test_a_picture_is_found_by_each_way_of_naming_it(inputs: LocalFiles, open_folder: Path, way: str) -> None:
    (open_folder / "x").mkdir()
    file = await inputs.image(way.format(open_folder))

    assert (file.ending, file.media_type, file.name) == ("png", "image/png", "hero.png")
    assert b"".join(file.blocks()) == picture()


async def test_a_space_in_a_file_url_is_read_as_one(inputs: LocalFiles, open_folder: Path) -> None:
    (open_folder / "my hero ü.png").write_bytes(picture())
    file = await inputs.image(f"file://localhost{open_folder}/my%20hero%20%C3%BC.png")

    assert file.name == "my hero ü.png"


async def test_the_home_folder_may_be_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_folder) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    assert (await LocalFiles(lambda: [open_folder]).image("~/open/hero.png")).ending == "png"


async def test_a_link_inside_that_stays_inside_is_followed(inputs: LocalFiles, open_folder: Path) -> None:
    (open_folder / "latest.png").symlink_to(open_folder / "hero.png")

    assert (await inputs.image("latest.png")).ending == "png"


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
async def test_the_kind_comes_from_the_bytes_and_not_from_the_name(
    inputs: LocalFiles, open_folder: Path, kind: str
) -> None:
    (open_folder / "odd.txt").write_bytes(picture(kind))

    assert (await inputs.image("odd.txt")).media_type == f"image/{kind.lower()}"


async def test_a_picture_that_lies_on_its_side_is_put_upright(inputs: LocalFiles, open_folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (open_folder / "phone.jpg").write_bytes(picture("JPEG", exif=exif.tobytes()))
    file = await inputs.image("phone.jpg")
    upright = Image.open(BytesIO(b"".join(file.blocks())))

    assert upright.size == (36, 64)
    assert upright.getexif().get(0x0112, 1) == 1


async def test_a_clip_is_measured(inputs: LocalFiles, open_folder: Path) -> None:
    write_clip(open_folder / "clip.mp4", [Image.new("RGB", (320, 180), "teal")] * 48, (320, 180))
    file = await inputs.clip("clip.mp4")

    assert file.footage is not None
    assert (file.footage.width, file.footage.height, file.footage.seconds) == (320, 180, 2.0)


def _make_link_out(folder: Path) -> None:
    (folder.parent / "secret.png").write_bytes(picture())
    (folder / "door.png").symlink_to(folder.parent / "secret.png")


def _make_hidden(folder: Path) -> None:
    (folder / ".ssh").mkdir()
    (folder / ".ssh" / "id.png").write_bytes(picture())


# What is named, what is there, and a part of the one sentence that refuses it.
BAD = [
    ("/etc/passwd", None, "is outside the folders that may be read"),
    ("file:///etc/passwd", None, "is outside the folders that may be read"),
    ("/etc/no-such-file", None, "is outside the folders that may be read"),
    ("../../x", None, "is outside the folders that may be read"),
    ("~root/x.png", None, "is outside the folders that may be read"),
    ("~no-such-user/x.png", None, "is outside the folders that may be read"),
    ("door.png", _make_link_out, "There is no file"),
    (".ssh/id.png", _make_hidden, "is a hidden file"),
    ("pipe", lambda folder: os.mkfifo(folder / "pipe"), "is no ordinary file"),
    (".", None, "cannot be read"),
    ("folder", lambda folder: (folder / "folder").mkdir(), "cannot be read: Is a directory"),
    ("empty.png", lambda folder: (folder / "empty.png").touch(), "is empty"),
    ("text.png", lambda folder: (folder / "text.png").write_text("hello, this is text"), "is not a picture"),
    ("cut.png", lambda folder: (folder / "cut.png").write_bytes(picture()[:60]), "not a picture that can be read"),
    (
        "large.png",
        lambda folder: (folder / "large.png").write_bytes(picture() + bytes(10_000_001)),
        "has 10 MB, and Luma takes pictures of at most 10 MB",
    ),
    (
        "phone.heic",
        lambda folder: (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(99)),
        "not a picture",
    ),
    ("missing.png", None, "There is no file 'missing.png'"),
    ("hero\x00.png", None, "cannot be the path of a file"),
    ("CON", None, "There is no file 'CON'"),
    ("x" * 300, None, "There is no file"),
    ("x" * 5000, None, "cannot be the path of a file"),
    ("\u202egpj.exe", None, "There is no file"),
    ("//host/share/x.png", None, "cannot be the path of a file"),
    ("\\\\host\\share\\x.png", None, "cannot be the path of a file"),
    ("file://host/x.png", None, "is on another machine"),
    ("C:\\pictures\\x.png", None, "is a Windows path, and this server does not run on Windows"),
    ("file:///C:/pictures/x.png", None, "is a Windows path, and this server does not run on Windows"),
    ("", None, "cannot be the path of a file"),
]


@pytest.mark.parametrize(("named", "prepare", "sentence"), BAD, ids=[repr(named)[:30] for named, _, _ in BAD])
async def test_what_is_no_picture_to_be_sent_is_refused(
    inputs: LocalFiles, open_folder: Path, named: str, prepare, sentence: str
) -> None:
    if prepare:
        prepare(open_folder)
    with pytest.raises(FileError) as caught:
        await inputs.image(named)

    message = caught.value.full_text
    assert sentence in message
    assert "\n" not in message
    assert "\x00" not in message
    assert "\u202e" not in message
    assert len(message) < 500


async def test_an_absolute_way_through_a_link_that_leads_out_is_refused(inputs: LocalFiles, open_folder: Path) -> None:
    _make_link_out(open_folder)
    with pytest.raises(FileError, match="outside the folders"):
        await inputs.image(str(open_folder / "door.png"))


async def test_whether_a_file_exists_outside_is_not_told(inputs: LocalFiles, tmp_path: Path) -> None:
    (tmp_path / "there.png").write_bytes(picture())
    message = []
    for name in ("there.png", "nowhere.png"):
        with pytest.raises(FileError) as caught:
            await inputs.image(str(tmp_path / name))
        message.append(str(caught.value).replace(name, "x"))

    assert message[0] == message[1]


@pytest.mark.parametrize("by_link", [False, True])
async def test_whether_a_file_exists_behind_a_link_that_leads_out_is_not_told(
    inputs: LocalFiles, open_folder: Path, tmp_path: Path, by_link: bool
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "there.png").write_bytes(picture())
    (open_folder / "way").symlink_to(outside)
    message = []
    for name in ("there.png", "nowhere.png"):
        with pytest.raises(FileError) as caught:
            await inputs.image(f"{open_folder}/way/{name}" if by_link else f"way/{name}")
        message.append(caught.value.full_text.replace(name, "x"))

    assert message[0] == message[1]


async def test_whether_this_machine_has_a_user_is_not_told(inputs: LocalFiles) -> None:
    message = []
    for name in ("root", "nosuchuser"):
        with pytest.raises(FileError) as caught:
            await inputs.image(f"~{name}/x.png")
        message.append(caught.value.full_text.replace(f"~{name}", "~x"))

    assert message[0] == message[1]


async def test_a_machine_without_a_home_folder_asks_for_the_absolute_path(
    inputs: LocalFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "~")  # the name of no folder
    monkeypatch.setenv("USERPROFILE", "~")
    for path in ("~", "~/hero.png"):
        with pytest.raises(FileError, match="There is no home folder") as caught:
            await inputs.image(path)
        assert caught.value.hint == "Give the absolute path."


async def test_a_folder_that_becomes_a_link_between_check_and_open_is_not_followed(
    open_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner, outside = open_folder / "inner", tmp_path / "outside"
    for folder in (inner, outside):
        folder.mkdir()
        (folder / "hero.png").write_bytes(picture())
    found = file_search.find("inner/hero.png", [open_folder])
    inner.rename(open_folder / "moved")
    inner.symlink_to(outside)
    monkeypatch.setattr(file_search, "find", lambda *_arguments: found)

    with pytest.raises(FileError, match="cannot be read"):
        await LocalFiles(lambda: [open_folder]).image("inner/hero.png")


@pytest.mark.parametrize("name", ["ledger.png", "ledger.png-wal", "hard.png"])
async def test_the_ledger_is_never_opened_as_a_picture(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Closing it would give up the locks that this process has on it."""
    files = [open_folder / "ledger.png", open_folder / "ledger.png-wal"]
    for file in files:
        file.write_bytes(picture())
    (open_folder / "hard.png").hardlink_to(files[0])
    opened: list[object] = []
    open_file = os.open

    def note(path: object, *arguments: Any, **named: Any) -> int:
        opened.append(path)
        return open_file(path, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", note)
    with pytest.raises(FileError, match="That is the purchase ledger"):
        await LocalFiles(lambda: [open_folder], lambda: [*files, open_folder / "nowhere"]).image(name)

    assert name not in opened


@pytest.mark.medium
async def test_too_many_pixels_are_not_unpacked(inputs: LocalFiles, open_folder: Path) -> None:
    """A small file that would take half a gigabyte."""
    bomb = BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    (open_folder / "bomb.png").write_bytes(bomb.getvalue())
    with pytest.raises(FileError):
        await inputs.image("bomb.png")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"#EXTM3U\n#EXT-X-VERSION:3\nhttp://127.0.0.1/x.ts\n", "is not a clip, whatever its name says"),
        (b"\0\0\0\x18ftypmp42" + b"no more than a head" * 20, "is not a clip that can be read"),
        (picture(), "is not a clip, whatever its name says"),
        (b"\0\0\0\x18ftypmp42" + bytes(101_000_000), "has 101 MB, and Luma takes clips of at most 100 MB"),
    ],
    ids=["a playlist", "a bare head", "a picture", "101 MB"],
)
async def test_what_is_no_clip_is_refused(inputs: LocalFiles, open_folder: Path, content: bytes, sentence: str) -> None:
    (open_folder / "clip.mp4").write_bytes(content)
    with pytest.raises(FileError, match=sentence):
        await inputs.clip("clip.mp4")


async def test_a_file_that_may_not_be_read_is_reported(inputs: LocalFiles, open_folder: Path, monkeypatch) -> None:
    def refuse(*_values: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("luma_mcp.sources.local_files.os.open", refuse)
    with pytest.raises(FileError, match="cannot be read: Permission denied"):
        await inputs.image("hero.png")


async def test_the_drives_of_windows_are_found_from_linux_under_it(open_folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(file_search.Path, "is_dir", lambda _path: True)

    assert file_search._wsl_path("C:\\Users\\me\\hero.png") == "/mnt/c/Users/me/hero.png"


@given(st.text(max_size=60))
@example("")
@example("./.")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_no_text_is_anything_but_a_refusal(tmp_path: Path, text: str) -> None:
    """Nothing lies in that folder, so whatever is named is the folder itself, or not there, or outside."""
    folder = tmp_path / "nothing"
    folder.mkdir(exist_ok=True)
    try:
        found = file_search.find(text, [folder])
    except FileError:
        return
    # That it is no file is seen where it is opened.
    assert found == folder.resolve()


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("Screenshot 2026-01-01 at 9.41.00\u202fAM.png", "Screenshot 2026-01-01 at 9.41.00 AM.png"),
        ("Cafe\u0301.png", "Caf\u00e9.png"),
        ("Caf\u00e9.png", "Cafe\u0301.png"),
        ("hero\u200b.png", "hero.png"),
        ("hero.png", "hero\u200b.png"),
        ("Hero Shot.PNG", "hero shot.png"),
        ("two  spaces.png", "two spaces.png"),
        ("my boat.png", "my%20boat.png"),
        ("my boat.png", "my\\ boat.png"),
        ("my boat.png", '"my boat.png"'),
        ("my boat.png", "'{0}/my boat.png'"),
        ("\uff41.png", "a.png"),
    ],
)
async def test_a_name_that_looks_the_same_is_found(tmp_path: Path, name: str, asked: str) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / name).write_bytes(picture())
    inputs = LocalFiles(lambda: [folder])

    assert (await inputs.image(asked.format(folder))).ending == "png"


async def test_of_two_that_look_the_same_none_is_taken_and_near_names_are_reported(tmp_path: Path) -> None:
    for name in ("A.png", "a.PNG", "hero_final.png", ".hero_finale.png"):
        (tmp_path / name).write_bytes(picture())
    inputs = LocalFiles(lambda: [tmp_path])

    with pytest.raises(FileError, match=r"There is no file 'a\.png'"):
        await inputs.image("a.png")
    with pytest.raises(FileError) as caught:
        await inputs.image("hero_finale.png")
    assert caught.value.hint == "Near it: 'hero_final.png'."


async def test_near_names_outside_the_open_folders_are_not_told(tmp_path: Path) -> None:
    for folder in ("open", "secret"):
        (tmp_path / folder).mkdir()
    (tmp_path / "secret" / "hero.png").write_bytes(picture())
    (tmp_path / "open" / "way").symlink_to(tmp_path / "secret")
    (tmp_path / "open" / "Hero.PNG").symlink_to(tmp_path / "secret" / "hero.png")
    inputs = LocalFiles(lambda: [tmp_path / "open"])

    for asked in ("way/Hero.png", str(tmp_path / "secret" / "Hero.png"), "../secret/Hero.png", "hero.png"):
        with pytest.raises(FileError) as caught:
            await inputs.image(asked)
        assert "Near it: 'hero.png'" not in caught.value.hint


async def test_a_file_url_with_two_slashes_states_what_is_wrong(inputs: LocalFiles) -> None:
    with pytest.raises(FileError, match="is on another machine") as caught:
        await inputs.image("file://hero.png")

    assert "three slashes" in caught.value.hint


async def test_a_clip_is_read_again_when_it_is_sent_and_must_be_the_one_that_was_checked(
    inputs: LocalFiles, open_folder: Path
) -> None:
    path = open_folder / "clip.mp4"
    write_clip(path, [Image.new("RGB", (320, 180), "teal")] * 4, (320, 180))
    content = path.read_bytes()
    clip = await inputs.clip("clip.mp4")

    assert (clip.size, clip.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert b"".join(clip.blocks()) == content
    for change in (content[:-1] + b"x", content + b"x" * 2_000_000, content[:100], b""):
        path.write_bytes(change)
        with pytest.raises(FileError, match=r"'clip\.mp4' was changed while it was sent"):
            list(clip.blocks())
    path.unlink()
    with pytest.raises(FileError, match=r"'clip\.mp4' cannot be read: No such file"):
        list(clip.blocks())


async def test_nothing_of_a_large_clip_is_yielded_to_its_end_if_it_was_changed(open_folder: Path) -> None:
    path = open_folder / "large"
    path.write_bytes(b"x" * 3_000_000)
    file = replace(LocalFile.of_bytes("large", "mp4", b"y" * 3_000_000), open=lambda: path.open("rb"))
    sent: list[int] = []
    with pytest.raises(FileError, match="was changed"):
        sent.extend(len(block) for block in file.blocks())
    assert sum(sent) < 3_000_000


async def test_a_file_that_grows_while_it_is_copied_is_refused(
    inputs: LocalFiles, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luma_mcp.sources.local_files._check_size", lambda *_: None)
    write_clip(open_folder / "clip.mp4", [Image.new("RGB", (320, 180), "teal")] * 4, (320, 180))
    with pytest.raises(FileError, match=r"'clip\.mp4' grows while it is read"):
        await inputs.clip("clip.mp4", max_bytes=1000)
