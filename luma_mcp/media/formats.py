"""The file formats that are taken and saved, recognised by their first bytes.

EXR frames come as files of their own or as an archive: Luma does not say. An archive is saved, and never opened.
"""

from pathlib import Path

from luma_mcp.media.boxes import box_at

# What a file of these formats has at its end, and in how many of its last bytes.
_ENDS = {
    "png": (b"IEND\xaeB`\x82", 64), "jpg": (b"\xff\xd9", 64), "gif": (b";", 1), "zip": (b"PK\x05\x06", 64 * 1024),
}  # fmt: skip

# Media types by file ending.
MEDIA_TYPES = {
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "webm": "video/webm",
    "exr": "image/x-exr",
    "zip": "application/zip",
}
# Files of the ISO media format that hold an image: HEIC, which telephones make, and AVIF.
_IMAGE_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis"})


def sniff(head: bytes) -> str | None:
    """The file ending for a file that begins with these bytes; None if it is none of these formats."""
    if head[4:8] == b"ftyp" and head[8:12] not in _IMAGE_BRANDS:
        return "mov" if head[8:12] == b"qt  " else "mp4"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    if head.startswith(b"\x76\x2f\x31\x01"):
        return "exr"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "webm"
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    return "gif" if head.startswith((b"GIF87a", b"GIF89a")) else None


def sniff_sound(head: bytes) -> str | None:
    """The kind of a sound file that begins with these bytes; None if it is none of those that are read."""
    if head.startswith(b"RIFF") and head[8:12] == b"WAVE":
        return "wav"
    if head.startswith(b"fLaC"):
        return "flac"
    if head.startswith(b"OggS"):
        return "ogg"
    if head[4:8] == b"ftyp":
        return "m4a"
    is_mpeg = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 in (0xE2, 0xE4, 0xE6)
    return "mp3" if head.startswith(b"ID3") or is_mpeg else None


def is_whole(path: Path, ending: str) -> bool:
    """Return whether a file is complete by its own structure. EXR does not state it, so an EXR file counts as complete.

    Raises:
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if ending in ("mp4", "mov"):
            at = 0
            while (box := box_at(file, at, size)) is not None:
                *_, at = box
            return at == size
        if ending == "webp":
            return size >= int.from_bytes(file.read(8)[4:8], "little") + 8
        end, last_bytes = _ENDS.get(ending, (b"", 0))
        file.seek(max(0, size - last_bytes))
        return end in file.read()
