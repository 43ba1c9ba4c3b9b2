"""Tools for the account, and for the words that prompts and requests may use."""

from typing import Annotated

from pydantic import Field

from luma_mcp.mcp.results import spent_today
from luma_mcp.mcp.spec import DREAM_MACHINE, READS, Arguments, Call, Result, ToolSpec


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
    """Words for cameras."""

    words: Annotated[list[str], Field(description="Concepts.")]
    from_luma: Annotated[bool, Field(description="Else built in.")]
    camera_motions: list[str]

    def text(self) -> str:
        origin = "" if self.from_luma else " (Luma did not answer; these are the lists known in 2026)"
        return f"Concepts: {', '.join(self.words)}. Camera motions: {', '.join(self.camera_motions)}{origin}"


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
    """The camera concepts for `concepts`, which may be combined, and camera motions that a prompt may name."""
    concepts = await call.services.vocabulary.concepts()
    motions = await call.services.vocabulary.camera_motions()
    return WordsResult(
        words=list(concepts.words),
        from_luma=concepts.from_luma and motions.from_luma,
        camera_motions=list(motions.words),
    )


TOOLS = (
    ToolSpec(get_credits, NoArguments, CreditsResult, "Get credits", READS),
    # Where there is a public address, /readyz tells it.
    ToolSpec(ping, NoArguments, PingResult, "Ping Luma", READS, by_links=False),
    ToolSpec(list_concepts, NoArguments, WordsResult, "List camera concepts", READS, backends=DREAM_MACHINE),
)
