"""The names of requests in the ledger, and the age of a generation that may be a purchase."""

import json
from datetime import UTC, datetime

import pytest

from luma_mcp.backends.base import Verdict
from luma_mcp.backends.dream_machine import encoding
from luma_mcp.backends.dream_machine.client import DreamMachine
from luma_mcp.backends.transport import Transport
from luma_mcp.domain.generation import Generation
from luma_mcp.domain.requests import ImageKeyframe, UpscaleRequest, VideoRequest
from luma_mcp.ledger.rows import PurchaseRow
from luma_mcp.purchasing.fingerprints import fingerprint, signature, unsigned_body
from luma_mcp.purchasing.reconcile import _verdict
from tests.support.agent import HeldClock


def test_a_fingerprint_stays_as_it_is_from_version_to_version() -> None:
    """It is in ledgers: another form would let the same purchase be bought again."""
    encoded = encoding.encode(VideoRequest(model="ray-2", prompt="a boat"))

    assert fingerprint(encoded) == "211ad175522ca15f30ca388a976d4fe9"
    assert signature(encoded) == "d3ccf582a7bd45b798922e07abe03c04"


def test_a_request_has_one_name_however_its_file_is_signed() -> None:
    links = [f"https://cdn.example/a.png?token={token}&exp={token}" for token in ("one", "two")]
    first, second = (encoding.encode(VideoRequest(model="ray-2", start=ImageKeyframe(link))) for link in links)
    other = encoding.encode(VideoRequest(model="ray-2", start=ImageKeyframe("https://cdn.example/b.png?token=one")))

    assert fingerprint(first) == fingerprint(second) != fingerprint(other)
    assert "token" not in str(unsigned_body(first))


def test_what_the_list_cannot_tell_apart_has_one_signature_and_two_names() -> None:
    first, second = (encoding.encode(UpscaleRequest(generation_id=name, resolution="4k")) for name in ("a", "b"))

    assert signature(first) == signature(second)
    assert fingerprint(first) != fingerprint(second)


@pytest.mark.parametrize(("hours", "verdict"), [(0, Verdict.SURELY), (1, Verdict.CANNOT_SAY), (27, Verdict.SURELY_NOT)])
def test_a_generation_from_before_the_purchase_is_not_it(hours: float, verdict: Verdict) -> None:
    """A clock in the wrong time zone is up to 26 hours behind."""
    luma = DreamMachine(Transport(None, base_url="http://127.0.0.1:9", clock=HeldClock()))
    body = {"generation_type": "video", "model": "ray-2", "prompt": "a boat"}
    row = PurchaseRow("f", "s", json.dumps(body), "video", 1, "published", reserved_at=1_800_000_000.0)
    created = datetime.fromtimestamp(row.reserved_at - hours * 3600, UTC)

    assert _verdict(luma, row, Generation(id="a", created_at=created, model="ray-2", echo=body)) is verdict
