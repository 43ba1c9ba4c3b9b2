"""Metadata of pictures, left out without encoding the picture again. These functions block.

A telephone writes the place where a photo was taken into its EXIF, and often into its XMP. Luma does not need it. The
picture and its colour profile stay byte for byte.
"""

import struct
from collections.abc import Iterator

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
# The tag of the positions in EXIF, in both orders of bytes, and the name that XMP has for them.
_POSITION_MARKS = (b"\x88\x25", b"\x25\x88", b"GPS", b"gps")
_APP1, _START_OF_SCAN, _END_OF_IMAGE = 0xE1, 0xDA, b"\xff\xd9"
_WEBP_METADATA = frozenset({b"EXIF", b"XMP "})
_WEBP_METADATA_FLAGS = 0x0C


def without_position(data: bytes) -> bytes:
    """Return a JPEG, PNG or WebP without the metadata that may hold a position; unchanged if none holds one."""
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data.startswith(PNG_SIGNATURE):
        chunks = [(kind, data[start:end]) for kind, start, end in png_chunks(data)]
        retained = [chunk for kind, chunk in chunks if not (_is_png_metadata(kind) and _has_position(chunk))]
        return data if len(retained) == len(chunks) else b"".join((PNG_SIGNATURE, *retained))
    return _webp(data)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each chunk of a PNG, and the positions at which the whole chunk starts and ends."""
    at = len(PNG_SIGNATURE)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            return
        yield kind, at, end
        at = end


def _is_png_metadata(kind: bytes) -> bool:
    return kind == b"eXIf" or kind in PNG_TEXTS


def _has_position(metadata: bytes) -> bool:
    # ImageMagick writes the EXIF of a PNG as hexadecimal digits into a text.
    return b"Raw profile type" in metadata or any(mark in metadata for mark in _POSITION_MARKS)


def _jpeg(data: bytes) -> bytes:
    """Return the first picture of a JPEG; others behind it, as telephones add them, have metadata of their own."""
    retained, at, has_position = [data[:2]], 2, False
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != _START_OF_SCAN:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        segment = data[at:end]
        if data[at + 1] == _APP1 and _has_position(segment):
            has_position = True
        elif data[at + 1] != _APP1:
            retained.append(segment)
        at = end
    image_end = data.find(_END_OF_IMAGE, at) + 2
    behind = data[image_end:] if image_end >= 2 else b""
    if not has_position and not (b"Exif\0\0" in behind and _has_position(behind)):
        return data
    return b"".join((*retained, data[at : image_end if image_end >= 2 else None]))


def _webp(data: bytes) -> bytes:
    chunks: list[tuple[bytes, bytes]] = []
    at = 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + length + length % 2
        chunks.append((data[at : at + 4], data[at:end]))
        at = end
    if not any(kind in _WEBP_METADATA and _has_position(chunk) for kind, chunk in chunks):
        return data
    body = b"".join(_unflagged(kind, chunk) for kind, chunk in chunks if kind not in _WEBP_METADATA)
    return b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body


def _unflagged(kind: bytes, chunk: bytes) -> bytes:
    """Return the head of a WebP without the flags that announce metadata; another chunk as it is."""
    if kind != b"VP8X":
        return chunk
    return chunk[:8] + bytes([chunk[8] & ~_WEBP_METADATA_FLAGS]) + chunk[9:]
