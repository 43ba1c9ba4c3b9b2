"""Files: a large download against curl on the same loopback, and a look at a clip."""

import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import anyio
from PIL import Image

from benchmarks.rows import Row, peak_mb
from luma_mcp.domain.generation import Generation, Output
from luma_mcp.emulator.rendering.camera import ROOM
from luma_mcp.emulator.rendering.clips import write_clip
from luma_mcp.emulator.rendering.images import Marker, scene
from luma_mcp.files.fetcher import Fetcher
from luma_mcp.files.service import DownloadService
from luma_mcp.files.upload import Uploader
from luma_mcp.media import previews, worker
from luma_mcp.sources.local_files import LocalFiles

SIZE = 200 * 1024**2
ROUNDS = 7


def rows() -> list[Row]:
    return [*download(), upload(), look()]


async def _serve(port_is: "asyncio.Future[int]", content: Path) -> None:
    """A server that costs next to nothing: the kernel sends the file."""

    async def response(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requested = await reader.readuntil(b"\r\n\r\n")
        size = SIZE // 10 if b"?tenth" in requested else SIZE
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        with content.open("rb") as file:
            await asyncio.get_running_loop().sendfile(writer.transport, file, count=size)
        writer.close()

    server = await asyncio.start_server(response, "127.0.0.1", 0)
    port_is.set_result(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def download() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        content = Path(folder) / "content.mp4"
        with content.open("wb") as file:
            file.write(b"\0\0\0\x18ftypmp42")
            file.truncate(SIZE)
        server = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.files", "serve", str(content)], stdout=subprocess.PIPE, text=True
        )
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}/v.mp4"
            ours: list[float] = []
            curl: list[float] = []
            memory: list[tuple[float, float]] = []
            for number in range(ROUNDS):
                # What one side leaves for the disk to write shall not slow the other.
                os.sync()
                message = subprocess.run(
                    [sys.executable, "-m", "benchmarks.files", "keep", url, f"{folder}/{number}"],
                    capture_output=True,
                    text=True,
                    check=True,
                )
                seconds, after_a_tenth, after_all = map(float, message.stdout.split())
                ours.append(seconds)
                memory.append((after_a_tenth, after_all))
                shutil.rmtree(f"{folder}/{number}")
                os.sync()
                started = time.perf_counter()
                subprocess.run(["curl", "-s", "-o", f"{folder}/by-curl", url], check=True)
                curl.append(time.perf_counter() - started)
        finally:
            server.kill()
            server.wait()
    speeds = [SIZE / 1e6 / statistics.median(side) for side in (ours, curl)]
    ratio = f"{speeds[0] / speeds[1]:.2f}x"
    tenth, whole = (statistics.median(side) for side in zip(*memory, strict=True))
    what = "download of 200 MB, with its hash, its check and its place on disk; floor: curl"
    return [
        Row(what, f"{speeds[0]:,.0f} MB/s", f"{speeds[1]:,.0f} MB/s", ratio, ">= 0.9x"),
        Row(
            "memory of the process at its highest; floor: after a download of 20 MB",
            f"{whole:.0f} MB",
            f"{tenth:.0f} MB",
            f"{whole / tenth:.2f}x",
            "constant",
        ),
    ]


def upload() -> Row:
    """The memory for a clip of 190 MB that is checked, hashed, measured and sent."""
    with tempfile.TemporaryDirectory() as folder:
        message = subprocess.run(
            [sys.executable, "-m", "benchmarks.files", "send", folder], capture_output=True, text=True, check=True
        )
    tenth, whole = map(float, message.stdout.split())
    what = "upload of a local clip of 190 MB: memory at its highest; floor: after one of 19 MB"
    return Row(what, f"{whole:.0f} MB", f"{tenth:.0f} MB", f"{whole / tenth:.2f}x", "20 MB more")


async def _send(folder: Path) -> None:
    """Two uploads: the memory after a small one and after a large one, on stdout."""
    received = 0

    async def response(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        head = await reader.readuntil(b"\r\n\r\n")
        left = int(head.lower().split(b"content-length: ")[1].split(b"\r")[0])
        while left > 0:
            block = await reader.read(65_536)
            left -= len(block)
            received += len(block)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(response, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/f"
    uploader, inputs = Uploader(api_url=url), LocalFiles(lambda: [folder])
    for size in (19_000_000, 190_000_000):
        path = folder / f"{size}.mp4"
        write_clip(path, [Image.new("RGB", (320, 180), "teal")] * 24, (320, 180))
        with path.open("ab") as file:
            # A box of nothing, as cameras leave them.
            file.write(size.to_bytes(4, "big") + b"free")
            file.truncate(file.tell() + size - 8)
        clip = await inputs.clip(path.name, max_bytes=200_000_000)
        await uploader.put(url, {}, clip.size, clip.blocks)
        print(peak_mb())
    assert received > 209_000_000, received
    server.close()


async def _keep(url: str, folder: Path) -> None:
    """One download, in a process of its own: seconds, and the memory after a small one and after all, on stdout."""

    async def received(_size: int, _length: int | None) -> None:
        """Nobody listens."""

    async def again(_generation_id: str) -> Generation:
        raise AssertionError

    generation = Generation(id=f"{time.time_ns():x}", state="completed", outputs=(Output("video", url),))
    downloads = DownloadService(lambda: folder, Fetcher(api_url=url), again)
    # A tenth first: then everything is imported and connected, as in a server.
    small = replace(generation, id="small", outputs=(Output("video", f"{url}?tenth"),))
    await downloads.save(small, on_bytes=received)
    before = peak_mb()
    started = time.perf_counter()
    await downloads.save(generation, on_bytes=received)
    print(time.perf_counter() - started, before, peak_mb())
    await downloads.close()


def look() -> Row:
    """The contact sheet of a clip of five seconds in 720p."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        marker = Marker((1280, 720), "a clip to be looked at")
        size = marker.picture_size
        ground = scene("a harbour", (round(size[0] * ROOM.zoom), round(size[1] * ROOM.zoom)))
        write_clip(
            path, (marker.mark(ground.crop((n, 0, n + size[0], size[1])), n / 119) for n in range(120)), (1280, 720)
        )
        seconds, data = anyio.run(_view, path)
    cpu = statistics.median(seconds[1:]) * 1000
    return Row(
        "contact sheet of a 5 s 720p clip", f"{cpu:.0f} ms of CPU, {len(data) / 1024:.0f} KB", goal="< 300 ms, 150 KB"
    )


async def _view(path: Path) -> tuple[list[float], bytes]:
    """The CPU seconds of each sheet, those of the child process among them, and the last sheet."""
    seconds: list[float] = []
    data = b""
    for _ in range(ROUNDS + 1):
        started = time.process_time()
        childs_seconds, data = await worker.run(_sheet, path)
        seconds.append(time.process_time() - started + childs_seconds)
    return seconds, data


def _sheet(path: Path) -> tuple[float, bytes]:
    """In the child process: CPU seconds, and the sheet."""
    started = time.process_time()
    rendered = previews.of_clip(path, 6, True)
    return time.process_time() - started, rendered.jpeg or b""


async def _main(words: list[str]) -> None:
    if words[0] == "serve":
        port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        port.add_done_callback(lambda done: print(done.result(), flush=True))
        await _serve(port, Path(words[1]))
    elif words[0] == "send":
        await _send(Path(words[1]))
    else:
        await _keep(words[1], Path(words[2]))


if __name__ == "__main__":
    anyio.run(_main, sys.argv[1:])
