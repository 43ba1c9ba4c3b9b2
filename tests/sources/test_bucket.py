"""Local files on their way to Luma, by a real S3 server on loopback: the emulator reads them by their signed links."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx
import pytest
from mcp import Client
from PIL import Image

from luma_mcp.composition import build_server
from luma_mcp.config.settings import Settings
from luma_mcp.domain.errors import FileError
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.dream_machine.app import fetch_input
from luma_mcp.emulator.faults import Fault
from luma_mcp.emulator.rendering import clips
from luma_mcp.ledger.outbox import Outbox
from luma_mcp.sources import bucket as module
from luma_mcp.sources.bucket import Bucket
from luma_mcp.sources.local_files import LocalFile
from tests.support.agent import Agent, HeldClock, InMemory, once, until
from tests.support.processes import free_port, once_it_listens

pytestmark = [pytest.mark.anyio, pytest.mark.medium]

BUCKET = "pictures"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of an S3 server that has one bucket."""
    port = free_port()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], **quiet)
    address = f"http://127.0.0.1:{port}"
    try:
        once_it_listens("PUT", f"{address}/{BUCKET}")
        yield address
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bucket's own, as its tools find them."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "GOOGLE_", "AZURE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-bucket-s-own-secret")


@pytest.fixture
def address(s3: str, request: pytest.FixtureRequest) -> str:
    """A folder of the test's own in the bucket."""
    folder = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]
    return f"s3://{BUCKET}/{folder}?endpoint={s3}&region=us-east-1"


@pytest.fixture
def uploads(address: str) -> Bucket:
    return Bucket(address, local_api=True)


def picture(shade: str = "teal", size: tuple[int, int] = (640, 360)) -> bytes:
    out = BytesIO()
    Image.new("RGB", size, shade).save(out, "PNG")
    return out.getvalue()


HERO = LocalFile.of_bytes("hero.png", "png", picture())


def listed(s3: str, address: str) -> list[str]:
    """What lies in the folder."""
    prefix = urlsplit(address).path.lstrip("/")
    text = httpx.get(f"{s3}/{BUCKET}", params={"list-type": "2", "prefix": prefix}, trust_env=False).text
    return [part.partition("</Key>")[0] for part in text.split("<Key>")[1:]]


async def test_a_file_is_put_once_and_opened_by_its_link(uploads: Bucket, s3: str, address: str) -> None:
    link = await uploads.put(HERO)
    again = await uploads.put(HERO)
    answer = httpx.get(link, trust_env=False)

    assert answer.content == httpx.get(again, trust_env=False).content == picture()
    assert answer.headers["content-type"] == "image/png"
    assert listed(s3, address) == [f"{urlsplit(address).path.lstrip('/')}/{HERO.sha256}.png"]
    assert parse_qs(urlsplit(link).query)["X-Amz-Expires"] == [str(6 * 3600)]


async def test_a_saved_file_is_shared_by_a_link(uploads: Bucket, s3: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"a clip")
    links = [await uploads.share(path, "abc", "video/mp4") for _ in range(2)]
    async with httpx.AsyncClient(trust_env=False) as anybody:
        answer = await anybody.get(links[1])

    assert uploads.is_set
    assert (answer.content, answer.headers["content-type"]) == (b"a clip", "video/mp4")
    assert links[0].partition("?")[0] == links[1].partition("?")[0]
    with pytest.raises(FileError, match="cannot be used"):
        await uploads.share(tmp_path / "missing.mp4", "def", "video/mp4")


async def test_a_rehearsal_puts_nothing_and_reports_where(uploads: Bucket, s3: str, address: str) -> None:
    where = await uploads.location(HERO)

    assert where == f"{s3}/{BUCKET}{urlsplit(address).path}/{HERO.sha256}.png"
    assert listed(s3, address) == []


async def test_the_signature_is_that_of_amazon_s_own_library(uploads: Bucket, s3: str, address: str) -> None:
    from botocore.auth import S3SigV4QueryAuth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    link = await uploads.put(HERO)
    message = parse_qs(urlsplit(link).query)
    requested = AWSRequest("GET", link.partition("?")[0])
    signer = S3SigV4QueryAuth(
        Credentials("AKIATEST", "the-bucket-s-own-secret"), "s3", "us-east-1", expires=int(message["X-Amz-Expires"][0])
    )
    requested.context["timestamp"] = message["X-Amz-Date"][0]
    signer._modify_request_before_signing(requested)
    canonical = signer.canonical_request(requested)
    text = signer.string_to_sign(requested, canonical)

    assert message["X-Amz-Signature"] == [signer.signature(text, requested)]
    assert "the-bucket-s-own-secret" not in link


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("/pictures/", "/no-such-bucket/"), "there is no such bucket"),
        (("127.0.0.1", "127.0.0.1:1/"), "cannot be used"),
        (("s3://pictures/", "s3://no bucket/"), "cannot be used"),
    ],
)
async def test_a_bucket_that_cannot_be_used_is_reported(
    address: str, monkeypatch: pytest.MonkeyPatch, change: tuple[str, str], sentence: str
) -> None:
    monkeypatch.setattr(module, "_RETRY", {"max_retries": 0, "retry_timeout": timedelta(seconds=1)})
    with pytest.raises(FileError) as caught:
        await Bucket(address.replace(*change), local_api=True).put(HERO)

    message = caught.value.full_text
    assert sentence in message
    assert "Nothing was bought" in message
    assert "secret" not in message
    assert "X-Amz" not in message


async def test_a_link_that_luma_cannot_read_is_not_sent_there(address: str) -> None:
    with pytest.raises(FileError, match="links are not https"):
        await Bucket(address, local_api=False).location(HERO)


async def test_google_and_azure_sign_without_a_request(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    account = tmp_path / "account.json"
    account.write_text(
        json.dumps(
            {
                "type": "service_account",
                "private_key": pem,
                "private_key_id": "1",
                "client_email": "a@b.iam",
                "token_uri": "x",
            }
        )
    )
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(account))
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "c2VjcmV0")

    google = await Bucket("gs://pictures/in", local_api=False).location(HERO)
    azure = await Bucket("az://pictures/in?account=mine", local_api=False).location(HERO)

    assert google == f"https://storage.googleapis.com/pictures/in/{HERO.sha256}.png"
    assert azure == f"https://mine.blob.core.windows.net/pictures/in/{HERO.sha256}.png"


async def test_without_a_bucket_the_error_states_what_to_set() -> None:
    with pytest.raises(FileError) as caught:
        await Bucket(None, local_api=True).put(HERO)

    assert "'hero.png' is a local file, and Luma reads links only. LUMA_UPLOAD_URL is not set." in str(caught.value)
    assert "s3://bucket/folder" in caught.value.hint


async def test_without_its_package_the_error_states_what_to_install(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(FileError, match="package that it needs is not installed") as caught:
        await Bucket(address, local_api=True).put(HERO)

    assert "uv tool install '.[uploads]'" in caught.value.hint


# From here on, as an agent sees it.


@pytest.fixture
def emulator(emulator: Emulator) -> Emulator:
    """One that fetches links as Luma does, over real connections."""
    emulator.dream_machine._fetch = fetch_input
    return emulator


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "project"
    made.mkdir()
    (made / "hero.png").write_bytes(picture())
    return made


@pytest.fixture
async def agent(settings: Settings, address: str, folder: Path, transport, clock, era: str):
    values = settings.model_copy(update={"upload_url": address, "input_dirs": (folder,)})
    async with Client(build_server(values, transport=transport, clock=clock), mode=era) as client:
        yield Agent(client)


@pytest.mark.slow
@once
async def test_a_local_picture_becomes_a_video(agent: Agent, folder: Path, output: Path) -> None:
    clip = await agent.make("create_video", prompt="it comes alive", start_frame=str(folder / "hero.png"))
    answer = await agent.call("download_generation", generation_ids=[clip])

    with Path(answer["files"][0]["path"]).open("rb") as file:
        first = clips.first_frame(file)
    assert first.getpixel((600, 100)) == pytest.approx((0, 128, 128), abs=8), "it begins with the picture"


@once
async def test_every_place_for_a_picture_accepts_a_path(agent: Agent, emulator: Emulator) -> None:
    await agent.make(
        "create_image",
        prompt="a boat",
        image_refs=[{"source": "hero.png", "weight": 0.5}],
        style_refs=[{"source": "hero.png"}],
        character_images=["hero.png"],
        modify_image={"source": "hero.png"},
    )
    await agent.make("reframe_image", source="hero.png", aspect_ratio="1:1")
    await agent.make("create_video", prompt="a boat", end_frame="hero.png")

    assert len(emulator.dream_machine.billing.purchases()) == 3


@once
async def test_a_local_clip_is_priced_by_its_own_measures(agent: Agent, folder: Path) -> None:
    clips.write_clip(folder / "clip.mp4", [Image.new("RGB", (960, 540), "teal")] * 48, (960, 540))
    result = await agent.call("modify_video", source="clip.mp4", mode="flex_1", prompt="in oil", dry_run=True)
    await agent.make("reframe_video", source="clip.mp4", aspect_ratio="1:1", first_frame="hero.png")

    assert result["price_usd"] == pytest.approx(960 * 540 * 24 * 2 / 1e6 * 0.01582, abs=0.01)


async def test_a_local_clip_that_is_too_long_is_refused_before_it_is_sent(
    agent: Agent, folder: Path, s3: str, address: str
) -> None:
    clips.write_clip(folder / "long.mp4", [Image.new("RGB", (64, 36), "teal")] * 24 * 16, (64, 36))
    message = await agent.refusal("modify_video", source="long.mp4", mode="flex_1", model="ray-flash-2")

    assert "'long.mp4' is 16.0 s long, and this takes at most 15 s." in message
    assert listed(s3, address) == []


async def test_a_dry_run_puts_nothing_anywhere(agent: Agent, s3: str, address: str) -> None:
    result = await agent.call("create_video", prompt="a boat", start_frame="hero.png", dry_run=True)

    assert hashlib.sha256(picture()).hexdigest() in result["request"]
    assert "X-Amz" not in result["request"]
    assert listed(s3, address) == []


@pytest.mark.slow
@once
@pytest.mark.parametrize(("frame", "moment"), [("first", 0.0), ("last", 1.0), ("2.5s", 0.5)])
async def test_a_frame_of_an_earlier_clip_is_a_picture(agent: Agent, output: Path, frame: str, moment: float) -> None:
    """The clip pushes in, so its frames differ; the new clip begins with the one that was named."""
    made = await agent.make("create_video", prompt="a harbour", resolution="540p", concepts=["push_in"])
    image = await agent.make("create_image", prompt="over it", modify_image={"source": f"{made}#{frame}", "weight": 1})
    files = (await agent.call("download_generation", generation_ids=[made, image]))["files"]

    with Path(files[0]["path"]).open("rb") as file:
        frames = list(clips.frames_of(file))
    near = {at: _difference(Path(files[1]["path"]), frames[round(at * (len(frames) - 1))]) for at in (0.0, 0.5, 1.0)}
    assert min(near, key=lambda at: near[at]) == moment


def _difference(still: Path, frame: Image.Image) -> float:
    size = (96, 48)
    item, two = (
        picture.convert("L").crop((0, 0, picture.width, picture.height * 9 // 10)).resize(size).tobytes()
        for picture in (Image.open(still), frame)
    )
    return sum(abs(a - b) for a, b in zip(item, two, strict=True)) / len(item)


@pytest.mark.slow
@once
async def test_a_shot_of_a_film_ends_on_the_first_picture_of_the_next(agent: Agent) -> None:
    film = await agent.call(
        "create_film",
        shots=[{"prompt": "a boat", "end": "next"}, {"prompt": "a storm", "start": "hero.png"},
               {"prompt": "a harbour", "end": "next"}, {"prompt": "a lamp"}],
        resolution="540p", model="ray-flash-2",
    )  # fmt: skip
    done = await agent.call("wait_for_film", film_id=film["film_id"], timeout_seconds=1800)
    shots = [shot.get("waits_for") for shot in film["shots"]]
    with Path(done["path"]).open("rb") as file:
        frames = list(clips.frames_of(file))

    assert shots == [None, None, [4], None]
    assert done["state"] == "completed"
    assert [_unlikeness(frames[cut - 1], frames[cut]) < 10 for cut in (120, 240, 360)] == [True, False, True]


def _unlikeness(first: Image.Image, second: Image.Image) -> float:
    pixels = [frame.convert("L").resize((96, 54)).crop((0, 0, 96, 45)).tobytes() for frame in (first, second)]
    return sum(abs(a - b) for a, b in zip(*pixels, strict=True)) / len(pixels[0])


@pytest.mark.slow
@once
@pytest.mark.parametrize(
    ("frame", "sentence"),
    [("9.5s", "is beyond the end of the clip, which is 5.0 s long"), ("middle", "'middle' names no frame")],
)
async def test_a_frame_that_there_is_not_is_reported(agent: Agent, frame: str, sentence: str) -> None:
    made = await agent.make("create_video", prompt="a harbour", resolution="540p", model="ray-flash-2")

    assert sentence in await agent.refusal("create_video", prompt="a boat", start_frame=f"{made}#{frame}")


async def test_a_frame_is_no_clip_and_a_picture_has_none(agent: Agent) -> None:
    image = await agent.make("create_image", prompt="a harbour")

    message = await agent.refusal("modify_video", source=f"{image}#last", mode="flex_1")
    assert "is a picture; a clip is needed here" in message
    message = await agent.refusal("create_video", prompt="a boat", start_frame=f"{image}#last")
    assert "is an image; a video is needed here" in message


@pytest.mark.slow
@once
async def test_what_a_file_was_made_from_stands_beside_it(agent: Agent, output: Path) -> None:
    image = await agent.make("create_image", prompt="a harbour")
    clip = await agent.make(
        "create_video", prompt="it wakes", start_frame=image, resolution="540p", model="ray-flash-2"
    )
    longer = await agent.make("extend_video", generation_id=clip, prompt="night falls", end_frame=f"{clip}#first")
    larger = await agent.make("upscale_video", generation_id=longer, resolution="720p")
    answer = await agent.call("download_generation", generation_ids=[image, clip, longer, larger])
    notes = [json.loads(Path(file["path"] + ".json").read_text()) for file in answer["files"]]

    assert [note.get("made_from", []) for note in notes] == [[], [image], [clip], [longer]]
    assert notes[1]["prompt"] == "it wakes"
    assert notes[1]["settings"]["resolution"] == "540p"
    assert notes[1]["file"]["sha256"] == answer["files"][1]["sha256"]
    assert "X-Amz" not in str(notes)
    assert "secret" not in str(notes)


async def test_a_lost_response_is_found_again_though_the_file_is_signed_again(
    agent: Agent, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.faults.append(Fault("drop", path="*/video", after=True))
    emulator.faults.append(Fault("error", method="GET", path="*/generations", status=500, times=1000))
    message = await agent.refusal("create_video", prompt="a boat", start_frame="hero.png")
    emulator.faults.clear()
    monkeypatch.setattr(module, "LINK_LIFETIME", timedelta(hours=5))
    found = await agent.call("create_video", prompt="a boat", start_frame="hero.png")

    assert "It may have been charged" in message
    assert emulator.dream_machine.billing.purchases() == [found["generation_id"]]
    assert found["recovered"]


async def test_what_is_bought_is_copied_to_the_bucket_as_it_ends_where_that_is_set(
    settings: Settings, transport: InMemory, clock: HeldClock, uploads: Bucket, address: str
) -> None:
    chosen = settings.model_copy(update={"save": "all", "upload_url": address})
    server = build_server(chosen, transport=transport, clock=clock, with_jobs=True)
    async with Client(server) as client:
        await Agent(client).call("create_image", prompt="a harbour")
        outbox = Outbox(server.services.purchases.ledger)

        async def is_empty() -> bool:
            await anyio.sleep(0.01)
            return await outbox.open("save") == []

        with anyio.fail_after(120):
            await until(is_empty)
    (saved,) = settings.output_folder.glob("*.jpg")
    name = f"{hashlib.sha256(saved.read_bytes()).hexdigest()}.jpg"

    assert uploads._open("any").head(name)["size"] == saved.stat().st_size


async def test_a_large_file_is_sent_in_parts_and_one_that_changes_meanwhile_is_not_kept(uploads: Bucket) -> None:
    data = os.urandom(11 * 1024**2)
    link = await uploads.put(LocalFile.of_bytes("a", "mp4", data))
    assert httpx.get(link, trust_env=False).content == data

    changed = replace(LocalFile.of_bytes("a", "mp4", data), sha256="0" * 64)
    with pytest.raises(FileError, match="was changed while it was sent"):
        await uploads.put(changed)
    with pytest.raises(FileNotFoundError):
        uploads._open("any").head(f"{'0' * 64}.mp4")
