"""Fetcher assets over a network that may do anything."""

import hashlib
import json
import resource
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from io import BytesIO
from pathlib import Path

import anyio
import httpx
import pytest
from PIL import Image

from luma_mcp.domain.errors import FileError
from luma_mcp.domain.generation import Generation, Output
from luma_mcp.files import fetcher as fetching
from luma_mcp.files.fetcher import Fetcher
from luma_mcp.files.saved_file import SavedFile
from luma_mcp.files.service import DownloadService
from tests.support.agent import BASE_URL

pytestmark = pytest.mark.anyio

MP4 = b"\x00\x00\x00\x18ftypmp42" + b"clip" * 5000
HOST = "cdn.example"
ADDRESS = "93.184.216.34"
# trio minds that httpx does not close its own generator when a body is left before its end.
left_half_read = pytest.mark.parametrize("anyio_backend", ["asyncio"])
Handler = Callable[[httpx.Request], httpx.Response]


def generation(url: str = f"https://{HOST}/v.mp4", prompt: str = "a boat", number: int = 0) -> Generation:
    """Ids that begin alike, so that their files want the same name."""
    return Generation(
        id=f"15b7abb1-3741-4b7e-9615-1f9a16c7442{number:x}",
        state="completed",
        outputs=(Output("video", url),),
        prompt=prompt,
    )


async def look_up(host: str, _port: int) -> list[str]:
    return {HOST: [ADDRESS], "two.example": ["93.184.216.35", ADDRESS], "inside.example": ["10.0.0.1"]}[host]


async def silent(_size: int, _length: int | None) -> None:
    """Nobody listens."""


async def keep(folder: Path, handler: Handler, wanted: Generation | None = None) -> SavedFile:
    made_by = Fetcher(api_url=BASE_URL, transport=httpx.MockTransport(handler), resolve_host=look_up)

    async def get_generation(_generation_id: str) -> Generation:
        return wanted or generation()

    made = DownloadService(lambda: folder, made_by, get_generation)
    try:
        return await made.save(wanted or generation(), on_bytes=silent)
    finally:
        await made.close()


def iter_of(*blocks: bytes) -> AsyncIterator[bytes]:
    async def stream() -> AsyncIterator[bytes]:
        for block in blocks:
            yield block

    return stream()


def sent(content: bytes, **headers: str) -> httpx.Response:
    """An answer that comes as a stream, as a real one does."""
    return httpx.Response(200, headers=headers, content=iter_of(content))


def always(*answers: httpx.Response | Exception) -> Handler:
    """Give those answers, the last one for ever."""
    queue = list(answers)

    def handle(_request: httpx.Request) -> httpx.Response:
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return handle


async def test_the_connection_goes_to_the_address_that_was_checked(tmp_path: Path) -> None:
    requested: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        requested.append(request)
        return sent(MP4)

    saved = await keep(tmp_path, handle)

    (request,) = requested
    assert request.url.host == ADDRESS
    assert request.headers["host"] == HOST
    assert request.extensions["sni_hostname"] == HOST
    assert "authorization" not in request.headers
    assert saved.path.read_bytes() == MP4
    assert saved.sha256 == hashlib.sha256(MP4).hexdigest()
    assert saved.size_bytes == len(MP4)


async def test_the_next_address_is_tried_when_one_is_dead(tmp_path: Path) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.host != ADDRESS:
            raise httpx.ConnectError("dead")
        return sent(MP4)

    saved = await keep(tmp_path, handle, generation("https://two.example:8443/v.mp4"))
    assert saved.size_bytes == len(MP4)


async def test_a_redirect_is_checked_anew(tmp_path: Path) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v.mp4":
            return httpx.Response(302, headers={"location": "/other.mp4"})
        return sent(MP4)

    assert (await keep(tmp_path, handle)).size_bytes == len(MP4)


@pytest.mark.parametrize(
    "location",
    ["https://inside.example/v.mp4", "http://cdn.example/v.mp4", "file:///etc/passwd", "https://127.0.0.1/v.mp4"],
)
async def test_a_redirect_that_leads_inside_is_refused(tmp_path: Path, location: str) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v.mp4"
        return httpx.Response(302, headers={"location": location})

    with pytest.raises((FileError, KeyError)):
        await keep(tmp_path, handle)
    assert list(tmp_path.iterdir()) == []


async def test_redirects_without_end_are_cut(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="without end"):
        await keep(tmp_path, always(httpx.Response(302, headers={"location": "/v.mp4"})))


async def test_a_download_that_breaks_off_is_begun_again(tmp_path: Path) -> None:
    short = httpx.Response(200, headers={"content-length": str(len(MP4))}, content=iter_of(MP4[:100]))
    saved = await keep(tmp_path, always(short, httpx.ReadError("cut"), sent(MP4)))

    assert saved.size_bytes == len(MP4)
    assert {each_path.name for each_path in tmp_path.iterdir()} == {saved.path.name, f"{saved.path.name}.json"}


class Cutting:
    """A server that sends a part and breaks off, and knows ranges as far as it is told."""

    def __init__(self, *, every: int, validator: dict[str, str], ranges: bool = True) -> None:
        self.every, self.validator, self.ranges = every, validator, ranges
        self.content = MP4
        self.requested: list[str | None] = []
        self.served = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        requested = request.headers.get("range")
        self.requested.append(requested)
        fits = request.headers.get("if-range") in self.validator.values()
        begin = int(requested[6:-1]) if requested and fits and self.ranges else 0
        part = self.content[begin : begin + self.every]
        self.served += len(part)
        headers = {**self.validator, "content-length": str(len(self.content) - begin)}
        if begin:
            headers["content-range"] = f"bytes {begin}-{len(self.content) - 1}/{len(self.content)}"
        return httpx.Response(206 if begin else 200, headers=headers, content=iter_of(part))


@pytest.mark.parametrize("validator", [{"etag": '"a1"'}, {"last-modified": "Tue, 24 Nov 2026 10:00:00 GMT"}])
async def test_a_download_goes_on_where_it_broke_off(tmp_path: Path, validator: dict[str, str]) -> None:
    """However often, as long as it comes further each time."""
    server = Cutting(every=3000, validator=validator)
    saved = await keep(tmp_path, server)

    assert saved.path.read_bytes() == MP4
    assert saved.sha256 == hashlib.sha256(MP4).hexdigest()
    assert server.requested == [None, *(f"bytes={begin}-" for begin in range(3000, len(MP4), 3000))]
    assert server.served == len(MP4)


@pytest.mark.parametrize("validator", [{}, {"etag": 'W/"a1"'}])
async def test_a_download_begins_again_where_nothing_proves_that_it_is_the_same_file(tmp_path: Path, validator) -> None:
    server = Cutting(every=3000, validator=validator)
    with pytest.raises(FileError, match="broke off after 3000 of"):
        await keep(tmp_path, server)

    assert set(server.requested) == {None}
    assert len(server.requested) == 3
    assert list(tmp_path.iterdir()) == []


async def test_a_file_that_changed_in_between_is_fetched_as_a_whole(tmp_path: Path) -> None:
    server = Cutting(every=15_000, validator={"etag": '"a1"'})

    def handle(request: httpx.Request) -> httpx.Response:
        if len(server.requested) == 1:
            server.content, server.validator, server.every = MP4[::1] + b"new", {"etag": '"a2"'}, 10**6
        return server(request)

    saved = await keep(tmp_path, handle)

    assert saved.path.read_bytes() == MP4 + b"new"
    assert saved.sha256 == hashlib.sha256(MP4 + b"new").hexdigest()


@pytest.mark.parametrize("place", ["bytes 1-20007/20008", "bytes */20008", ""])
async def test_a_part_that_was_not_asked_for_is_refused(tmp_path: Path, place: str) -> None:
    first = httpx.Response(200, headers={"content-length": "20008", "etag": '"a"'}, content=iter_of(MP4[:3000]))
    other = httpx.Response(206, headers={"content-range": place}, content=iter_of(MP4[1:]))
    with pytest.raises(FileError, match="another part than the one asked for"):
        await keep(tmp_path, always(first, other))

    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def room_of_a_megabyte() -> Iterator[None]:
    """The system refuses to make any file larger, as a full disk does."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024**2, usual[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, usual)


@left_half_read
@pytest.mark.parametrize("pieces", [1, 2, 9])
async def test_a_disk_that_fills_up_in_mid_download_is_said_and_leaves_nothing(
    tmp_path: Path, room_of_a_megabyte: None, pieces: int
) -> None:
    blocks = [MP4, *(b"x" * 2_000_000 for _ in range(pieces))]
    with pytest.raises(FileError, match=r"cannot be saved in .*: File too large") as caught:
        await keep(tmp_path, always(httpx.Response(200, content=iter_of(*blocks))))

    assert "LUMA_OUTPUT_DIR" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


async def test_two_downloads_of_one_generation_at_once_are_one_file(tmp_path: Path) -> None:
    saved: list[SavedFile] = []

    async def item() -> None:
        saved.append(await keep(tmp_path, always(sent(MP4))))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(item)

    assert len({file.path for file in saved}) == 1
    assert len(list(tmp_path.iterdir())) == 2


async def test_a_saved_file_is_not_fetched_again_and_outlives_its_link(tmp_path: Path) -> None:
    first = await keep(tmp_path, always(sent(MP4)))
    again = await keep(tmp_path, always(httpx.Response(404)))

    assert again == first


HALF_A_NOTE = json.dumps({"generation_id": generation().id, "asset": "video"})


@pytest.mark.parametrize(
    "note", ["", "[]", "{", '{"generation_id": 5}', "[" * 100_000, "x" * 2_000_000, HALF_A_NOTE], ids=range(7)
)
async def test_a_note_that_is_not_ours_proves_nothing(tmp_path: Path, note: str) -> None:
    first = await keep(tmp_path, always(sent(MP4)))
    first.path.with_name(f"{first.path.name}.json").write_text(note)
    again = await keep(tmp_path, always(sent(MP4)))

    assert again.path == first.path
    assert first.path.with_name(f"{first.path.name}.json").read_text() == note


@left_half_read
@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda: httpx.ReadError("cut"), "The download broke off"),
        (lambda: httpx.ConnectError("dead"), "The download broke off"),
        (lambda: httpx.Response(503), "server failed (503)"),
        (lambda: httpx.Response(403), "its link has expired (403)"),
        (lambda: httpx.Response(404), "its link has expired (404)"),
        (lambda: httpx.Response(204), "server answered 204"),
        (lambda: sent(b"<html>please log in to continue</html>"), "neither a picture nor a clip"),
        (lambda: sent(b"#EXTM3U\n#EXT-X-VERSION:3\nhttp://x/"), "neither a picture nor a clip"),
        (lambda: sent(b""), "neither a picture nor a clip"),
        (lambda: sent(MP4, **{"content-encoding": "br"}), "came compressed"),
        (
            lambda: httpx.Response(200, headers={"content-length": str(3 * 1024**3)}, content=iter_of(MP4)),
            "larger than 2 GB",
        ),
    ],
)
async def test_what_cannot_be_fetched_leaves_nothing_behind(
    tmp_path: Path, answer: Callable[[], httpx.Response | Exception], sentence: str
) -> None:
    with pytest.raises(FileError) as caught:
        await keep(tmp_path, always(answer()))

    assert sentence in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@left_half_read
async def test_an_endless_asset_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luma_mcp.files.atomic_file.MAX_BYTES", 10_000)
    with pytest.raises(FileError, match="larger than"):
        await keep(tmp_path, always(httpx.Response(200, content=iter_of(*[MP4] * 3))))
    assert list(tmp_path.iterdir()) == []


async def test_too_little_space_is_said_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_SPARE_BYTES", 10**18)
    with pytest.raises(FileError, match="not enough free space"):
        await keep(tmp_path, always(sent(MP4)))


async def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    with pytest.raises(FileError, match="The file cannot be saved in") as caught:
        await keep(tmp_path / "taken", always(sent(MP4)))

    assert "LUMA_OUTPUT_DIR" in caught.value.hint


async def test_a_download_that_takes_for_ever_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_WHOLE_SECONDS", 0.05)

    async def drip() -> AsyncIterator[bytes]:
        yield MP4
        await anyio.sleep_forever()

    with pytest.raises(FileError, match="took too long"):
        await keep(tmp_path, always(httpx.Response(200, content=drip())))
    assert list(tmp_path.iterdir()) == []


async def test_a_cancelled_download_leaves_nothing_behind(tmp_path: Path) -> None:
    reached = anyio.Event()

    async def hang() -> AsyncIterator[bytes]:
        yield MP4
        reached.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keep, tmp_path, always(httpx.Response(200, content=hang())))
        await reached.wait()
        tasks.cancel_scope.cancel()

    assert list(tmp_path.iterdir()) == []


async def test_another_file_of_that_name_is_not_touched(tmp_path: Path) -> None:
    first = await keep(tmp_path, always(sent(MP4)))
    second = await keep(tmp_path, always(sent(MP4 + b"more")), generation(number=1))
    third = await keep(tmp_path, always(sent(MP4 + b"even more")), generation(number=2))

    assert first.path.read_bytes() == MP4
    assert second.path.name == first.path.stem + "-2.mp4"
    assert third.path.name == first.path.stem + "-3.mp4"


async def test_many_downloads_of_one_name_at_once_all_keep_theirs(tmp_path: Path) -> None:
    contents = [MP4 + bytes([number]) for number in range(10)]
    saved: list[SavedFile] = []

    async def item(number: int) -> None:
        saved.append(await keep(tmp_path, always(sent(contents[number])), generation(number=number)))

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(item, number)

    assert sorted(file.path.read_bytes() for file in saved) == sorted(contents)
    assert len(list(tmp_path.glob("*.mp4"))) == len(list(tmp_path.glob("*.json"))) == 10
    assert not list(tmp_path.glob(".*"))


async def test_a_link_by_the_files_name_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a-boat-15b7abb1.mp4").symlink_to(outside)
    saved = await keep(folder, always(sent(MP4)))

    assert outside.read_bytes() == b"precious"
    assert saved.path.name == "a-boat-15b7abb1-2.mp4"


class Open(httpx.AsyncByteStream):
    """A body whose length nobody says."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._data


def whole_files() -> dict[str, bytes]:
    """A whole file of each format."""
    files: dict[str, bytes] = {"zip": b""}
    for name, kind in (("png", "PNG"), ("jpg", "JPEG"), ("webp", "WEBP"), ("gif", "GIF")):
        out = BytesIO()
        Image.effect_noise((64, 64), 50).save(out, kind)
        files[name] = out.getvalue()
    box = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"
    large = b"\x00\x00\x00\x01mdat" + (16 + 5000).to_bytes(8, "big") + b"x" * 5000
    files["mp4"] = box + b"\x00\x00\x07\xd0mdat" + b"x" * 1992 + large
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as written:
        written.writestr("frame.exr", b"x" * 2000)
        written.comment = b"frames"
    files["zip"] = archive.getvalue()
    return files


@left_half_read
@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "gif", "mp4", "zip"])
async def test_a_body_without_a_length_is_whole_or_not_saved(tmp_path: Path, ending: str) -> None:
    data = whole_files()[ending]
    saved = await keep(tmp_path, lambda _request: httpx.Response(200, stream=Open(data)))
    assert saved.path.read_bytes() == data
    assert saved.path.suffix == f".{ending}"

    (tmp_path / "cut").mkdir()
    with pytest.raises(FileError, match="in the middle of the file"):
        await keep(tmp_path / "cut", lambda _request: httpx.Response(200, stream=Open(data[:-80])))
    assert list((tmp_path / "cut").iterdir()) == []


@left_half_read
async def test_a_last_box_that_goes_to_the_end_and_one_that_has_no_length(tmp_path: Path) -> None:
    box = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"
    open_end = box + b"\x00\x00\x00\x00mdat" + b"x" * 2000
    unreadable = box + b"\x00\x00\x00\x02mdat" + b"x" * 2000
    saved = await keep(tmp_path / "open", lambda _request: httpx.Response(200, stream=Open(open_end)))

    assert saved.size_bytes == len(open_end)
    with pytest.raises(FileError, match="in the middle"):
        await keep(tmp_path / "bad", lambda _request: httpx.Response(200, stream=Open(unreadable)))


@left_half_read
async def test_exr_frames_without_a_length_count_as_whole(tmp_path: Path) -> None:
    data = b"\x76\x2f\x31\x01" + b"x" * 100

    assert (await keep(tmp_path, lambda _request: httpx.Response(200, stream=Open(data)))).path.suffix == ".exr"


@left_half_read
@pytest.mark.parametrize("encoding", ["aws-chunked", "identity", "AWS-Chunked, identity", ""])
async def test_what_was_sent_to_s3_in_signed_pieces_is_saved(tmp_path: Path, encoding: str) -> None:
    answer = sent(MP4, **{"content-encoding": encoding})

    assert (await keep(tmp_path, lambda _request: answer)).path.read_bytes() == MP4
