"""The origin of files that are made here: XMP that states, in the words of the IPTC, that a model made them.

XMP is put where the format of a finished file has a place for it (Adobe's specification of XMP, part 3). Nothing else
of the file changes. These functions block.
"""

import struct
import zlib
from pathlib import Path
from typing import Literal

from luma_mcp import __version__

DigitalSource = Literal["trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"]
# What a file has in it whose XMP or C2PA states that a model made it, or a part of it. Case differs between both words.
MARK = b"rainedAlgorithmicMedia"
# The UUID box of C2PA in MP4, and the name of its boxes in JPEG and PNG.
_MP4_C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
C2PA_MARKS = (_MP4_C2PA, b"jumbc2pa", b"caBX", b"c2pa.")

_VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype"
_READ_BYTES = 1024**2
_MP4_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_JPEG_NAMESPACE = b"http://ns.adobe.com/xap/1.0/\0"
_PNG_KEYWORD = b"XML:com.adobe.xmp\0\0\0\0\0"
# The signature of a PNG, and its first chunk, which states its size.
_PNG_HEAD_BYTES = 8 + 25
# Readers of GIF skip blocks by their lengths; from wherever they start in an XMP, these bytes lead to its end.
_GIF_BLOCK = b"\x21\xff\x0bXMP DataXMP"
_GIF_TRAILER = b"\x01" + bytes(range(255, -1, -1)) + b"\0"


def source_uri(source: DigitalSource) -> str:
    """Return the name of a kind of origin in the vocabulary of the IPTC."""
    return f"{_VOCABULARY}/{source}"


def xmp(source: DigitalSource) -> bytes:
    """Return the XMP packet that states an origin."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
        '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"\n'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"\n'
        f' xmp:CreatorTool="dream-machine-mcp {__version__}"\n'
        f' Iptc4xmpExt:DigitalSourceType="{source_uri(source)}"/>\n'
        '</rdf:RDF></x:xmpmeta>\n<?xpacket end="r"?>'
    ).encode()


def state(path: Path, ending: str, source: DigitalSource) -> bool:
    """State the origin of a file in it; False if its format has no place for XMP, or it is bound by C2PA as it is.

    Args:
        path: the file.
        ending: its format.
        source: its origin.

    Raises:
        OSError: it cannot be read or written.
    """
    packet = xmp(source)
    if ending == "mp4":
        if contains(path, (_MP4_C2PA,)):
            return False
        with path.open("ab") as file:
            file.write(struct.pack(">I4s", 24 + len(packet), b"uuid") + _MP4_UUID + packet)
        return True
    if ending not in ("jpg", "png", "gif"):
        return False
    path.write_bytes(stated(path.read_bytes(), ending, packet))
    return True


def stated(picture: bytes, ending: str, packet: bytes) -> bytes:
    """Return a JPEG, PNG or GIF with an XMP packet."""
    if ending == "jpg":
        content = _JPEG_NAMESPACE + packet
        return picture[:2] + struct.pack(">HH", 0xFFE1, len(content) + 2) + content + picture[2:]
    if ending == "png":
        chunk = b"iTXt" + _PNG_KEYWORD + packet
        whole = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        return picture[:_PNG_HEAD_BYTES] + whole + picture[_PNG_HEAD_BYTES:]
    # A GIF begins with its size, and a table of colours if a flag says so.
    colours = 3 << ((picture[10] & 7) + 1) if picture[10] & 0x80 else 0
    at = 13 + colours
    return picture[:at] + _GIF_BLOCK + packet + _GIF_TRAILER + picture[at:]


def contains(path: Path, marks: tuple[bytes, ...]) -> bool:
    """Return whether a file has one of these marks in it. Raises: OSError."""
    overlap, tail = max(map(len, marks)) - 1, b""
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            if any(mark in tail + block for mark in marks):
                return True
            tail = (tail + block)[-overlap:]
    return False
