"""Tools for the account, and for the words that prompts and requests may use."""

from typing import Annotated

from pydantic import Field

from luma_mcp.backends.camera_words import Words
from luma_mcp.mcp.results import spent_today
from luma_mcp.mcp.tool_spec import DREAM_MACHINE, READS, Arguments, Call, Result, ToolSpec


class NoArguments(Arguments):
    pass


class CreditsResult(Result):
    """The credit that is left, and what was spent here."""

    credit_usd: Annotated[float | None, Field(description="Dream Machine's. The Agents API tells none.")] = None
    spent_today_usd: float | None = None
    reserved_usd: float | None = None

    def text(self) -> str:
        left = "The Luma Agents API tells no balance; platform.lumalabs.ai shows it."
        if self.credit_usd is not None:
            left = f"${self.credit_usd:,.2f} of API credit is left at Luma."
        if self.spent_today_usd is None:
            return left
        return f"{left} Spent today: ${self.spent_today_usd:.2f}, reserved: ${self.reserved_usd or 0:.2f}."


class PingResult(Result):
    """Luma answers and accepts the token."""

    ok: bool
    base_url: str

    def text(self) -> str:
        return f"Luma answers at {self.base_url} and takes the token."


class WordsResult(Result):
    """A list of words."""

    words: list[str]
    from_luma: Annotated[bool, Field(description="Else built in.")]

    def text(self) -> str:
        origin = "" if self.from_luma else " (Luma did not answer; this is the list known in 2026)"
        return f"{', '.join(self.words)}{origin}"


async def get_credits(call: Call, _arguments: NoArguments) -> CreditsResult:
    """How much money is left of the API credit, in US dollars, and what was spent here today."""
    apis = call.services.backend
    credit = round(await apis.get_credit_usd(), 4) if apis.dream_machine is not None else None
    return CreditsResult(credit_usd=credit, **await spent_today(call))


async def ping(call: Call, _arguments: NoArguments) -> PingResult:
    """Whether the connection to Luma works, and the token is taken."""
    await call.services.backend.ping()
    return PingResult(ok=True, base_url=call.services.backend.base_url)


async def list_concepts(call: Call, _arguments: NoArguments) -> WordsResult:
    """The camera concepts for `concepts` of create_video and extend_video. Several may be combined."""
    return _result(await call.services.vocabulary.concepts())


async def list_camera_motions(call: Call, _arguments: NoArguments) -> WordsResult:
    """Camera motions that a video's prompt may name, as in "camera orbit left"."""
    return _result(await call.services.vocabulary.camera_motions())


def _result(words: Words) -> WordsResult:
    return WordsResult(words=list(words.words), from_luma=words.from_luma)


TOOLS = (
    ToolSpec(get_credits, NoArguments, CreditsResult, "Get credits", READS),
    ToolSpec(ping, NoArguments, PingResult, "Ping Luma", READS),
    ToolSpec(list_concepts, NoArguments, WordsResult, "List camera concepts", READS, backends=DREAM_MACHINE),
    ToolSpec(list_camera_motions, NoArguments, WordsResult, "List camera motions", READS, backends=DREAM_MACHINE),
)
