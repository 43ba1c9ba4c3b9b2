"""The sources of a shot, resolved."""

from collections.abc import Callable

from luma_mcp.domain.apis import BackendName
from luma_mcp.film.encrypted_links import SignedLinks
from luma_mcp.film.plan import CONTINUE, NEXT, Frames, Shot
from luma_mcp.sources.resolver import Resolution

SourcesOf = Callable[[BackendName], Resolution]
"""Starts the resolution of a shot's sources, for an API and for the caller."""


async def frames_of(shot: Shot, sources: Resolution, links: SignedLinks) -> Frames:
    """Resolve the sources of a shot. Raises: LumaError, if one cannot be resolved."""
    start = await sources.keyframe(links.decrypted(shot.start)) if shot.start and shot.start != CONTINUE else None
    end = await sources.keyframe(links.decrypted(shot.end)) if shot.end and shot.end != NEXT else None
    return Frames(start, end)
