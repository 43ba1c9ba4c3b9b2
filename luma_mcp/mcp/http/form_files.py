"""The file of an HTML form, streamed: it is neither held in memory nor in temporary files."""

from collections.abc import AsyncIterator

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from luma_mcp.domain.errors import FileError

_FIELD = b"file"
_MAX_HEADERS, _MAX_HEADER_BYTES = 16, 8 * 1024


class _FileField:
    """Collects the bytes of the first field `file` as the parser finds them."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.is_found = False
        self.is_over = False
        self._is_current = False
        self._name, self._value = bytearray(), bytearray()

    def on_part_begin(self) -> None:
        self._is_current = False

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if bytes(self._name).lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self._is_current = not self.is_found and options.get(b"name") == _FIELD and b"filename" in options
            self.is_found |= self._is_current
        self._name.clear()
        self._value.clear()

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_current:
            self.data += data[start:end]

    def on_end(self) -> None:
        self.is_over = True


async def file_of_form(content_type: str, stream: AsyncIterator[bytes], max_other_bytes: int) -> AsyncIterator[bytes]:
    """The bytes of the field `file`.

    Args:
        content_type: the header of the request.
        stream: the body of the request.
        max_other_bytes: the most that the form may have beside the file.

    Raises:
        FileError: it has no file.
        ValueError: it is not a form, it is cut short, or it has too much beside its file.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise ValueError("a form without a boundary")
    field = _FileField()
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": field.on_part_begin,
                "on_header_field": field.on_header_field,
                "on_header_value": field.on_header_value,
                "on_header_end": field.on_header_end,
                "on_part_data": field.on_part_data,
                "on_end": field.on_end,
            },
            max_header_count=_MAX_HEADERS,
            max_header_size=_MAX_HEADER_BYTES,
        )
        others = 0
        async for block in stream:
            parser.write(block)
            others += len(block) - len(field.data)
            if others > max_other_bytes:
                raise ValueError("a form with too much beside its file")
            if field.data:
                yield bytes(field.data)
                field.data.clear()
    except FormParserError as error:
        raise ValueError("no form") from error
    if field.is_over and not field.is_found:
        raise FileError("No file was sent.", "Choose one.")
    if not field.is_over:
        raise ValueError("a form that is cut short")
