"""The skill over MCP (SEP-2640): a list of one, its frontmatter, and a digest that fits what is read."""

import hashlib
from typing import Any

import pytest
from mcp import Client, MCPError
from mcp.client import advertise
from ruamel.yaml import YAML

from luma_mcp.mcp.skills import FILE, IDENTIFIER, URI, frontmatter_of

pytestmark = pytest.mark.anyio

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {"extensions": {IDENTIFIER: {}}},
}


@pytest.fixture
async def client(serve: Any) -> Any:
    async with Client(serve(), extensions=[advertise(IDENTIFIER, {})]) as made:
        yield made


async def ask(client: Client, method: str, **params: Any) -> dict[str, Any]:
    return await client.session._dispatcher.send_raw_request(method, {**params, "_meta": META}, None)


async def test_the_skill_is_listed_with_what_proves_its_content(client: Client) -> None:
    listed = await ask(client, "skills/list")
    (skill,) = listed["skills"]
    read = (await client.read_resource(URI)).contents[0]
    data = read.text.encode()

    assert (listed["resultType"], listed["cacheScope"]) == ("complete", "public")
    assert listed["ttlMs"] > 0
    assert skill["uri"] == URI
    assert skill["uri"].split("/")[-2] == skill["frontmatter"]["name"]
    assert skill["resources"] == [
        {"uri": URI, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}
    ]
    assert data == FILE.read_bytes()
    assert read.mime_type == "text/markdown"


async def test_the_skill_is_got_by_its_address(client: Client) -> None:
    got = await ask(client, "skills/get", uri=URI)

    assert got["skill"] == (await ask(client, "skills/list"))["skills"][0]
    for other in ("skill://other/SKILL.md", URI.removesuffix("/SKILL.md"), "skill://dream-machine/other.md"):
        with pytest.raises(MCPError) as caught:
            await ask(client, "skills/get", uri=other)
        assert caught.value.error.code == -32602


async def test_the_extension_is_declared(client: Client) -> None:
    capabilities = client.session.server_capabilities

    assert capabilities is not None
    assert capabilities.extensions is not None
    assert capabilities.extensions[IDENTIFIER] == {}


async def test_the_skill_is_a_resource_for_other_clients(serve: Any, era: str) -> None:
    async with Client(serve(), mode=era) as client:
        listed = {str(resource.uri): resource for resource in (await client.list_resources()).resources}

    assert listed[URI].name == "dream-machine"
    assert (listed[URI].description or "").startswith("Make, extend")


def test_the_frontmatter_is_what_a_reader_of_yaml_sees() -> None:
    text = FILE.read_text()

    assert frontmatter_of(text) == dict(YAML(typ="safe").load(text.split("---\n")[1]))
