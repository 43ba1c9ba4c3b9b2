"""The purchases of a verification, and their price."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from luma_mcp.domain.apis import BackendName
from luma_mcp.domain.pricing import price_of
from luma_mcp.domain.requests import ImageReference, ImageRequest, Request, VideoRequest

Size = Literal["small", "usual", "full"]
Role = Literal["image", "unreadable", "clip"]

# Two spaces, so that an API that trims prompts is noticed.
PROMPT = "A paper boat on a calm lake,  seen from above"
# A reserved name, behind which there is no picture.
UNREADABLE = "https://example.com/no-such-picture.png"


@dataclass(frozen=True, slots=True)
class Planned:
    """A purchase that is made to see what an API does.

    Args:
        api: the API.
        role: its part in the verification. `unreadable` names a picture that cannot be fetched, so it is refused or
            fails, and its price comes back.
        request: the request.
    """

    api: BackendName
    role: Role
    request: Request

    @property
    def model(self) -> str:
        """The name of the model."""
        return str(getattr(self.request, "model", ""))

    @property
    def usd(self) -> float:
        """The most that it can cost."""
        return price_of(self.request).usd


def plan(apis: Sequence[BackendName], size: Size) -> list[Planned]:
    """Return what is bought.

    Args:
        apis: the APIs that are verified.
        size: `small` buys pictures only; `usual` a clip too, at the cheaper API that is there; `full` a clip at each.
    """
    planned: list[Planned] = []
    if "dream_machine" in apis:
        image = ImageRequest(model="photon-flash-1", prompt=PROMPT, aspect_ratio="1:1")
        unreadable = ImageRequest(
            model="photon-flash-1", prompt=PROMPT, aspect_ratio="1:1", image_references=(ImageReference(UNREADABLE),)
        )
        planned += [Planned("dream_machine", "image", image), Planned("dream_machine", "unreadable", unreadable)]
        if size == "full" or (size == "usual" and "agents" not in apis):
            clip = VideoRequest(
                model="ray-flash-2", prompt=PROMPT, aspect_ratio="16:9", resolution="540p", duration="5s"
            )
            planned.append(Planned("dream_machine", "clip", clip))
    if "agents" in apis:
        image = ImageRequest(model="uni-1", prompt=PROMPT, aspect_ratio="1:1")
        planned.append(Planned("agents", "image", image))
        if size != "small":
            clip = VideoRequest(model="ray-3.2", prompt=PROMPT, aspect_ratio="16:9", resolution="360p", duration="5s")
            planned.append(Planned("agents", "clip", clip))
    return planned
