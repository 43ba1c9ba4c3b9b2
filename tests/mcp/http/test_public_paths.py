"""Links to this server: to saved files, for sending a file, and for Luma's callbacks."""

import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
import pytest
from starlette.requests import ClientDisconnect, Request

from luma_mcp.composition import build_links, build_server
from luma_mcp.config.settings import Settings
from luma_mcp.files import received
from luma_mcp.mcp.http import public_responses, public_uploads
from luma_mcp.mcp.http.public_callbacks import PublicCallbacks
from luma_mcp.mcp.http.public_paths import PublicPaths
from luma_mcp.mcp.http.serving import make_app
from luma_mcp.mcp.public_links import FILE_SECONDS, UPLOAD_SECONDS, Links
from tests.sources.test_local_files import picture
from tests.support import plain_http
from tests.support.agent import HeldClock, InMemory

pytestmark = pytest.mark.anyio

PUBLIC = "https://luma.example.com"
KEY = "zu8Hq2Lw0vXk4RtB"


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """httpx's transport for ASGI applications is of either; what is tested does not differ."""
    return request.param


class Site:
    """A server with a public address, and somebody who calls it."""

    def __init__(self, http: httpx.AsyncClient, links: Links, output: Path) -> None:
        self.http = http
        self.links = links
        self.output = output

    async def call(self, tool: str, key: str = KEY, **arguments: Any) -> dict[str, Any]:
        return await plain_http.call(self.http, key, tool, **arguments)

    async def get(self, link: str, **headers: str) -> httpx.Response:
        assert link.startswith(PUBLIC)
        return await self.http.get(urlsplit(link).path, headers=headers)


@pytest.fixture
async def site(
    transport: InMemory, clock: HeldClock, output: Path, ledger_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Site]:
    variables = plain_http.variables(
        output, ledger_path, LUMA_HTTP_PUBLIC_URL=f"{PUBLIC}/mcp", LUMA_HTTP_TOKENS=f"anna:{KEY},ben:Yp3Nd7Gs1mJc9FeA"
    ) | getattr(request, "param", {})
    settings = Settings.from_environment(variables)
    server = build_server(settings, transport=transport, clock=clock)
    asgi = httpx.ASGITransport(make_app(server, settings))
    links = build_links(settings, clock)
    assert links is not None
    async with (
        server.session_manager.run(),
        server.services.running(),
        httpx.AsyncClient(transport=asgi, base_url="http://127.0.0.1:8080") as caller,
    ):
        yield Site(caller, links, output)


async def _saved(site: Site, clock: HeldClock, **arguments: Any) -> dict[str, Any]:
    """The result of saving a clip of Anna's."""
    bought = await site.call("create_image", prompt="a boat")
    clock.seconds += 200
    ids = [bought["structuredContent"]["generation_id"]]
    await site.call("wait_for_generation", generation_ids=ids)
    return await site.call("download_generation", generation_ids=ids, **arguments)


async def test_a_saved_file_has_a_link_that_works_without_signing_in(site: Site, clock: HeldClock) -> None:
    result = await _saved(site, clock)
    (file,) = result["structuredContent"]["files"]
    block = next(part for part in result["content"] if part["type"] == "resource_link")
    answer = await site.get(file["link"])

    assert block["uri"] == file["link"]
    assert (block["name"], block["mimeType"], block["size"]) == (
        Path(file["path"]).name,
        "image/jpeg",
        file["size_bytes"],
    )
    assert answer.status_code == 200
    assert answer.content == Path(file["path"]).read_bytes()
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert file["link"] in next(part["text"] for part in result["content"] if part["type"] == "text")


@pytest.mark.parametrize(
    "site", [{"LUMA_UPLOAD_URL": "s3://nowhere/x?endpoint=http://127.0.0.1:1&region=us-east-1"}], indirect=True
)
async def test_a_bucket_that_cannot_be_used_costs_the_link_and_not_the_file(
    site: Site, clock: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    result = (await _saved(site, clock))["structuredContent"]

    assert "link" not in result["files"][0]
    assert Path(result["files"][0]["path"]).exists()
    assert "is saved and has no link. The bucket s3://nowhere/x" in result["problems"][0]


async def _film(site: Site, clock: HeldClock) -> dict[str, Any]:
    """The result of waiting for a film of one shot."""
    film = await site.call("create_film", shots=["a boat"], resolution="540p", model="ray-flash-2")
    named = {"film_id": film["structuredContent"]["film_id"]}
    await site.call("wait_for_film", **named, timeout_seconds=0)
    clock.seconds += 200
    return await site.call("wait_for_film", **named, timeout_seconds=60)


@pytest.mark.medium
async def test_a_film_has_a_link_too(site: Site, clock: HeldClock) -> None:
    result = await _film(site, clock)
    film = result["structuredContent"]
    block = next(part for part in result["content"] if part["type"] == "resource_link")

    assert block["uri"] == film["link"]
    assert (await site.get(film["link"])).content == Path(film["path"]).read_bytes()
    assert film["link"] in next(part["text"] for part in result["content"] if part["type"] == "text")


@pytest.mark.parametrize(
    "site", [{"LUMA_UPLOAD_URL": "s3://nowhere/x?endpoint=http://127.0.0.1:1&region=us-east-1"}], indirect=True
)
@pytest.mark.medium
async def test_a_bucket_that_cannot_be_used_costs_the_link_and_not_the_film(
    site: Site, clock: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    film = (await _film(site, clock))["structuredContent"]

    assert "link" not in film
    assert Path(film["path"]).exists()
    assert film["problem"].startswith("The film is saved and has no link. The bucket s3://nowhere/x")


async def test_a_part_of_a_file_can_be_asked_for(site: Site, clock: HeldClock) -> None:
    """Players jump in a clip."""
    (file,) = (await _saved(site, clock))["structuredContent"]["files"]
    answer = await site.get(file["link"], range="bytes=10-19")

    assert (answer.status_code, answer.content) == (206, Path(file["path"]).read_bytes()[10:20])


async def test_a_link_ends(site: Site, clock: HeldClock) -> None:
    (file,) = (await _saved(site, clock))["structuredContent"]["files"]
    clock.seconds += FILE_SECONDS - 10
    assert (await site.get(file["link"])).status_code == 200
    clock.seconds += 20

    answer = await site.get(file["link"])
    assert (answer.status_code, answer.json()["error"]) == (404, public_responses.INVALID_LINK)


def _other_servers_link(place: str, clock: HeldClock) -> str:
    return Links(f"{PUBLIC}/mcp", b"another key", clock.wall).to_file(place)


async def test_nothing_else_is_behind_such_a_link(site: Site, clock: HeldClock, tmp_path: Path) -> None:
    (file,) = (await _saved(site, clock))["structuredContent"]["files"]
    place = Path(file["path"]).relative_to(site.output).as_posix()
    (tmp_path / "secret.png").write_bytes(picture())
    (site.output / "note.txt").write_text("x")
    (site.output / "folder.png").mkdir()
    os.mkfifo(site.output / "pipe.png")
    (site.output / "link.png").symlink_to(tmp_path / "secret.png")
    (site.output / "away").symlink_to(tmp_path)
    shutil.copy(file["path"], site.output / "there.jpg")

    assert (await site.get(site.links.to_file("there.jpg"))).status_code == 200
    for inside in (
        "missing.png",
        "note.txt",
        "folder.png",
        "pipe.png",
        "link.png",
        "away/secret.png",
        "../secret.png",
        "a\x00.png",
    ):
        assert (await site.get(site.links.to_file(inside))).status_code == 404, inside
    assert (await site.get(site.links.to_file(str(tmp_path / "secret.png")))).status_code == 404
    assert (await site.get(_other_servers_link(place, clock))).status_code == 404
    assert (await site.http.get(f"/files/{place}")).status_code == 404
    assert (await site.http.get("/files/")).status_code == 404
    upload = site.links.to_send("").url
    assert (await site.get(upload.replace("/upload/", "/files/"))).status_code == 404
    assert (await site.http.delete(urlsplit(file["link"]).path)).status_code == 405


async def test_the_log_has_no_link(site: Site, clock: HeldClock, caplog: pytest.LogCaptureFixture) -> None:
    (file,) = (await _saved(site, clock))["structuredContent"]["files"]
    caplog.clear()
    caplog.set_level("INFO", logger="luma_mcp")
    await site.get(file["link"])
    await site.get(site.links.to_send("").url)
    await site.http.post(urlsplit(site.links.callback_url).path)

    facts = [record.facts["path"] for record in caplog.records if record.message == "request"]
    assert facts == ["/files/...", "/upload/...", "/callbacks/..."]


async def _link_to_send(site: Site, key: str = KEY) -> dict[str, Any]:
    return (await site.call("upload_file", key))["structuredContent"]


@pytest.mark.parametrize("way", ["form", "body"])
async def test_a_person_sends_a_picture_that_is_a_source_then(site: Site, way: str) -> None:
    link = await _link_to_send(site)
    page = await site.get(link["upload_url"])
    path = urlsplit(link["upload_url"]).path
    if way == "form":
        sent = await site.http.post(path, files={"file": ("../../evil.html", picture(), "text/html")})
    else:
        sent = await site.http.put(path, content=picture())
    refused = await site.call("create_video", prompt="a boat", start_frame=link["source"])
    (saved,) = (site.output / "persons").glob("anna-*/received/upload-*")

    assert page.status_code == 200
    assert 'type="file"' in page.text
    assert sent.status_code == 201
    assert "the file is here" in sent.text
    assert re.fullmatch(r"received/upload-[0-9a-f]{12}", link["source"])
    assert saved.name == f"{Path(link['source']).name}.png"
    assert saved.read_bytes() == picture()
    # The picture is found; only the bucket that Dream Machine reads from is missing.
    assert "LUMA_UPLOAD_URL" in refused["content"][0]["text"]


async def test_what_one_person_sends_is_no_source_of_another(site: Site) -> None:
    link = await _link_to_send(site)
    await site.http.put(urlsplit(link["upload_url"]).path, content=picture())
    refused = await site.call("create_video", "Yp3Nd7Gs1mJc9FeA", prompt="a boat", start_frame=link["source"])

    assert "There is no file" in refused["content"][0]["text"]


async def test_a_link_accepts_one_file(site: Site) -> None:
    path = urlsplit((await _link_to_send(site))["upload_url"]).path
    first = await site.http.put(path, content=picture())
    second = await site.http.put(path, content=picture(size=(32, 32)))

    assert (first.status_code, second.status_code) == (201, 410)
    assert "Ask for another link" in second.text
    assert len(list(site.output.glob("persons/*/received/upload-*"))) == 1


async def test_of_two_at_once_one_is_taken(site: Site) -> None:
    path = urlsplit((await _link_to_send(site))["upload_url"]).path
    statuses: list[int] = []

    async def put() -> None:
        statuses.append((await site.http.put(path, content=picture())).status_code)

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(put)

    assert sorted(statuses) == [201, 410, 410, 410]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "The file is empty"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "neither a picture nor a clip"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 100, "no whole picture or clip"),
        (b"PK\x03\x04" + b"x" * 100, "no whole picture or clip"),
        (b"#!/bin/sh\nexit\n" + b"x" * 100, "neither a picture nor a clip"),
    ],
)
async def test_only_whole_pictures_and_clips_are_taken_and_another_try_is_free(
    site: Site, content: bytes, sentence: str
) -> None:
    path = urlsplit((await _link_to_send(site))["upload_url"]).path
    refused = await site.http.put(path, content=content)
    again = await site.http.put(path, content=picture())

    assert refused.status_code == 422
    assert sentence in refused.text
    assert again.status_code == 201


@pytest.mark.parametrize("way", ["form", "body"])
async def test_a_file_that_is_too_large_is_not_read_to_its_end(
    site: Site, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(received, "MAX_BYTES", 100_000)
    path = urlsplit((await _link_to_send(site))["upload_url"]).path
    content = picture() + b"x" * 10_000_000
    if way == "form":
        refused = await site.http.post(path, files={"file": ("a.png", content)})
    else:
        refused = await site.http.put(path, content=content)

    assert refused.status_code == 422
    assert "larger than" in refused.text
    assert [path.name for path in site.output.glob("persons/*/received/*")] == []


@pytest.mark.parametrize("form", [{"other": ("a.png", picture())}, {"file": (None, "a")}])
async def test_a_form_without_a_file(site: Site, form: dict[str, Any]) -> None:
    path = urlsplit((await _link_to_send(site))["upload_url"]).path
    answer = await site.http.post(path, files=form)

    assert answer.status_code == 422
    assert "No file was sent" in answer.text


async def test_a_form_that_is_none(site: Site) -> None:
    path = urlsplit((await _link_to_send(site))["upload_url"]).path
    answer = await site.http.post(path, content=b"x", headers={"content-type": "multipart/form-data; boundary=a"})

    assert answer.status_code in (400, 422)
    assert (await site.http.put(path, content=picture())).status_code == 201


async def test_a_link_for_sending_ends(site: Site, clock: HeldClock) -> None:
    link = (await _link_to_send(site))["upload_url"]
    clock.seconds += UPLOAD_SECONDS + 1

    assert (await site.get(link)).status_code == 404
    assert (await site.http.put(urlsplit(link).path, content=picture())).status_code == 404
    assert (await site.http.delete(urlsplit(site.links.to_send("").url).path)).status_code == 405


async def test_a_disk_that_accepts_nothing_is_reported(site: Site) -> None:
    site.output.mkdir(parents=True)
    (site.output / "received").write_text("a file where the folder should be")
    answer = await site.http.put(urlsplit(site.links.to_send("").url).path, content=picture())

    assert answer.status_code == 507


async def test_a_sender_who_gives_up_leaves_nothing(site: Site) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield picture()[:20]
        raise ClientDisconnect

    path = urlsplit(site.links.to_send("").url).path
    answer = await site.http.put(path, content=broken())

    assert (answer.status_code, "did not come whole" in answer.text) == (400, True)
    assert list(site.output.glob("received/*")) == []
    assert (await site.http.put(path, content=picture())).status_code == 201


async def test_a_sender_who_is_too_slow_is_reported(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_uploads, "_WHOLE_SECONDS", 0.1)

    async def slow() -> AsyncIterator[bytes]:
        yield picture()[:20]
        await anyio.sleep_forever()

    answer = await site.http.put(urlsplit(site.links.to_send("").url).path, content=slow())
    assert answer.status_code == 400


class _Sender:
    """A body whose second half comes when it is let."""

    def __init__(self) -> None:
        self.has_started = anyio.Event()
        self.may_end = anyio.Event()

    async def body(self) -> AsyncIterator[bytes]:
        content = picture()
        yield content[:20]
        self.has_started.set()
        await self.may_end.wait()
        yield content[20:]


async def test_one_person_sends_a_few_files_at_once_and_leaves_room_for_others(site: Site) -> None:
    senders = [_Sender() for _ in range(public_uploads.MAX_SENDING_OF_PERSON)]
    statuses: list[int] = []

    async def send(sender: _Sender) -> None:
        path = urlsplit(site.links.to_send("persons/anna").url).path
        statuses.append((await site.http.put(path, content=sender.body())).status_code)

    async with anyio.create_task_group() as tasks:
        for sender in senders:
            tasks.start_soon(send, sender)
        for sender in senders:
            await sender.has_started.wait()
        of_anna, of_ben = (site.links.to_send(f"persons/{name}").url for name in ("anna", "ben"))
        refused = await site.http.put(urlsplit(of_anna).path, content=picture())
        received_of_ben = await site.http.put(urlsplit(of_ben).path, content=picture())
        for sender in senders:
            sender.may_end.set()
    again = await site.http.put(urlsplit(of_anna).path, content=picture())

    assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")
    assert (received_of_ben.status_code, again.status_code, set(statuses)) == (201, 201, {201})


async def test_all_together_send_a_number_of_files_at_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_uploads, "MAX_SENDING", 1)
    sender, statuses = _Sender(), list[int]()

    async def send() -> None:
        path = urlsplit(site.links.to_send("persons/anna").url).path
        statuses.append((await site.http.put(path, content=sender.body())).status_code)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        await sender.has_started.wait()
        refused = await site.http.put(urlsplit(site.links.to_send("persons/ben").url).path, content=picture())
        sender.may_end.set()

    assert (refused.status_code, statuses) == (429, [201])


async def test_a_sender_who_pauses_too_long_is_abandoned(site: Site) -> None:
    async def pausing() -> AsyncIterator[bytes]:
        yield picture()[:20]
        await anyio.sleep_forever()

    uploads = public_uploads.PublicUploads(site.links, lambda: site.output, stall_seconds=0.05)
    text = site.links.to_send("").url.rpartition("/")[2]
    sent = pausing()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": await anext(sent), "more_body": True}

    scope = {"type": "http", "method": "PUT", "path": "/", "headers": [], "query_string": b""}
    answer = await uploads.respond(Request(scope, receive), text)

    assert answer.status_code == 400
    assert list(site.output.glob("received/*")) == []


async def test_a_callback_that_does_not_end_is_abandoned(site: Site) -> None:
    seen: list[str] = []
    callbacks = PublicCallbacks(site.links, seen.append, body_seconds=0.05)

    async def receive() -> dict[str, Any]:
        await anyio.sleep_forever()
        raise AssertionError

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
    answer = await callbacks.respond(Request(scope, receive), site.links.callback_url.rpartition("/")[2])

    assert (answer.status_code, answer.headers["connection"], seen) == (408, "close", [])


async def test_a_file_that_the_host_hands_on_is_fetched(site: Site, transport: InMemory) -> None:
    asked: list[str] = []
    handle = transport.handle_async_request

    async def internet(request: httpx.Request) -> httpx.Response:
        if request.url.host != "127.0.0.1":
            asked.append(str(request.url))
            return httpx.Response(200, stream=httpx.ByteStream(picture()))
        return await handle(request)

    transport.handle_async_request = internet  # type: ignore[method-assign]
    file = {"download_url": "https://93.184.216.34/a", "file_id": "file_1", "mime_type": "image/png"}
    result = await site.call("upload_file", file=file)
    assert "isError" not in result or not result["isError"], result
    local = await site.call("upload_file", file={**file, "download_url": "https://10.0.0.1/a"})

    assert asked
    assert re.fullmatch(r"received/upload-[0-9a-f]{12}\.png", result["structuredContent"]["source"])
    assert "upload_url" not in result["structuredContent"]
    assert local["isError"]


async def test_luma_gets_the_callback_address(site: Site, transport: InMemory) -> None:
    await site.call("create_video", prompt="a boat", resolution="540p")
    dry = await site.call("create_video", prompt="a boat", resolution="540p", dry_run=True)
    (purchase,) = [request for request in transport.requests if request.method == "POST"]

    assert json.loads(purchase.content)["callback_url"] == site.links.callback_url
    assert "/callbacks/" not in json.dumps(dry)


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b'{"id": "15b7abb1-3741-4b7e-9615-1f9a16c7442d"}', 200),
        (b"{", 400),
        (b"[]", 400),
        (b'{"id": 5}', 400),
        (b'{"id": "a b"}', 400),
        (b"{}", 400),
        (b" " * 300_000, 400),
    ],
)
async def test_a_callback_is_looked_at_with_care(site: Site, content: bytes, status: int) -> None:
    path = urlsplit(site.links.callback_url).path

    assert (await site.http.post(path, content=content)).status_code == status
    assert (await site.http.post(path[:-2] + "xx", content=content)).status_code == 404
    assert (await site.http.get(path)).status_code == 405


async def test_other_requests_are_handed_on() -> None:
    seen: list[str] = []

    async def inner(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["type"])

    door = PublicPaths(inner, Links(PUBLIC, b"key", lambda: 0.0), Path, seen.append)
    await door({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    await door({"type": "websocket", "path": "/files/x"}, None, None)  # type: ignore[arg-type]
    await door({"type": "http", "path": "/mcp"}, None, None)  # type: ignore[arg-type]

    assert seen == ["lifespan", "websocket", "http"]


@pytest.mark.parametrize("address", ["https://a.example/mcp", "https://a.example/mcp/", "https://a.example"])
def test_the_paths_are_beside_mcp(address: str) -> None:
    links = Links(address, b"key", lambda: 0.0)

    assert links.to_file("a b/\u00e9#.png").startswith("https://a.example/files/")
    assert links.to_file("a b/\u00e9#.png").endswith("/%C3%A9%23.png")
    assert links.to_send("").url.startswith("https://a.example/upload/")
    assert links.callback_url.startswith("https://a.example/callbacks/")


async def test_without_a_public_address_there_are_no_links(serve: Any, settings: Settings) -> None:
    server = serve()

    assert build_links(settings) is None
    assert "upload_file" not in {tool.name for tool in await server.list_tools()}
