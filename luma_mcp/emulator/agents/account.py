"""A client of the emulated Agents API: it accepts requests, reserves their price, ends and refunds them. No HTTP."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal
from urllib.parse import urlsplit
from uuid import uuid4

from luma_mcp.emulator.account import Account, demanded_failure, is_forbidden
from luma_mcp.emulator.agents import catalogue, rules
from luma_mcp.emulator.agents.bodies import GenerationBody, ImageRef
from luma_mcp.emulator.agents.files import FileStore
from luma_mcp.emulator.agents.media import Media, decoded, measured
from luma_mcp.emulator.agents.prices import cents_of
from luma_mcp.emulator.agents.rules import RefusedError
from luma_mcp.emulator.lifecycle import Ended, Lifecycle
from luma_mcp.emulator.limiter import LimitReachedError, Limits, Quota, retry_after

State = Literal["queued", "processing", "completed", "failed"]
Fetched = tuple[int, str, bytes]
Fetch = Callable[[str], Awaitable[Fetched]]
"""Reads somebody else's URL: status, content type and bytes. Raises: OSError, if it cannot be read."""

FAMILY = "agents"
"""The name of the one family of models, which all share the limits."""
DEFAULT_LIMITS = {FAMILY: Limits(per_minute=30, at_once=10)}
_FULL_RETRY_SECONDS = 60
_MODERATED = "Generation output was flagged by our content moderation system."
_STILL, _CLIP = Lifecycle(queued=2, dreaming=20), Lifecycle(queued=5, dreaming=75)
_SLOW_FACTOR = 3
_ENDS = ("video.start_frame", "video.end_frame")
_NO_MEDIA = Media((1, 1), 0)


@dataclass
class Generation:
    """One piece of work.

    Args:
        id: its id.
        body: what was asked for.
        size, seconds: of what is made; a still has no seconds.
        layers: how many layers are made.
        created_at: when it was accepted.
        began_at: the same by the clock that only rises.
        media: what the request names, by field.
        ended: how it ended; None while it runs.
    """

    id: str
    body: GenerationBody
    size: tuple[int, int]
    seconds: float
    layers: int
    created_at: datetime
    began_at: float
    media: dict[str, Media] = field(default_factory=dict[str, Media])
    ended: Ended | None = None
    failure_code: str | None = None
    failure_reason: str | None = None

    @property
    def is_clip(self) -> bool:
        return self.body.type not in catalogue.STILL_TYPES

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of the files that it makes."""
        if self.is_clip:
            return ("video.mp4", "frames.exr") if self.body.settings.exr_export else ("video.mp4",)
        if self.body.type == "layering":
            return tuple(f"layer{number}.png" for number in range(self.layers))
        return ("image.jpg",) if self.body.output_format == "jpeg" else ("image.png",)

    @property
    def lifecycle(self) -> Lifecycle:
        if not self.is_clip:
            return _STILL
        video = self.body.settings
        if self.seconds > 5 or video.hdr or video.resolution == "1080p":
            return replace(_CLIP, dreaming=_CLIP.dreaming * _SLOW_FACTOR)
        return _CLIP


class AgentsAccount(Account[Generation]):
    """A client of the Agents API.

    Args:
        fetch: reads somebody else's URLs.
        clock, wall, speed, credit_usd, limits: as every account has them; the only family is `agents`.
        has_hdr: whether the client may use HDR.
    """

    def __init__(
        self,
        *,
        fetch: Fetch,
        clock: Callable[[], float],
        wall: Callable[[], float],
        speed: float,
        credit_usd: float,
        limits: Mapping[str, Limits],
        has_hdr: bool = True,
    ) -> None:
        super().__init__(clock=clock, wall=wall, speed=speed, credit_usd=credit_usd, limits=limits)
        self.files = FileStore(wall, speed)
        self._fetch = fetch
        self._has_hdr = has_hdr

    def count_attempt(self) -> dict[str, str]:
        """Count an attempt to create a generation; headers of the response. Raises: LimitReachedError."""
        self.settle()
        quota = self.admit(FAMILY, len(self.generations.running()))
        return self._headers(quota) if quota else {}

    def refusal(self, error: LimitReachedError) -> tuple[str, dict[str, str]]:
        """The text and the headers of a 429. Without a place the pause is fixed, and the quota is not reported."""
        if error.quota is None or error.retry_seconds is None:
            pause = retry_after(_FULL_RETRY_SECONDS / self._speed)
            return f"Concurrent generation limit reached ({error.limits.at_once})", pause
        return "Rate limit exceeded", self._headers(error.quota) | retry_after(error.retry_seconds)

    def _headers(self, quota: Quota) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(quota.limit),
            "X-RateLimit-Remaining": str(quota.remaining),
            "X-RateLimit-Reset": str(round(self._wall() + quota.reset_seconds)),
        }

    async def accept(self, body: GenerationBody) -> Generation:
        """Accept a request, reserve its price, and start it. Raises: RefusedError."""
        rules.check(body)
        if body.settings.hdr and not self._has_hdr:
            raise RefusedError(400, "HDR is not enabled for this account")
        media = {field: await self._media(field, ref) for field, ref in rules.references_of(body)}
        self._check_media(body, media)
        generation = self._planned(body, media)
        cents = cents_of(body, generation.seconds, generation.layers)
        if not self.billing.can_pay(cents):
            raise RefusedError(402, "Insufficient credits. Please add credits to continue.")
        if self.failures_due:
            generation.failure_code, generation.failure_reason = "content_moderated", self.failures_due.pop(0)
        elif (reason := demanded_failure(body.prompt)) is not None:
            generation.failure_code, generation.failure_reason = "generation_failed", reason or "Generation failed"
        elif is_forbidden(body.prompt):
            generation.failure_code, generation.failure_reason = "content_moderated", _MODERATED
        self.sell(generation, cents)
        return generation

    def get(self, generation_id: str) -> Generation:
        """Raises: UnknownGenerationError."""
        self.settle()
        return self.generations.find(generation_id)

    def state(self, generation: Generation) -> State:
        if generation.ended is not None:
            return generation.ended
        return "queued" if generation.lifecycle.running_state(self.age(generation)) == "queued" else "processing"

    def settle(self) -> None:
        """End every generation whose time has come."""
        for generation in self.due():
            self.end(generation, "failed" if generation.failure_code else "completed")

    def _planned(self, body: GenerationBody, media: dict[str, Media]) -> Generation:
        """The generation that a request makes, not yet accepted."""
        video, source = body.settings, media.get("source", _NO_MEDIA)
        frames = [media[name] for name in _ENDS if name in media]
        extended = next((frame for frame in frames if frame.is_clip), None)
        seconds, layers = 0.0, 0
        match body.type:
            case "video":
                size = extended.size if extended and body.aspect_ratio is None else _clip_size(body)
                seconds = 10.0 if video.duration == "10s" else 5.0
            case "video_edit":
                size, seconds = _at_height(source.size, catalogue.HEIGHTS[video.resolution]), source.seconds
            case "video_reframe":
                size, seconds = _clip_size(body), source.seconds
            case "layering":
                long = catalogue.LAYER_LONG_SIDES[body.layering.resolution if body.layering else "1k"]
                size, layers = _with_long_side(source.size, long), _layer_count(body, source)
            case "image_edit":
                size = source.size
            case _:
                size = catalogue.still_size(body.aspect_ratio)
        return Generation(str(uuid4()), body, size, seconds, layers, self.today(), self._clock(), media)

    async def _media(self, field: str, ref: ImageRef) -> Media:
        """Resolve a reference. Raises: RefusedError."""
        if ref.generation_id is not None:
            return self._made(field, ref.generation_id)
        if ref.file_id is not None:
            return self.files.ready(field, ref.file_id)
        if ref.data is not None:
            return measured(field, decoded(field, ref.data), ref.media_type or "")
        url = ref.url or ""
        if urlsplit(url).scheme != "https" and urlsplit(url).hostname not in ("127.0.0.1", "localhost"):
            raise RefusedError(422, f"{field}: failed to fetch URL")
        try:
            status, content_type, data = await self._fetch(url)
        except OSError:
            raise RefusedError(422, f"{field}: failed to fetch URL") from None
        if status != 200:
            raise RefusedError(422, f"{field}: failed to fetch URL (HTTP {status})")
        return measured(field, data, ref.media_type or content_type)

    def _made(self, field: str, generation_id: str) -> Media:
        self.settle()
        generation = self.generations.get(generation_id)
        if generation is None or generation.ended != "completed":
            raise RefusedError(422, f"{field}: generation not found or not completed")
        return Media(generation.size, generation.seconds, generation=generation)

    def _check_media(self, body: GenerationBody, media: dict[str, Media]) -> None:
        """Check the rules that need the media. Raises: RefusedError."""
        for name, item in media.items():
            # Only a clip of one's own can be gone on from.
            is_extended = body.type == "video" and name in _ENDS and item.generation is not None
            if name != "source" and item.is_clip and not is_extended:
                raise RefusedError(422, f"{name}: a still is required")
        source = media.get("source")
        if source is None:
            return
        needs_clip = body.type in ("video_edit", "video_reframe")
        if source.is_clip != needs_clip:
            raise RefusedError(422, f"source: a {'video' if needs_clip else 'still'} is required")
        longest = {"video_edit": catalogue.MAX_EDIT_SECONDS, "video_reframe": catalogue.MAX_REFRAME_SECONDS}
        # A clip of ten seconds may have a frame more.
        if needs_clip and source.seconds > longest[body.type] + 0.1:
            raise RefusedError(422, f"source: video exceeds {longest[body.type]:g} seconds")


def _clip_size(body: GenerationBody) -> tuple[int, int]:
    return catalogue.clip_size(body.aspect_ratio, body.settings.resolution)


def _at_height(size: tuple[int, int], short: int) -> tuple[int, int]:
    """A size in the same ratio whose short side is that long; both sides are even."""
    scale = short / min(size)
    return round(size[0] * scale / 2) * 2, round(size[1] * scale / 2) * 2


def _with_long_side(size: tuple[int, int], long: int) -> tuple[int, int]:
    scale = long / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _layer_count(body: GenerationBody, source: Media) -> int:
    """The number of layers of a picture: 2 to 5, the same each time."""
    seed = hashlib.sha256(source.data + body.prompt.encode()).digest()
    return 2 + seed[0] % 4
