"""The check of camera concepts before anything is bought."""

from luma_mcp.domain.catalogue import CONCEPTS
from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.text import cleaned
from luma_mcp.mcp.spec import Call


async def checked_concepts(call: Call, names: list[str] | None) -> tuple[str, ...]:
    """The requested camera concepts.

    Raises:
        InvalidRequestError: neither the catalogue nor Luma's own list has one of them.
    """
    unknown = [name for name in names or () if name not in CONCEPTS]
    if unknown:
        concepts = (await call.services.vocabulary.concepts()).words
        for name in unknown:
            if name not in concepts:
                raise InvalidRequestError(
                    f"Luma has no concept {cleaned(name, 60)!r}.", "list_concepts shows them all."
                )
    return tuple(names or ())
