"""Links as sources: decides by the link alone whether Luma can read it.

Luma fetches a source itself, from the internet, without a browser. A link into this network and a page that shows a
picture are refused before anything is bought, each with a hint.
"""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urlsplit

from luma_mcp.domain.addresses import is_public_address
from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.text import cleaned, quoted

_SAFE_IN_URL = "!#$%&'()*+,/:;=?@[]~"
_LOCAL_NAMES = re.compile(r"(.+\.)?(local(host|domain)?|lan|internal|intranet|home|corp|home\.arpa|test|invalid)")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]*|\d+")
_SAVE_IT = "Save it, and name the file."


@dataclass(frozen=True, slots=True)
class SharePage:
    """A site whose links show a page around a picture or clip.

    Args:
        name: its name in messages.
        hosts: its hosts; their subdomains too, but those of `direct`.
        direct: hosts that serve the file itself.
        path: a pattern of the links that are pages; every link by default.
        advice: the hint how to get the file.
    """

    name: str
    hosts: tuple[str, ...]
    direct: tuple[str, ...] = ()
    path: str = ""
    advice: str = _SAVE_IT

    def has(self, url: SplitResult) -> bool:
        """Whether a link is one of its pages."""
        host = (url.hostname or "").rstrip(".")
        if _is_one_of(host, self.direct) or not _is_one_of(host, self.hosts):
            return False
        return re.search(self.path, f"{url.path}?{url.query}") is not None


_FILE_ENDING = r"\.(png|jpe?g|webp|gif|mp4|mov)\?"
SHARE_PAGES = (
    SharePage("YouTube", ("youtube.com", "youtu.be", "youtube-nocookie.com")),
    SharePage("Vimeo", ("vimeo.com",)),
    SharePage("TikTok", ("tiktok.com",)),
    SharePage("Instagram", ("instagram.com",)),
    SharePage("Facebook", ("facebook.com", "fb.watch")),
    SharePage("X", ("x.com", "twitter.com", "t.co")),
    SharePage("Reddit", ("reddit.com",)),
    SharePage("Pinterest", ("pinterest.com", "pin.it")),
    SharePage("LinkedIn", ("linkedin.com",)),
    SharePage("Twitch", ("twitch.tv",)),
    SharePage("Flickr", ("flickr.com", "flic.kr")),
    SharePage("Google Drive", ("drive.google.com", "docs.google.com"), path=r"^/(?!uc\?|thumbnail\?)"),
    SharePage("Google Photos", ("photos.google.com", "photos.app.goo.gl")),
    SharePage("Google Images", ("images.google.com",)),
    SharePage("Google's search", ("google.com",), path=r"^/(imgres|search|url)"),
    SharePage("iCloud", ("icloud.com",)),
    SharePage("OneDrive", ("onedrive.live.com", "1drv.ms", "sharepoint.com")),
    SharePage("WeTransfer", ("wetransfer.com", "we.tl")),
    SharePage("MEGA", ("mega.nz",)),
    SharePage("Canva", ("canva.com",)),
    SharePage("Figma", ("figma.com",)),
    SharePage("Notion", ("notion.so", "notion.site")),
    SharePage("Imgur", ("imgur.com",), direct=("i.imgur.com",), advice="Take the link of the picture, on i.imgur.com."),
    SharePage(
        "Giphy", ("giphy.com",), direct=("i.giphy.com", *(f"media{n}.giphy.com" for n in ("", 0, 1, 2, 3, 4)))
    ),
    SharePage(
        "Dropbox", ("dropbox.com",), path=r"^(?!.*[?&](raw|dl)=1)", advice="End the link with ?raw=1 instead of ?dl=0."
    ),
    SharePage(
        "GitHub", ("github.com",), path=r"^/[^/]+/[^/]+/blob/(?!.*[?&]raw=(1|true))",
        advice="Take the file's own link, on raw.githubusercontent.com.",
    ),
    SharePage("Wikipedia", ("wikipedia.org", "wikimedia.org"), direct=("upload.wikimedia.org",), path=r"/wiki/"),
    SharePage("Unsplash", ("unsplash.com",), direct=("images.unsplash.com", "plus.unsplash.com")),
    SharePage("Pexels", ("pexels.com",), direct=("images.pexels.com", "videos.pexels.com")),
    SharePage("Luma's own app", ("lumalabs.ai",), direct=("storage.cdn-luma.com",), path=rf"^(?!.*{_FILE_ENDING})"),
)  # fmt: skip


def checked_link(text: str) -> str:
    """The link as it can be sent: spaces and letters beyond ASCII are percent-encoded.

    Raises:
        InvalidRequestError: it is no https URL that Luma can read; the hint states what to do.
    """
    if len(re.findall(r"https?://", text)) > 1 and re.search(r"[\s,;|]+https?://", text):
        raise InvalidRequestError(f"{quoted(text, 80)} are several links.", "Name one source in each place.")
    url = _split(text)
    if url.username is not None or url.password is not None:
        # The password is not repeated.
        raise InvalidRequestError(
            f"The link to {cleaned(url.hostname or '', 80)!r} holds a name or a password.", "Give a link without them."
        )
    netloc = _checked_netloc(url, text)
    for page in SHARE_PAGES:
        if page.has(url):
            raise InvalidRequestError(
                f"{cleaned(text, 80)!r} is a page of {page.name}, and Luma needs the file itself.", page.advice
            )
    is_encoded = text.isascii() and not re.search(r"[\s<>\"{}|\\^`]", text)
    return text if is_encoded else quote(url._replace(netloc=netloc).geturl(), safe=_SAFE_IN_URL)


def _split(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        raise InvalidRequestError(
            f"{quoted(text, 80)} is not a URL that can be read.", "Copy the link again."
        ) from None
    if url.scheme == "http":
        raise InvalidRequestError(f"{cleaned(text, 80)!r} is not encrypted.", "It must begin with https://.")
    if not url.hostname:
        raise InvalidRequestError(f"{cleaned(text, 80)!r} names no host.", "Copy the link again.")
    return url


def _checked_netloc(url: SplitResult, text: str) -> str:
    """The host in ASCII, and the port. Raises: InvalidRequestError, if Luma cannot reach it."""
    name = (url.hostname or "").rstrip(".")
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        address = None
    is_local = _LOCAL_NAMES.fullmatch(name) or "." not in name or _NUMBER.fullmatch(name.rpartition(".")[2])
    if not is_public_address(str(address)) if address else is_local:
        raise InvalidRequestError(
            f"{cleaned(text, 80)!r} is an address inside this network, which Luma cannot reach.",
            "Name a local file, or a link on the internet.",
        )
    if name.isascii():
        return url.netloc
    try:
        host = name.encode("idna").decode()
    except UnicodeError:
        raise InvalidRequestError(
            f"{quoted(text, 80)} names a host that cannot be.", "Copy the link again from the browser."
        ) from None
    return host if url.port is None else f"{host}:{url.port}"


def _is_one_of(host: str, names: tuple[str, ...]) -> bool:
    return any(host == name or host.endswith(f".{name}") for name in names)
