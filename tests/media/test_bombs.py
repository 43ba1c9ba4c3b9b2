"""Small files that ask for gigabytes: refused or seen, and the server's own memory stays as it is."""

import re
import struct
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import pytest
from PIL import Image

from luma_mcp.domain.errors import FileError
from luma_mcp.emulator.rendering.clips import write_clip
from luma_mcp.media import previews, worker
from luma_mcp.media.images import sendable

pytestmark = [pytest.mark.anyio, pytest.mark.child_process, pytest.mark.slow]
MOST_MB = 60


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


def counting_clip(path: Path) -> None:
    """A clip whose table counts four thousand million samples."""
    write_clip(path, (Image.new("RGB", (64, 36), "red") for _ in range(3)), (64, 36))
    data = path.read_bytes()
    at = data.index(b"stsz") + 8
    path.write_bytes(data[:at] + struct.pack(">II", 1, 2**32 - 1) + data[at + 8 :])


def growing_clip(path: Path) -> None:
    """A clip of 64 by 36 pixels whose last frame has 56 million of them."""
    packets = [packet for size, count in (((64, 36), 4), ((8000, 7000), 1)) for packet in _encoded(size, count)]
    (path.parent / "small.h264").write_bytes(b"".join(packets[:4]))
    with av.open(str(path.parent / "small.h264")) as source, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for number, data in enumerate(packets):
            packet = av.Packet(_with_lengths(data))
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 24 * 512), True
            packet.pts = packet.dts = number * 512
            output.mux(packet)


def _encoded(size: tuple[int, int], count: int) -> list[bytes]:
    with av.open("/dev/null", "w", format="h264") as output:
        stream = output.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.options = {"x264-params": "repeat-headers=1:keyint=1", "preset": "ultrafast", "crf": "51"}
        frame = av.VideoFrame.from_image(Image.new("RGB", size, "red"))
        packets = [packet for _ in range(count) for packet in stream.encode(frame)]
        return [bytes(packet) for packet in [*packets, *stream.encode(None)]]


def _with_lengths(data: bytes) -> bytes:
    """Units of H.264 as an MP4 has them: each with its length before it."""
    units = [unit for unit in re.split(b"\x00\x00\x00\x01|\x00\x00\x01", data) if unit]
    return b"".join(struct.pack(">I", len(unit)) + unit for unit in units)


def _png(path: Path, width: int, height: int, depth: int) -> None:
    row = b"\x00" * (1 + width * 4 * depth // 8)
    packed = zlib.compressobj(9)
    data = b"".join(packed.compress(row) for _ in range(height)) + packed.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, 6, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    framed = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + framed)


def large_picture(path: Path) -> None:
    """A PNG of some hundred kilobytes that unpacks to 0.8 GB."""
    _png(path, 14_000, 14_000, 8)


def deep_picture(path: Path) -> None:
    """A PNG of as many pixels as are allowed, with 16 bits in each of four channels."""
    _png(path, 7_000, 7_000, 16)


def peak_mb(process: str = "self") -> float:
    return int(Path(f"/proc/{process}/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
@pytest.mark.parametrize("bomb", [counting_clip, growing_clip, large_picture, deep_picture])
async def test_a_bomb_costs_the_server_nothing(bomb: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "bomb.mp4"
    bomb(path)
    assert path.stat().st_size < 2_000_000
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_mb()
    with suppress(FileError):
        if "clip" in bomb.__name__:
            await worker.run(previews.of_clip, path, 4, True)
        else:
            await worker.run(sendable, path.read_bytes(), 10**7)

    assert peak_mb() - before < MOST_MB
