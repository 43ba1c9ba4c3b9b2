"""A generation: one piece of work at Luma, as Luma describes it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from luma_mcp.domain.apis import BackendName
from luma_mcp.domain.errors import InvalidRequestError, LumaError
from luma_mcp.domain.requests import Request
from luma_mcp.domain.text import quoted

# Ids are UUIDs. Any short name that is safe in a path is accepted, so that a change of Luma's format loses no paid job.
GENERATION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
FINAL_STATES = frozenset({"completed", "failed"})
WAITING = "waiting"
"""The state of a purchase that Luma has no slot for yet."""
IN_DOUBT = "in doubt"
"""The state of a purchase of which nobody can say whether it was made; the user settles it."""
PURCHASE_ID = re.compile(r"purchase-[0-9a-f]{16}")
"""The id of a purchase that waited for a slot. It is good wherever the id of its generation is."""
# The state of a generation that Luma does not know. Luma has no such state.
NOT_FOUND = "not found"

OutputKind = Literal["video", "image", "preview", "other"]


@dataclass(frozen=True, slots=True)
class Output:
    """A file that a generation made.

    Args:
        kind: for a video, `image` is its thumbnail; a `preview` is a clip of a running one; `other` is what else Luma
            made, such as the EXR frames of an HDR clip.
        url: the link to it.
        name: distinguishes it from other outputs of its kind, such as `layer-1-sky`; empty if it is the only one.
    """

    kind: OutputKind
    url: str
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One piece of work at Luma. Only the id is certain; a value that Luma did not send is None or empty.

    Args:
        id: Luma's id.
        state: `queued`, `dreaming`, `completed` or `failed`; any other state is kept as Luma sends it.
        kind: the operation, by its name in `requests.KINDS`; an unknown one is kept as Luma sends it.
        failure_reason: the reason in Luma's wording.
        is_refunded: whether Luma refunds it if it failed, as far as Luma states that.
        created_at: when Luma accepted the request.
        outputs: links to what was made.
        model: the model's name; for images it may differ from the name in the request.
        request: the request, by Luma's echo, or by the purchase ledger where Luma echoes nothing; None where it cannot
            be read.
        prompt: the prompt, also of a request that cannot be read otherwise.
        echo: the request in the API's own JSON, as Luma echoes it. Only the backend reads it.
        price_usd: its price in the ledger; None where the echo determines it.
        place: its place in this server's queue, from 1, if Luma has no slot for it yet.
        per_minute: the purchases in a minute that the response to its purchase allows.
        backend: the API that made it. The links of the Agents API end within an hour, so they are never stored.
    """

    id: str
    state: str = "unknown"
    kind: str = "video"
    failure_reason: str | None = None
    is_refunded: bool = True
    created_at: datetime | None = None
    outputs: tuple[Output, ...] = ()
    model: str | None = None
    request: Request | None = None
    prompt: str | None = None
    echo: Mapping[str, Any] = field(default_factory=dict[str, Any])
    price_usd: float | None = None
    backend: BackendName = "dream_machine"
    place: int | None = None
    per_minute: int | None = None

    @property
    def is_final(self) -> bool:
        """Whether its state can change no more. An unknown state is not final."""
        return self.state in FINAL_STATES or self.state in (NOT_FOUND, IN_DOUBT)

    @property
    def makes_image(self) -> bool:
        """Whether it makes an image, not a video."""
        return self.kind in ("image", "reframe_image")

    @property
    def main_output(self) -> OutputKind:
        """The kind of the requested output."""
        return "image" if self.makes_image else "video"

    @property
    def main_outputs(self) -> tuple[Output, ...]:
        """The requested outputs: the clip and its EXR frames, the picture, or all layers of a picture."""
        return tuple(output for output in self.outputs if output.kind in (self.main_output, "other"))

    @property
    def has_layers(self) -> bool:
        """Whether it is a picture that consists of several files."""
        return self.makes_image and len(self.main_outputs) > 1

    def url(self, asset: str) -> str | None:
        """The link to the first output of a kind, or to the output of a name; None if it does not exist."""
        return next((output.url for output in self.outputs if asset in (output.kind, output.name)), None)


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a list of generations, newest first.

    Args:
        generations: the generations.
        has_more: whether there are older ones.
        unavailable: the APIs whose generations are missing or not up to date, each with the reason.
        unreadable: the number of entries that could not be read and are left out.
    """

    generations: tuple[Generation, ...]
    has_more: bool
    unavailable: Mapping[BackendName, LumaError] = field(default_factory=dict[BackendName, LumaError])
    unreadable: int = 0


def check_id(generation_id: str, *, original: str | None = None) -> None:
    """Refuse a text that cannot be an id: in a path it might name something else.

    Args:
        generation_id: the text.
        original: the text that the message quotes instead.

    Raises:
        InvalidRequestError: it is no id. The message escapes its invisible characters.
    """
    if not GENERATION_ID.fullmatch(generation_id):
        raise InvalidRequestError(
            f"{quoted(original or generation_id, 60)} is not a generation id.",
            "An id looks like 15b7abb1-3741-4b7e-9615-1f9a16c7442d; list_generations shows them.",
        )
