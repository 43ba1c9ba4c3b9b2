"""MP4 files checked before libav sees them: a table of samples may not promise more than the file can hold.

libav makes room for every sample that a table counts, so some hundred bytes can ask for gigabytes. Source: ISO/IEC
14496-12, section 8.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO

from luma_mcp.domain.errors import FileError

# Boxes that hold other boxes on the way to the tables.
_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"mvex"})
# Tables: the position of their count of entries, and the bytes that an entry has at least.
_TABLES = {
    b"stts": (4, 8), b"ctts": (4, 8), b"stsc": (4, 12), b"stco": (4, 4), b"co64": (4, 8), b"stss": (4, 4),
    b"trun": (4, 0),
}  # fmt: skip
MAX_SAMPLES = 1_000_000
"""More than a clip of a minute at 240 frames a second with its sound."""
_MAX_BOXES = 10_000


def check_tables(file: BinaryIO) -> None:
    """Look through the tables of an MP4 file, which is left at its begin.

    Raises:
        FileError: a table counts more samples than a clip may have, or more entries than it holds.
    """
    size = file.seek(0, 2)
    for number, (kind, start, end) in enumerate(_boxes(file, 0, size)):
        if number > _MAX_BOXES:
            raise _implausible()
        if kind in _TABLES or kind == b"stsz":
            file.seek(start)
            _check_table(kind, file.read(min(end - start, 64 * 1024**2)))
    file.seek(0)


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The kind of each box, and where its content begins and ends, from the outside in."""
    while (box := box_at(file, start, end)) is not None:
        kind, content, start = box
        last = min(start, end)
        yield kind, content, last
        if kind in _CONTAINERS:
            yield from _boxes(file, content, last)


def box_at(file: BinaryIO, start: int, end: int) -> tuple[bytes, int, int] | None:
    """The box that begins there: its kind, where its content begins, and where it says that it ends.

    None if there is none, or its length is less than that of its own head. A length of 0 goes to the end.
    """
    if start + 8 > end:
        return None
    file.seek(start)
    length, kind = struct.unpack(">I4s", file.read(8))
    content = start + 8
    if length == 1:
        length = int.from_bytes(file.read(8), "big")
        content += 8
    elif length == 0:
        length = end - start
    return (kind, content, start + length) if length >= content - start else None


def _check_table(kind: bytes, content: bytes) -> None:
    if kind == b"stsz":
        if len(content) < 12:
            raise _implausible()
        same_size, count = struct.unpack_from(">II", content, 4)
        if count > MAX_SAMPLES or (same_size == 0 and count * 4 > len(content) - 12):
            raise _implausible()
        return
    at, entry_bytes = _TABLES[kind]
    if len(content) < at + 4:
        raise _implausible()
    (count,) = struct.unpack_from(">I", content, at)
    if count > MAX_SAMPLES or count * entry_bytes > len(content) - at - 4:
        raise _implausible()
    if kind in (b"stts", b"ctts"):
        samples = sum(struct.unpack_from(">I", content, at + 4 + entry * 8)[0] for entry in range(count))
        if samples > MAX_SAMPLES:
            raise _implausible()


def _implausible() -> FileError:
    return FileError("The file's tables promise more than it can hold.", "It is damaged, or made to do harm.")
