"""The file of a form is found in a stream, however it is cut."""

from collections.abc import AsyncIterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_mcp.domain.errors import FileError
from luma_mcp.mcp.http.form_files import file_of_form

pytestmark = pytest.mark.anyio

_HEAD = b'Content-Disposition: form-data; name="file"; filename="b"'
_CONTENT = b"\r\n--a\r\n\x00" * 300


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def _form(**fields: object) -> tuple[str, bytes]:
    request = httpx.Request("POST", "https://a.example", files=fields)  # type: ignore[arg-type]
    return request.headers["content-type"], request.read()


async def _blocks(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def _found(content_type: str, data: bytes, size: int = 1000, most: int = 65536) -> bytes:
    return b"".join([block async for block in file_of_form(content_type, _blocks(data, size), most)])


@given(size=st.integers(1, 4000))
async def test_the_file_is_whole_however_the_form_is_cut(size: int) -> None:
    content_type, data = _form(other=(None, "x" * 100), file=("a.png", _CONTENT), more=("b.png", b"no"))

    assert await _found(content_type, data, size) == _CONTENT


async def test_the_first_of_two_files_is_received() -> None:
    content_type, data = _form(file=("a.png", b"first"))
    boundary = content_type.partition("boundary=")[2].encode()
    second = b"--" + boundary + b"\r\n" + _HEAD + b"\r\n\r\nsecond\r\n"

    assert await _found(content_type, data.replace(b"--" + boundary + b"--", second + b"--" + boundary + b"--")) == (
        b"first"
    )


async def test_a_form_without_a_file_is_refused() -> None:
    with pytest.raises(FileError, match="No file was sent"):
        await _found(*_form(file=(None, "text"), other=("a.png", b"x")))


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        ("multipart/form-data", b"--a"),
        ("multipart/form-data; boundary=a", b"--b\r\n"),
        ("multipart/form-data; boundary=a", b""),
        (
            "multipart/form-data; boundary=a",
            b'--a\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nabc',
        ),
        ("multipart/form-data; boundary=a", b"--a\r\n" + b"a: b\r\n" * 40),
        ("multipart/form-data; boundary=" + "a" * 5000, b"--a"),
    ],
)
async def test_what_is_no_whole_form_is_refused(content_type: str, data: bytes) -> None:
    with pytest.raises(ValueError, match="form"):
        await _found(content_type, data)


async def test_a_form_may_have_little_beside_its_file() -> None:
    with pytest.raises(ValueError, match="too much"):
        await _found(*_form(other=("a.png", b"x" * 100_000), file=("a.png", b"x")))
