"""The specification of a tool: a name, a model of its arguments, a function, a model of its result, annotations."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, Self

from mcp.types import ResourceLink, ToolAnnotations
from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationInfo, field_validator

from luma_mcp.domain.apis import BackendName
from luma_mcp.domain.person import OWNER, Person, Right
from luma_mcp.files.service import DownloadService
from luma_mcp.mcp.arguments.values import choices_of, spelled
from luma_mcp.mcp.services import Services
from luma_mcp.sources.resolver import Resolution

# The APIs of operations that only Dream Machine has.
DREAM_MACHINE: tuple[BackendName, ...] = ("dream_machine",)

# The effects of a tool, as the four hints that a host shows to the user. No hint is left out.
READS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=True)
WRITES_A_FILE = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=True
)
SPENDS = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=True)
# Continues a film that the user approved: it sends each approved shot once.
CONTINUES = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=True)
DELETES = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=True)


# Of the tools that most conversations need. A host that loads tools on demand has them from the start (Claude).
ALWAYS_LOADED: Mapping[str, Any] = {"anthropic/alwaysLoad": True}


class Caller(Protocol):
    """The client that called a tool, and the person behind it."""

    @property
    def timeout_seconds(self) -> float:
        """The longest time of a call before this client may time out, in seconds."""
        ...

    async def report(self, progress: float, message: str, states: Mapping[str, str] | None = None) -> None:
        """Report the progress of a long call.

        Args:
            progress: a number that only rises; each tool counts in a unit of its own.
            message: a sentence for a person.
            states: the same as data: the states, by generation id or by "shot N".
        """
        ...

    @property
    def can_ask(self) -> bool:
        """Whether this client can ask the person a question."""
        ...

    async def confirm(self, question: str, subject: str) -> str | None:
        """Ask the user; return the name of the approval, which is valid for one purchase, or None for a refusal.

        Args:
            question: the text for the user.
            subject: names the purchase; the approval is valid for this subject only.

        Raises:
            BudgetError: this client cannot ask.
        """
        ...


class Arguments(BaseModel):
    """The arguments of a tool. The class's schema is the tool's input schema."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), frozen=True, defer_build=True)

    @field_validator("*", mode="before")
    @classmethod
    def _normalize_spelling(cls, value: Any, info: ValidationInfo) -> Any:
        choices = choices_of(cls.model_fields[info.field_name or ""].annotation)
        return spelled(value, choices) if choices else value


class Action(BaseModel):
    """Something that a person can do with a generation: a button of the player."""

    model_config = ConfigDict(defer_build=True)

    generation_id: str
    action: Literal["extend", "upscale", "add audio", "animate", "variation", "re-take"]
    tool: str
    arguments: dict[str, Any]
    price_usd: float
    price_basis: Literal["published", "assumed"]
    prompt: Literal["required", "optional"] | None = None
    """Whether the person should be asked for a prompt first."""


class Result(BaseModel):
    """The result of a tool. Its fields are the structured content, absent ones left out; `text` is the text.

    A result that is to be viewed has no structured content (`is_structured`): some clients pass a model that alone,
    and the model would not see the picture. Its fields go to the player.
    """

    is_structured: ClassVar[bool] = True

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), defer_build=True)

    _jpeg: bytes | None = PrivateAttr(None)
    _links: Sequence[ResourceLink] = PrivateAttr(())
    _actions: Callable[[], Iterable[Action]] = PrivateAttr(tuple)

    def text(self) -> str:
        """The same for clients that show only text."""
        raise NotImplementedError

    def set_image(self, jpeg: bytes | None) -> Self:
        """The same with an image. It is not in the structured content, which would double it."""
        self._jpeg = jpeg
        return self

    def set_links(self, links: Sequence[ResourceLink]) -> Self:
        """The same with links to files that a host may show or fetch."""
        self._links = links
        return self

    @property
    def links(self) -> Sequence[ResourceLink]:
        return self._links

    def set_actions(self, actions: Callable[[], Iterable[Action]]) -> Self:
        """The same with buttons for the player. They are computed only for clients that show it."""
        self._actions = actions
        return self

    @property
    def jpeg(self) -> bytes | None:
        return self._jpeg

    @property
    def actions(self) -> tuple[Action, ...]:
        return tuple(self._actions())


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool: the services, the caller, the person and the tool's name."""

    services: Services
    caller: Caller
    person: Person = OWNER
    tool: str = ""

    @property
    def visible_person(self) -> str | None:
        """The person whose purchases this person sees; None for those of all persons."""
        return self.services.access.visible_person(self.person)

    @property
    def folder(self) -> str:
        """The folder of the person's files, inside the output folder; empty for the output folder itself."""
        return "" if self.visible_person is None else self.person.folder

    @property
    def downloads(self) -> DownloadService:
        """The downloads into the person's folder."""
        return self.services.downloads.inside(self.folder)

    async def check(self, *generation_ids: str) -> None:
        """Check that the person may see these generations. Raises: NotFoundError, LedgerError."""
        await self.services.access.check(self.person, generation_ids)

    def sources(self, backend: BackendName) -> Resolution:
        """The sources of this call for an API, none resolved yet."""
        return self.services.sources.start(backend, may_use=self.check, folder=self.folder)


@dataclass(frozen=True, slots=True, eq=False)
class ToolSpec:
    """A tool.

    Args:
        run: the function; its docstring is the description, its name the tool's name.
        arguments: the model of its arguments.
        result: the model of its result.
        title: the name that a person reads.
        annotations: its effects.
        in_player: whether hosts with MCP Apps show its results in the player.
        backends: the APIs that can do it.
        by_links: True if it works by links to this server, so that it needs a public address; False if it is not
            needed where there is one.
        right_of: the right that a call with some arguments needs, where it is not always the same.
        meta: more facts for hosts, by the hosts' own names.
    """

    run: Callable[[Call, Any], Awaitable[Result]]
    arguments: type[Arguments]
    result: type[Result]
    title: str
    annotations: ToolAnnotations
    in_player: bool = False
    backends: tuple[BackendName, ...] = ("agents", "dream_machine")
    by_links: bool | None = None
    right_of: Callable[[Mapping[str, Any]], Right] | None = None
    meta: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def name(self) -> str:
        return self.run.__name__

    def right_for(self, arguments: Mapping[str, Any]) -> Right:
        """The right that a call with these arguments needs."""
        return self.right if self.right_of is None else self.right_of(arguments)

    @property
    def right(self) -> Right:
        """The right that a call of it needs, whatever its arguments."""
        if self.annotations is SPENDS or self.annotations is CONTINUES:
            return "spend"
        return "delete" if self.annotations is DELETES else "read"
