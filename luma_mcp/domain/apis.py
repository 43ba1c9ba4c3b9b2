"""Luma's two APIs: an entry for each, with its capabilities that do not depend on the model.

Code outside `backends` asks an entry for a capability, never for the name of an API.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from luma_mcp.domain.usd import ZERO, Usd

BackendName = Literal["dream_machine", "agents"]
"""One of Luma's APIs."""
AspectRatio = Literal["16:9", "9:16", "1:1", "4:3", "3:4", "21:9", "9:21", "3:1", "2:1", "3:2", "2:3", "1:2", "1:3"]
Resolution = Literal["360p", "540p", "720p", "1080p", "4k"]
Duration = Literal["5s", "9s", "10s"]

MAX_IMAGE_BYTES, MAX_CLIP_BYTES = 10 * 1000**2, 100 * 1000**2
MAX_AGENTS_IMAGE_BYTES, MAX_AGENTS_CLIP_BYTES = 50 * 1024**2, 200 * 1024**2


@dataclass(frozen=True, slots=True)
class LimitFamily:
    """The operations that share Luma's limits.

    Args:
        name: its name in the ledger.
        operations: the operations; None for all of the API.
    """

    name: str = ""
    operations: frozenset[str] | None = None


_OF_IMAGES = frozenset({"image", "reframe_image"})
_OF_VIDEOS = frozenset({"video", "modify_video", "reframe_video", "upscale_video", "add_audio"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Api:
    """One of Luma's APIs, with its capabilities that do not depend on the model.

    Args:
        name: its name in texts.
        key_variable: the environment variable of its key.
        operations: the `kind`s of requests that it accepts.
        min_prompt, max_prompt: the number of characters of a prompt.
        needs_prompt: whether every request has a prompt.
        needs_mode: whether changing a clip needs a mode.
        default_ratio: the ratio of a request that names none; None where the API chooses one by the request.
        extension_duration: the length of every clip that continues another; None where it is as long as that.
        edits_keep_ratio: whether an edited picture has the ratio of its source.
        reports_balance: whether it reports the credit of the account.
        has_list: whether it lists generations.
        deletes: whether it deletes generations.
        echoes_requests: whether a generation contains its request.
        names_generations: whether a request names an earlier clip or picture by its id, wherever a source is named.
        max_image_bytes, max_clip_bytes: how large a source may be.
        picture_seconds: the usual time for a picture.
        upscale_resolutions: the resolutions that a clip can be enlarged to; empty if it enlarges none.
        limit_families: the operations that Luma limits together, for all operations.
        upscale_per_megapixel, audio_per_second: more than what Luma can charge; it publishes neither price.
    """

    name: str
    key_variable: str
    operations: frozenset[str]
    min_prompt: int
    max_prompt: int
    needs_prompt: bool
    needs_mode: bool
    default_ratio: AspectRatio | None
    extension_duration: Duration | None
    edits_keep_ratio: bool
    reports_balance: bool
    has_list: bool
    deletes: bool
    echoes_requests: bool
    names_generations: bool
    max_image_bytes: int
    max_clip_bytes: int
    picture_seconds: int
    upscale_resolutions: tuple[str, ...] = ()
    limit_families: tuple[LimitFamily, ...] = (LimitFamily(),)
    upscale_per_megapixel: Usd = ZERO
    audio_per_second: Usd = ZERO

    @property
    def title(self) -> str:
        """The name, at the start of a sentence."""
        return self.name[:1].upper() + self.name[1:]


APIS: Mapping[BackendName, Api] = {
    "agents": Api(
        name="the Luma Agents API",
        key_variable="LUMA_AGENTS_API_KEY",
        operations=frozenset({"video", "image", "modify_video", "reframe_video"}),
        min_prompt=1,
        max_prompt=6000,
        needs_prompt=True,
        needs_mode=False,
        default_ratio=None,
        extension_duration="5s",
        edits_keep_ratio=True,
        reports_balance=False,
        has_list=False,
        deletes=False,
        echoes_requests=False,
        names_generations=True,
        max_image_bytes=MAX_AGENTS_IMAGE_BYTES,
        max_clip_bytes=MAX_AGENTS_CLIP_BYTES,
        picture_seconds=30,
    ),
    "dream_machine": Api(
        name="Dream Machine",
        key_variable="LUMA_TOKEN",
        operations=frozenset(
            {"video", "image", "modify_video", "reframe_video", "reframe_image", "upscale_video", "add_audio"}
        ),
        min_prompt=3,
        max_prompt=5000,
        needs_prompt=False,
        needs_mode=True,
        default_ratio="16:9",
        extension_duration=None,
        edits_keep_ratio=False,
        reports_balance=True,
        has_list=True,
        deletes=True,
        echoes_requests=True,
        names_generations=False,
        # docs.lumalabs.ai/docs/modify-video and /reframe. Luma documents no limit for keyframes and references, so the
        # limit for images is applied to them too.
        max_image_bytes=MAX_IMAGE_BYTES,
        max_clip_bytes=MAX_CLIP_BYTES,
        picture_seconds=10,
        # docs.lumalabs.ai/docs/rate-limits: the limits of videos and of images are counted each by itself.
        limit_families=(LimitFamily("video", _OF_VIDEOS), LimitFamily("image", _OF_IMAGES)),
        upscale_resolutions=("540p", "720p", "1080p", "4k"),
        upscale_per_megapixel=Usd.of("0.0064"),
        audio_per_second=Usd.of("0.10"),
    ),
}


def limit_family(backend: BackendName, operation: str) -> LimitFamily:
    """The operations that share the limits of one."""
    families = APIS[backend].limit_families
    return next(family for family in families if family.operations is None or operation in family.operations)


def apis_with(operation: str) -> tuple[BackendName, ...]:
    """The APIs that have an operation."""
    return tuple(name for name, api in APIS.items() if operation in api.operations)
