"""The origin of made files, as programs read it that know nothing of this server."""

import re
import struct
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from luma_mcp.media import origin
from luma_mcp.media.edit import edit
from luma_mcp.media.edit_plan import ClipRange, Edit
from luma_mcp.media.formats import is_whole, sniff
from luma_mcp.media.images import sendable
from luma_mcp.media.origin import MARK, contains, source_uri, state, xmp
from tests.support.edited import RED, MakeClip

COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
C2PA_BOX = struct.pack(">I4s", 32, b"uuid") + bytes.fromhex("d8fec3d61b0e483c92975828877ec481") + b"manifest"


def stated_in(packet: bytes | str) -> str | None:
    """The origin that an XMP packet states, as an XML parser reads it."""
    text = packet.decode() if isinstance(packet, bytes) else packet
    found = re.search(r"<x:xmpmeta.*</x:xmpmeta>", text, re.DOTALL)
    assert found is not None
    (description,) = ET.fromstring(found[0]).iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")  # noqa: S314
    return description.get("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType")


def test_the_packet_is_xml_with_the_uri_of_the_iptc() -> None:
    assert stated_in(xmp("compositeWithTrainedAlgorithmicMedia")) == COMPOSITE
    assert source_uri("trainedAlgorithmicMedia").endswith("/digitalsourcetype/trainedAlgorithmicMedia")


@pytest.mark.medium
@pytest.mark.parametrize("edit_format", ["mp4", "gif", "jpg", "png"])
def test_a_file_states_its_origin_and_shows_the_same(tmp_path: Path, clip: MakeClip, edit_format: Any) -> None:
    target = tmp_path / f"made.{edit_format}"
    edit(Edit((ClipRange(clip(RED), 0, 0.5),), format=edit_format), target)
    with av.open(str(target)) as container:
        before = [bytes(frame.to_image().tobytes()) for frame in container.decode(video=0)]
    assert not contains(target, (MARK,))

    assert state(target, edit_format, "compositeWithTrainedAlgorithmicMedia")
    assert sniff(target.read_bytes()[:16]) == edit_format
    assert is_whole(target, edit_format)
    with av.open(str(target)) as container:
        assert [bytes(frame.to_image().tobytes()) for frame in container.decode(video=0)] == before
    if edit_format == "mp4":
        at, boxes = 0, []
        data = target.read_bytes()
        while at < len(data):
            length, kind = struct.unpack_from(">I4s", data, at)
            boxes.append((kind, data[at + 8 : at + length]))
            at += length
        kind, content = boxes[-1]
        assert (kind, content[:16].hex()) == (b"uuid", "be7acfcb97a942e89c71999491e3afac")
        packet: Any = content[16:]
    elif edit_format == "gif":
        packet = target.read_bytes().partition(b"XMP DataXMP")[2].partition(b"\x01\xff")[0]
    else:
        with Image.open(target) as picture:
            packet = picture.info["XML:com.adobe.xmp" if edit_format == "png" else "xmp"]
            picture.load()
    assert stated_in(packet) == COMPOSITE


@pytest.mark.medium
def test_a_webm_has_no_place_for_it(tmp_path: Path, clip: MakeClip) -> None:
    target = tmp_path / "made.webm"
    edit(Edit((ClipRange(clip(RED), 0, 0.5),), format="webm"), target)
    before = target.read_bytes()

    assert not state(target, "webm", "trainedAlgorithmicMedia")
    assert target.read_bytes() == before


@pytest.mark.medium
def test_a_clip_that_is_bound_by_c2pa_stays_byte_for_byte(tmp_path: Path, clip: MakeClip) -> None:
    source = clip(RED)
    source.write_bytes(source.read_bytes() + C2PA_BOX)
    target = tmp_path / "made.mp4"
    edit(Edit((ClipRange(source),)), target)

    assert not state(target, "mp4", "compositeWithTrainedAlgorithmicMedia")
    assert target.read_bytes() == source.read_bytes()


def test_a_gif_without_a_table_of_colours_states_it_too() -> None:
    head = b"GIF89a" + bytes.fromhex("0100010000" + "0000")

    assert origin.stated(head + b";", "gif", b"packet").startswith(head + b"\x21\xff\x0bXMP DataXMPpacket")


def test_a_mark_is_found_across_the_blocks_that_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin, "_READ_BYTES", 8)
    (tmp_path / "file").write_bytes(b"before" + MARK + b"behind")

    assert contains(tmp_path / "file", (MARK, b"c2pa."))
    assert not contains(tmp_path / "file", (b"c2pa.",))


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_what_is_sent_to_luma_has_no_position_in_exif_nor_xmp(tmp_path: Path, kind: str, orientation: int) -> None:
    """Upright or turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 0.0)
    metadata = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a exif:GPSLatitude="52,31N"/></x:xmpmeta>'
    options: dict[str, Any] = {} if kind == "PNG" else {"xmp": metadata}
    Image.new("RGB", (40, 20), RED).save(tmp_path / "photo", kind, exif=exif, **options)
    sent = sendable((tmp_path / "photo").read_bytes(), 10**6)

    assert b"GPS" not in sent
    assert b"\x88\x25" not in sent
    assert b"\x25\x88" not in sent
    (tmp_path / "sent").write_bytes(sent)
    with Image.open(tmp_path / "sent") as picture:
        assert picture.size == ((40, 20) if orientation == 1 else (20, 40))
        assert not picture.getexif().get_ifd(0x8825)
