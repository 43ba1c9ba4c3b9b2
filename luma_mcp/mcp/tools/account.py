"""Tools for the account, and for the camera vocabulary of prompts and requests."""

from typing import Annotated

from pydantic import Field

from luma_mcp.domain.apis import APIS, BackendName
from luma_mcp.domain.errors import LumaError
from luma_mcp.domain.usd import Usd
from luma_mcp.mcp.arguments.api_variants import differs
from luma_mcp.mcp.results import spent_today
from luma_mcp.mcp.spec import DREAM_MACHINE, READS, Arguments, Call, Result, ToolSpec


class NoArguments(Arguments):
    pass


class CreditsResult(Result):
    """The credit that is left, and what was spent here."""

    credit_usd: Annotated[float | None, Field(description="Dream Machine's. The Agents API tells none.")] = None
    spent_today_usd: float | None = None
    reserved_usd: float | None = None
    unavailable: Annotated[str | None, Field(json_schema_extra=differs(shared=True))] = None

    def text(self) -> str:
        credit = f"Dream Machine does not state its credit: {self.unavailable}" if self.unavailable else ""
        credit = credit or "The Luma Agents API tells no balance; platform.lumalabs.ai shows it."
        if self.credit_usd is not None:
            credit = f"{Usd.of(self.credit_usd).rounded_down()} of API credit is left at Luma."
        if self.spent_today_usd is None:
            return credit
        return f"{credit} Spent today: {Usd.of(self.spent_today_usd)}, reserved: {Usd.of(self.reserved_usd or 0)}."


class PingResult(Result):
    """Luma answers and accepts the token."""

    ok: bool
    base_url: str
    unavailable: Annotated[str | None, Field(json_schema_extra=differs(shared=True))] = None

    def text(self) -> str:
        return " ".join([f"Luma answers at {self.base_url} and accepts the token.", self.unavailable or ""]).strip()


class WordsResult(Result):
    """Camera vocabulary."""

    words: Annotated[list[str], Field(description="Concepts.")]
    from_luma: Annotated[bool, Field(description="Else built in.")]
    camera_motions: list[str]

    def text(self) -> str:
        origin = "" if self.from_luma else " (Luma did not answer; these are the lists known in 2026)"
        return f"Concepts: {', '.join(self.words)}. Camera motions: {', '.join(self.camera_motions)}{origin}"


async def get_credits(call: Call, _arguments: NoArguments) -> CreditsResult:
    """How much API credit is left, in US dollars, and what was spent here today."""
    apis = call.services.backend
    credit, unavailable = None, None
    if apis.dream_machine is not None:
        try:
            credit = round(await apis.get_credit_usd(), 4)
        except LumaError as error:
            # The spending of this server is known nevertheless, and the other API does not depend on this one.
            if apis.agents is None:
                raise
            unavailable = error.full_text
    return CreditsResult(credit_usd=credit, unavailable=unavailable, **await spent_today(call))


async def ping(call: Call, _arguments: NoArguments) -> PingResult:
    """Whether the connection to Luma works, and the token is accepted."""
    apis = call.services.backend
    failures = await apis.check_each()
    answering: list[BackendName] = [name for name in apis.names if name not in failures]
    if not answering:
        raise next(iter(failures.values()))
    unavailable = [f"{APIS[name].title} does not: {error.full_text}" for name, error in failures.items()]
    urls = " and ".join(apis.of(name).base_url for name in answering)
    return PingResult(ok=True, base_url=urls, unavailable=" ".join(unavailable) or None)


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
    # Where there is a public address, /readyz reports it.
    ToolSpec(ping, NoArguments, PingResult, "Ping Luma", READS, by_links=False),
    ToolSpec(list_concepts, NoArguments, WordsResult, "List camera concepts", READS, backends=DREAM_MACHINE),
)
