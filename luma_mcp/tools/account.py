"""Tools for the account, and for the words that prompts and requests may use."""

from typing import Annotated

from pydantic import Field

from luma_mcp.studio import Studio
from luma_mcp.studio.vocabulary import Words
from luma_mcp.tools._effects import READS
from luma_mcp.tools._money import spending
from luma_mcp.tools._toolset import Answer, Declared


class CreditsAnswer(Answer):
    """What is left."""

    credit_usd: float
    spent_today_usd: float | None = None
    reserved_usd: float | None = None

    def say(self) -> str:
        left = f"${self.credit_usd:,.2f} of API credit is left at Luma."
        if self.spent_today_usd is None:
            return left
        return f"{left} Spent today: ${self.spent_today_usd:.2f}, reserved: ${self.reserved_usd or 0:.2f}."


class PingAnswer(Answer):
    """Luma answers and takes the token."""

    ok: bool
    base_url: str

    def say(self) -> str:
        return f"Luma answers at {self.base_url} and takes the token."


class WordsAnswer(Answer):
    """A list of words."""

    words: list[str]
    from_luma: Annotated[bool, Field(description="Else built in.")]

    def say(self) -> str:
        origin = "" if self.from_luma else " (Luma did not answer; this is the list known in 2026)"
        return f"{', '.join(self.words)}{origin}"


async def get_credits(studio: Studio) -> CreditsAnswer:
    """What is left of the API credit, in US dollars, and what was spent here today."""
    credit = await studio.luma.get_credit_usd()
    return CreditsAnswer(credit_usd=round(credit, 4), **await spending(studio))


async def ping(studio: Studio) -> PingAnswer:
    """Whether Luma answers and takes the token."""
    await studio.luma.ping()
    return PingAnswer(ok=True, base_url=studio.luma.base_url)


async def list_concepts(studio: Studio) -> WordsAnswer:
    """The camera concepts for `concepts` of create_video and extend_video. Several may be combined."""
    return _of(await studio.vocabulary.concepts())


async def list_camera_motions(studio: Studio) -> WordsAnswer:
    """Camera motions that a video's prompt may name, as in "camera orbit left"."""
    return _of(await studio.vocabulary.camera_motions())


def _of(heard: Words) -> WordsAnswer:
    return WordsAnswer(words=list(heard.words), from_luma=heard.from_luma)


TOOLS = (
    Declared(get_credits, "Get credits", READS),
    Declared(ping, "Ping Luma", READS),
    Declared(list_concepts, "List camera concepts", READS),
    Declared(list_camera_motions, "List camera motions", READS),
)
