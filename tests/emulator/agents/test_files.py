"""The Files of the emulated Agents API."""

from typing import Any

import httpx
import pytest

from tests.emulator.agents.conftest import Api, World, still

pytestmark = pytest.mark.anyio

DATA = still()


async def created(http: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await http.post("/v1/files", json={"mime_type": "image/png", "size_bytes": len(DATA)} | body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def state(http: httpx.AsyncClient, file_id: str) -> str:
    return (await http.get(f"/v1/files/{file_id}")).json()["state"]


async def test_an_upload_link_checks_what_is_put(http: httpx.AsyncClient, world: World) -> None:
    file = await created(http)
    url, headers = file["upload"]["url"], file["upload"]["headers"]

    assert (await http.put(url, content=DATA, headers={"Content-Type": "image/jpeg"})).status_code == 403
    assert (await http.put(url, content=DATA[:-1], headers=headers)).status_code == 400
    assert (await http.put(url + "x", content=DATA, headers=headers)).status_code == 403
    assert (await http.post(f"/v1/files/{file['id']}/complete")).status_code == 409
    world.seconds += 16 * 60
    late = await http.put(url, content=DATA, headers=headers)
    assert (late.status_code, "expired" in late.text) == (403, True)


async def test_a_file_is_ingested_and_used(api: Api, http: httpx.AsyncClient) -> None:
    file_id = await api.uploaded(DATA)

    assert await state(http, file_id) == "ready"
    again = await http.post(f"/v1/files/{file_id}/complete")
    assert again.json()["state"] == "ready"
    await api.create(prompt="a boat", image_ref=[{"file_id": file_id}])


@pytest.mark.parametrize("mime_type", ["image/png", "text/html"])
async def test_an_ingest_can_fail(api: Api, http: httpx.AsyncClient, mime_type: str) -> None:
    file_id = await api.uploaded(b"no picture", mime_type)
    file = (await http.get(f"/v1/files/{file_id}")).json()

    assert file["state"] == "failed"
    assert file["failure_reason"]
    assert (await api.refusal(prompt="a", image_ref=[{"file_id": file_id}]))[1] == "image_ref[0]: file is not ready"


async def test_a_file_can_come_in_one_piece(api: Api, http: httpx.AsyncClient, world: World) -> None:
    """As the SDK for Node sends it."""
    answer = await http.post("/v1/files", files={"file": ("a.png", DATA, "image/png")}, data={"purpose": "reference"})
    file = answer.json()
    assert (file["state"], file["upload"], file["file"]["filename"]) == ("pending", None, "a.png")
    world.seconds += 10
    assert await state(http, file["id"]) == "ready"
    assert (await http.post("/v1/files", files={"other": ("a", b"a")})).json()["detail"] == "file is required"


async def test_a_large_file_cannot_come_in_one_piece(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luma_mcp.emulator.agents.app.MAX_INLINE_BYTES", 10)

    assert (await http.post("/v1/files", files={"file": ("a.png", DATA, "image/png")})).status_code == 413


async def test_files_are_listed_newest_first_in_pages(http: httpx.AsyncClient) -> None:
    ids = [(await created(http, filename=f"{number}.png"))["id"] for number in range(5)]
    first = (await http.get("/v1/files?limit=3")).json()
    second = (await http.get(f"/v1/files?limit=3&cursor={first['next_cursor']}")).json()

    assert [file["id"] for file in first["data"] + second["data"]] == ids[::-1]
    assert (first["has_more"], second["has_more"], second["next_cursor"]) == (True, False, None)
    assert (await http.get("/v1/files?state=ready")).json()["data"] == []
    assert (await http.get("/v1/files?limit=0")).status_code == 422
    assert (await http.get("/v1/files?cursor=x")).status_code == 422


async def test_a_file_is_deleted_softly_or_expires(http: httpx.AsyncClient, world: World) -> None:
    gone, aware, naive = [
        (await created(http, expires_at=when))["id"] for when in (None, "1970-01-01T00:20:00Z", "1970-01-01T00:20:00")
    ]
    assert (await http.delete(f"/v1/files/{gone}")).status_code == 204
    assert await state(http, gone) == "deleted"
    assert [await state(http, file_id) for file_id in (aware, naive)] == ["pending", "pending"]
    world.seconds += 1_000
    assert [await state(http, file_id) for file_id in (aware, naive)] == ["deleted", "deleted"]
    assert (await http.delete("/v1/files/nothing")).status_code == 404
