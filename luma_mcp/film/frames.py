"""What the pictures and clips that a shot names are resolved to."""

from collections.abc import Callable

from luma_mcp.domain.apis import BackendName
from luma_mcp.film.encrypted_links import SignedLinks
from luma_mcp.film.plan import CONTINUE, NEXT, Frames, Shot
from luma_mcp.sources.resolver import Resolution

SourcesOf = Callable[[BackendName], Resolution]
"""Begins the sources of a shot, for an API and for whoever asks."""


async def frames_of(shot: Shot, sources: Resolution, links: SignedLinks) -> Frames:
    """What the sources that a shot names are resolved to. Raises: LumaError, if one cannot be."""
    start = await sources.keyframe(links.shown(shot.start)) if shot.start and shot.start != CONTINUE else None
    end = await sources.keyframe(links.shown(shot.end)) if shot.end and shot.end != NEXT else None
    return Frames(start, end)
