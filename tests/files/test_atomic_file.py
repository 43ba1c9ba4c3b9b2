"""Names that every operating system takes, and contents that are what they say."""

import os
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_mcp.domain.generation import Generation
from luma_mcp.files.atomic_file import PartFile, safe_name, sniff, write_beside
from luma_mcp.files.naming import Naming

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("A boat, at dawn!", "a-boat-at-dawn"),
        ("../../etc/passwd", "etc-passwd"),
        ("C:\\Windows\\x", "c-windows-x"),
        ("Überfahrt é", "uberfahrt-e"),
        ("CON", "con-"),
        ("lpt1", "lpt1-"),
        ("夜の海", "夜の海"),
        ("ガラスの海", "ガラスの海"),
        ("مركب في البحر", "مركب-في-البحر"),
        ("समुद्र में नाव", "समुद्र-में-नाव"),
        ("Ёлка Моря", "елка-моря"),
        ("ﬁne ①", "fine-1"),
        ("\u093f\u093fa", "a"),
        ("海" * 300, "海" * 20),
        ("\ud83d🚤", ""),
        ("\u202egpj.exe\x00", "gpj-exe"),
        ("...", ""),
        ("x" * 300, "x" * 60),
    ],
)
def test_words_become_a_safe_name(text: str, name: str) -> None:
    assert safe_name(text) == name


@pytest.mark.medium
@given(st.text())
def test_no_text_makes_an_unsafe_name(text: str) -> None:
    name = safe_name(text)

    assert len(name.encode()) <= 61
    assert all(unicodedata.category(character)[0] in "LNM" for character in name.replace("-", ""))
    assert not name.startswith("-")
    assert name == name.lower()


@given(st.text(), st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", fullmatch=True))
def test_every_generation_has_a_name(prompt: str, generation_id: str) -> None:
    name = str(Naming().path_for(Generation(id=generation_id, prompt=prompt)))

    assert 2 <= len(name.encode()) <= 60
    assert os.sep not in name


def test_a_prompt_without_letters_gives_way_to_the_kind() -> None:
    generation = Generation(id="15b7abb1-3741", prompt="… ?!")

    assert str(Naming().path_for(generation)) == "video-15b7abb1"
    assert str(Naming().path_for(Generation(id="15b7abb1-3741"))) == "video-15b7abb1"


@pytest.mark.parametrize(
    ("head", "ending"),
    [
        (b"\x00\x00\x00\x18ftypmp42", "mp4"),
        (b"\xff\xd8\xff\xe0", "jpg"),
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"RIFF\x00\x00\x00\x00WEBP", "webp"),
        (b"RIFF\x00\x00\x00\x00WAVE", None),
        (b"GIF89a", "gif"),
        (b"<!doctype html>", None),
        (b"", None),
    ],
)
def test_the_ending_follows_the_content(head: bytes, ending: str | None) -> None:
    assert sniff(head) == ending


@pytest.mark.parametrize(
    "blocks", [[b"\x89PNG\r\n\x1a\n" + b"x" * 100], [bytes([b]) for b in b"\x89PNG\r\n\x1a\n" + b"x" * 20]]
)
async def test_content_is_judged_however_it_comes_in(tmp_path: Path, blocks: list[bytes]) -> None:
    async with await PartFile.begin(tmp_path) as part:
        for block in blocks:
            await part.write(block)
        path = await part.finish("picture")

    assert path.name == "picture.png"
    assert path.read_bytes() == b"".join(blocks)


async def test_a_file_system_without_links_keeps_the_promise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """exFAT and some network drives have none."""

    def refuse(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    content = b"\x89PNG\r\n\x1a\n" + b"x" * 100
    for number, name in enumerate(["picture.png", "picture-2.png"]):
        async with await PartFile.begin(tmp_path) as part:
            await part.write(content + bytes([number]))
            assert (await part.finish("picture")).name == name

    assert sorted(path.name for path in tmp_path.iterdir()) == ["picture-2.png", "picture.png"]
    assert (tmp_path / "picture.png").read_bytes() == content + b"\x00"


@pytest.mark.skipif(sys.platform == "win32", reason="files there have no mode")
async def test_what_is_made_here_is_for_its_owner_and_what_exists_keeps_its_rights(tmp_path: Path) -> None:
    """A folder that the owner made for others too, as that of a container, stays so. A sidecar has the prompt."""
    (tmp_path / "shared").mkdir(mode=0o755)
    for folder in (tmp_path / "shared", tmp_path / "a" / "b"):
        async with await PartFile.begin(folder) as part:
            await part.write(b"\x89PNG\r\n\x1a\n" + b"x" * 100)
            saved = await part.finish("boat")
        write_beside(saved, ".json", "{}")
        assert saved.with_name("boat.png.json").stat().st_mode & 0o777 == 0o600

    assert (tmp_path / "shared").stat().st_mode & 0o777 == 0o755
    for folder in (tmp_path / "a", tmp_path / "a" / "b"):
        assert folder.stat().st_mode & 0o777 == 0o700
