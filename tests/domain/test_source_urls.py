"""Links as sources: what Luma can read, and what it cannot."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.source_urls import SHARE_PAGES, SharePage, checked_link


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("https://a.example/b.png?x=1&y=%20#z", "https://a.example/b.png?x=1&y=%20#z"),
        ("https://a.example:8443/b.png", "https://a.example:8443/b.png"),
        ("https://a.example/my boat.png", "https://a.example/my%20boat.png"),
        ("https://a.example/m\u00f6we.png", "https://a.example/m%C3%B6we.png"),
        ("https://b\u00fccher.example:444/a.png", "https://xn--bcher-kva.example:444/a.png"),
        ("https://8.8.8.8/a.png", "https://8.8.8.8/a.png"),
        ("https://[2606:4700::1111]:444/a b.png", "https://[2606:4700::1111]:444/a%20b.png"),
        ("https://web.archive.org/web/https://a.example/a.png", "https://web.archive.org/web/https://a.example/a.png"),
        ("https://i.imgur.com/abc.png", "https://i.imgur.com/abc.png"),
        ("https://www.dropbox.com/s/x/a.png?raw=1", "https://www.dropbox.com/s/x/a.png?raw=1"),
        ("https://github.com/a/b/raw/main/a.png", "https://github.com/a/b/raw/main/a.png"),
        ("https://github.com/a/b/blob/main/a.png?raw=true", "https://github.com/a/b/blob/main/a.png?raw=true"),
        ("https://upload.wikimedia.org/a.png", "https://upload.wikimedia.org/a.png"),
        ("https://cdn.lumalabs.ai/a.mp4", "https://cdn.lumalabs.ai/a.mp4"),
        ("https://drive.google.com/uc?export=download&id=1", "https://drive.google.com/uc?export=download&id=1"),
        ("https://i.giphy.com/a.gif", "https://i.giphy.com/a.gif"),
        ("https://plus.unsplash.com/premium_photo-1", "https://plus.unsplash.com/premium_photo-1"),
        ("https://lookslikeyoutube.com/watch.png", "https://lookslikeyoutube.com/watch.png"),
    ],
)
def test_a_link_is_sent_as_it_is_or_encoded(text: str, sent: str) -> None:
    assert checked_link(text) == sent


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("http://a.example/b.png", "is not encrypted. It must begin with https://."),
        ("https://localhost/a.png", "inside this network"),
        ("https://localhost:8443/a.png", "inside this network"),
        ("https://192.168.1.20/a.png", "inside this network"),
        ("https://10.0.0.1/a.png", "inside this network"),
        ("https://127.0.0.1/a.png", "inside this network"),
        ("https://2130706433/a.png", "inside this network"),
        ("https://0x7f.1/a.png", "inside this network"),
        ("https://0177.0.0.1/a.png", "inside this network"),
        ("https://[::1]/a.png", "inside this network"),
        ("https://[::ffff:192.168.1.1]/a.png", "inside this network"),
        ("https://169.254.169.254/a.png", "inside this network"),
        ("https://nas.local/a.png", "inside this network"),
        ("https://NAS.LOCAL./a.png", "inside this network"),
        ("https://nas/a.png", "inside this network"),
        ("https://wiki.corp/a.png", "inside this network"),
        ("https://me:secret@a.example/b.png", "holds a name or a password"),
        ("https://a.example/a.png https://b.example/b.png", "are several links"),
        ("https://a.example/a.png,https://b.example/b.png", "are several links"),
        ("https:///a.png", "names no host"),
        ("https://a.example:99999/a.png", "is not a URL that can be read"),
        ("https://[a/b", "is not a URL that can be read"),
        ("https://exam\u2100ple.com/a.png", "is not a URL that can be read"),
        ("https://drive.google.com/file/d/1/view", "is a page of Google Drive"),
        ("https://www.youtube.com/watch?v=abc", "is a page of YouTube"),
        ("https://youtu.be/abc", "is a page of YouTube"),
        ("https://vimeo.com/1", "is a page of Vimeo"),
        ("https://imgur.com/a/b", "on i.imgur.com"),
        ("https://www.dropbox.com/s/x/a.png?dl=0", "?raw=1"),
        ("https://github.com/a/b/blob/main/a.png", "raw.githubusercontent.com"),
        ("https://en.wikipedia.org/wiki/File:A.png", "is a page of Wikipedia"),
        ("https://www.google.com/imgres?imgurl=x", "is a page of Google"),
        ("https://1drv.ms/i/s!x", "is a page of OneDrive"),
        ("https://dream-machine.lumalabs.ai/share/x", "is a page of Luma's own app"),
    ],
)
def test_a_link_that_luma_cannot_read_is_refused_with_what_to_do(text: str, sentence: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        checked_link(text)

    assert sentence in caught.value.full_text
    assert caught.value.hint
    assert "secret" not in caught.value.full_text


@pytest.mark.parametrize("page", SHARE_PAGES, ids=lambda page: page.name)
def test_each_site_is_known_by_its_subdomains_too(page: SharePage) -> None:
    paths = {"GitHub": "/a/b/blob/main/a.png", "Google's search": "/search?q=x", "Wikipedia": "/wiki/A"}
    for host in page.hosts:
        with pytest.raises(InvalidRequestError):
            checked_link(f"https://www.{host}{paths.get(page.name, '/x')}")


@given(st.text(max_size=80))
def test_no_text_breaks_it(text: str) -> None:
    for link in (text, f"https://{text}"):
        try:
            sent = checked_link(link)
        except InvalidRequestError:
            continue
        assert sent.isascii()
        assert checked_link(sent) == sent
