"""Where an asset may come from."""

import pytest

from luma_mcp.domain.addresses import is_public_address
from luma_mcp.domain.errors import FileError
from luma_mcp.net.ssrf import check, resolve
from tests.support.agent import BASE_URL

pytestmark = pytest.mark.anyio

PUBLIC = ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34", "2002:5db8:d822::1"]
NOT_PUBLIC = [
    "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
    "255.255.255.255", "168.63.129.16", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::",
    "fec0::1", "::ffff:0:127.0.0.1", "192.0.0.192", "192.0.0.9", "192.88.99.1", "3fff::1", "2001:20::1", "5f00::1",
    "100::1", "240.0.0.1", "2002:a9fe:a9fe::", "::127.0.0.1",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public_address(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_leads_inside_is_not_however_it_is_wrapped(address: str) -> None:
    assert not is_public_address(address)


def leads_to(*addresses: str):
    async def look_up(_host: str, _port: int) -> list[str]:
        return list(addresses)

    return look_up


async def test_a_public_https_link_is_let_through_with_its_addresses() -> None:
    found = await check("https://cdn.example/v.mp4?x=1", api_url=BASE_URL, resolve_host=leads_to(*PUBLIC[:2]))

    assert (found.url, found.host) == ("https://cdn.example/v.mp4?x=1", "cdn.example")
    assert found.addresses == tuple(PUBLIC[:2])


async def test_one_address_that_leads_inside_is_enough_to_refuse() -> None:
    with pytest.raises(FileError, match="not a public address"):
        await check("https://cdn.example/v.mp4", api_url=BASE_URL, resolve_host=leads_to(PUBLIC[0], "127.0.0.1"))


@pytest.mark.parametrize(
    "url",
    [
        "http://cdn.example/v.mp4", "file:///etc/passwd", "ftp://cdn.example/v.mp4", "data:video/mp4;base64,AAAA",
        "https://me:secret@cdn.example/v.mp4", "https:///v.mp4", "//cdn.example/v.mp4", "", "https://[::1", "gopher://x",
        "http://127.0.0.1:10/assets/x", "https://cdn.example:port/v.mp4",
    ],
)  # fmt: skip
async def test_what_is_no_plain_https_link_is_refused_unasked(url: str) -> None:
    async def never(_host: str, _port: int) -> list[str]:
        raise AssertionError("nobody should be asked")

    with pytest.raises(FileError) as caught:
        await check(url, api_url=BASE_URL, resolve_host=never)
    assert "secret" not in str(caught.value)


async def test_the_apis_own_address_is_let_through_unpinned() -> None:
    """The emulator's assets, while the emulator is the API in use."""
    found = await check("http://127.0.0.1:9/assets/x/video.mp4", api_url=BASE_URL, resolve_host=leads_to())

    assert found.addresses == ()


async def test_a_name_without_an_address_is_said_not_to_be_found() -> None:
    async def fails(_host: str, _port: int) -> list[str]:
        raise OSError("no such host")

    with pytest.raises(FileError, match="cannot be found"):
        await check("https://cdn.example/v.mp4", api_url=BASE_URL, resolve_host=fails)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "localhost"])
async def test_numbers_in_disguise_are_seen_through(host: str) -> None:
    """By the operating system's own eyes: what would be connected to is what is judged."""
    with pytest.raises(FileError, match="not a public address"):
        await check(f"https://{host}/v.mp4", api_url=BASE_URL)


async def test_the_operating_system_resolves() -> None:
    assert await resolve("127.0.0.1", 443) == ["127.0.0.1"]
