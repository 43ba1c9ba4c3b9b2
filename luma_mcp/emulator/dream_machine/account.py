"""An account at the emulated API: it accepts requests, stores generations, ends them and bills for them. No HTTP."""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import uuid4

import anyio

from luma_mcp.emulator.account import Account, demanded_failure, is_forbidden
from luma_mcp.emulator.dream_machine.bodies import (
    Body,
    GenerationKeyframe,
    ImageBody,
    ImageKeyframe,
    ModifyVideoBody,
    ReframeImageBody,
    ReframeVideoBody,
    RuleBrokenError,
    VideoBody,
    check,
)
from luma_mcp.emulator.dream_machine.operations import OPERATIONS, Operation, OutputFormat, Source
from luma_mcp.emulator.lifecycle import Ended, Lifecycle, Running
from luma_mcp.emulator.limiter import LimitReachedError, Limits
from luma_mcp.emulator.store import UnknownGenerationError

Fetch = Callable[[str], Awaitable[bytes]]

_ASSET_LINK = re.compile(r"/assets/(?P<id>[0-9a-f-]{36})/(?P<name>[a-z]+\.[a-z0-9]+)$")


class UnreadableInputError(Exception):
    """A picture or clip that a request names cannot be fetched."""


# The form that is billed for a clip on somebody else's server, which nobody measures before it is accepted.
_UNKNOWN_FORMAT = OutputFormat((1280, 720), 5, "720p")


@dataclass
class Generation:
    """One piece of work. `ended` is None while it runs."""

    id: str
    body: Body
    model: str
    output_format: OutputFormat
    created_at: datetime
    began_at: float
    source: "Generation | None" = None
    ended: Ended | None = None
    is_listed: bool = True
    failure_reason: str | None = None
    will_fail_with: str | None = None
    inputs: dict[str, "bytes | Generation"] = field(default_factory=dict[str, "bytes | Generation"])
    continued: dict[str, "Generation"] = field(default_factory=dict[str, "Generation"])
    """The generations that its keyframes name, by `frame0` and `frame1`."""

    @property
    def kind(self) -> str:
        """`video`, `image`, `reframe_image`, `reframe_video`, `modify_video`, `upscale_video` or `add_audio`."""
        return str(getattr(self.body, "generation_type", ""))

    @property
    def operation(self) -> Operation:
        return OPERATIONS[self.kind]

    @property
    def lifecycle(self) -> Lifecycle:
        return self.operation.lifecycle

    @property
    def makes_image(self) -> bool:
        return self.operation.makes_image

    @property
    def image_format(self) -> str:
        return getattr(self.body, "format", "jpg")


# Luma's Build tier, by family of models.
BUILD_TIER = {"video": Limits(20, 10), "image": Limits(80, 40)}


class DreamMachineAccount(Account[Generation]):
    """An account at Dream Machine.

    Args:
        fetch: reads somebody else's URLs.
        clock, wall, speed, credit_usd, limits: as every account has them; the families are `video` and `image`.
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
    ) -> None:
        super().__init__(clock=clock, wall=wall, speed=speed, credit_usd=credit_usd, limits=limits)
        self._fetch = fetch
        self._settling = anyio.Lock()

    def accept(self, body: Body, source_id: str | None = None) -> Generation:
        """Accept a request, charge for it, and start it.

        Raises:
            RuleBrokenError: the API's refusals, insufficient credits among them.
            UnknownGenerationError: the generation to work on does not exist.
            LimitReachedError: a limit is reached.
        """
        check(body)
        source = self._finished_video(source_id) if source_id is not None else None
        continued = self._continued(body)
        operation = OPERATIONS[str(getattr(body, "generation_type", ""))]
        works_on = self._works_on(body, source)
        output_format = operation.output_format(body, works_on)
        cents = operation.cents(body, output_format, works_on)
        self._respect_limits(operation)
        if not self.billing.can_pay(cents):
            raise RuleBrokenError("Insufficient credits")
        generation = Generation(
            id=str(uuid4()),
            body=body,
            model=getattr(body, "model", None) or (source.model if source else "ray-2"),
            output_format=output_format,
            created_at=self.today(),
            began_at=self._clock(),
            source=source,
            continued=continued,
            will_fail_with=self._failure_of(body),
        )
        self.sell(generation, cents)
        return generation

    def get(self, generation_id: str, *, min_age_seconds: float = 0) -> Generation:
        """Raises: UnknownGenerationError, also for one that is younger than that."""
        generation = self.generations.find(generation_id)
        if self._clock() - generation.began_at < min_age_seconds:
            raise UnknownGenerationError(generation_id)
        return generation

    def newest_first(self, *, min_age_seconds: float = 0) -> list[Generation]:
        """The generations that are listed and at least so old, by the clock on the wall."""
        now = self._clock()
        return [
            generation
            for generation in reversed(self.generations.values())
            if generation.is_listed and now - generation.began_at >= min_age_seconds
        ]

    def delete(self, generation_id: str) -> None:
        """Forget a generation; its assets stay readable, for nothing says that Luma revokes them."""
        self.generations.delete(generation_id)

    def with_asset(self, generation_id: str) -> Generation:
        """The generation behind an asset link, a deleted one too. Raises: UnknownGenerationError."""
        return self.generations.behind_link(generation_id) or self.generations.find(generation_id)

    def balance_cents(self, lag_seconds: float = 0) -> float:
        """The balance, without the charges of so many last seconds."""
        now = self._clock()
        young = {
            generation.id
            for generation in self.generations.values()
            if lag_seconds and now - generation.began_at < lag_seconds
        }
        hidden = sum(
            entry.cents if entry.what == "charge" else -entry.cents
            for entry in self.billing.entries
            if entry.generation_id in young
        )
        return round(self.billing.balance_cents + hidden, 4)

    def state(self, generation: Generation) -> Running | Ended:
        return generation.ended or generation.lifecycle.running_state(self.age(generation))

    def shows_preview(self, generation: Generation) -> bool:
        if generation.ended or generation.kind != "video":
            return False
        return generation.lifecycle.has_preview(self.age(generation))

    async def settle(self) -> None:
        """End every generation whose time has come."""
        async with self._settling:
            for generation in self.due():
                await self._end(generation)

    async def finish_now(self, generation: Generation) -> None:
        """End one at once, as a synchronous image request does."""
        async with self._settling:
            if generation.ended is None:
                await self._end(generation)

    async def _end(self, generation: Generation) -> None:
        reason = generation.will_fail_with
        if reason is None:
            try:
                for role, url in urls_of(generation.body):
                    generation.inputs[role] = await self._input(url)
            except UnreadableInputError:
                reason = "Failed to read user input frames"
        generation.failure_reason = reason
        self.end(generation, "completed" if reason is None else "failed")

    async def _input(self, url: str) -> bytes | Generation:
        return self._behind(url) or await self._fetch(url)

    def _behind(self, url: str) -> Generation | None:
        """The generation whose own asset a link names."""
        found = _ASSET_LINK.search(url)
        if found is None:
            return None
        return self.generations.behind_link(found["id"])

    def _failure_of(self, body: Body) -> str | None:
        if self.failures_due:
            return self.failures_due.pop(0)
        prompt: str = getattr(body, "prompt", None) or ""
        reason = demanded_failure(prompt)
        if reason is not None:
            return reason or "Job failed"
        return "Contains blacklisted words" if is_forbidden(prompt) else None

    def _continued(self, body: Body) -> dict[str, Generation]:
        """The generations that a clip continues, or leads to; each must be a finished clip."""
        if not isinstance(body, VideoBody) or body.keyframes is None:
            return {}
        named = {"frame0": body.keyframes.frame0, "frame1": body.keyframes.frame1}
        found = {role: self.generations.get(f.id) for role, f in named.items() if isinstance(f, GenerationKeyframe)}
        usable = {
            role: clip for role, clip in found.items() if clip and not clip.makes_image and clip.ended == "completed"
        }
        if len(usable) < len(found):
            raise RuleBrokenError(
                "400: Extend is currently supported only for generated videos. "
                "Please make sure the generation is in completed state"
            )
        return usable

    def _finished_video(self, generation_id: str) -> Generation:
        generation = self.get(generation_id)
        if generation.makes_image or generation.ended != "completed":
            raise RuleBrokenError("400: The generation must be a video in completed state")
        return generation

    def _respect_limits(self, operation: Operation) -> None:
        """Raises: LimitReachedError; where the limit is at once, with the time until the next generation ends."""
        running = [found for found in self.generations.running() if found.makes_image == operation.makes_image]
        try:
            self.admit("image" if operation.makes_image else "video", len(running))
        except LimitReachedError as error:
            if error.kind == "at_once":
                error.retry_seconds = min(map(self.seconds_left, running))
            raise

    def _works_on(self, body: Body, source: Generation | None) -> Source:
        """The clip that a request works on: a generation, the asset of one, or a file that nobody measures."""
        media = getattr(body, "media", None)
        behind = source or (self._behind(media.url) if media else None)
        if behind is None or behind.makes_image:
            return Source(_UNKNOWN_FORMAT, "")
        return Source(behind.output_format, behind.model)


def urls_of(body: Body) -> Iterator[tuple[str, str]]:
    """Each link that a request names, with the part it plays."""
    if isinstance(body, VideoBody) and body.keyframes:
        for role, frame in (("frame0", body.keyframes.frame0), ("frame1", body.keyframes.frame1)):
            if isinstance(frame, ImageKeyframe):
                yield role, frame.url
    if isinstance(body, ModifyVideoBody | ReframeVideoBody | ReframeImageBody):
        yield "media", body.media.url
    if isinstance(body, ModifyVideoBody | ReframeVideoBody) and body.first_frame:
        yield "first_frame", body.first_frame.url
    if isinstance(body, ImageBody):
        for role, references in (("image_ref", body.image_ref), ("style_ref", body.style_ref)):
            for number, reference in enumerate(references or []):
                if reference.url:
                    yield f"{role}{number}", reference.url
        if body.modify_image_ref and body.modify_image_ref.url:
            yield "modify_image_ref", body.modify_image_ref.url
        identity = body.character_ref.identity0 if body.character_ref else None
        for number, url in enumerate((identity and identity.images) or []):
            yield f"character{number}", url
