"""The settings of the user, from the environment. No other module of this package reads the environment.

There is no settings file: a host hands its servers an environment, and a `.env` found by chance could belong to another
project. The table in the README is made from `Settings`.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from luma_mcp.config import default_paths
from luma_mcp.config.bearer_tokens import check_tokens, named_token
from luma_mcp.config.event_receiver import check_events_secret, check_events_url
from luma_mcp.config.keys import read_keys
from luma_mcp.config.ledger_addresses import DATABASE_SCHEME, ledger_address
from luma_mcp.config.variables import (
    is_left_blank,
    unexpanded_part,
    unknown_names,
    unquoted,
)
from luma_mcp.domain.addresses import check_bucket_address, is_https_or_loopback, with_both_addresses
from luma_mcp.domain.apis import BackendName
from luma_mcp.domain.file_names import DEFAULT_TEMPLATE, check_template
from luma_mcp.domain.person import SCOPES

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
Toolset = Literal["video", "image", "film", "generations", "assets", "account"]
TOOLSETS: tuple[Toolset, ...] = get_args(Toolset)

_DREAM_MACHINE = "https://api.lumalabs.ai/dream-machine/v1"
_AGENTS = "https://agents.lumalabs.ai/v1"
# Settings that keep money, files and the network safe: if the host did not replace such a value, nothing starts.
_SAFETY = frozenset(
    {
        "max_usd_per_call", "max_usd_per_day", "min_credit_usd", "confirm_above_usd", "read_only", "toolsets", "ledger",
        "http_host", "http_tokens", "http_allowed_hosts", "http_allowed_origins", "inline_images", "http_public_url",
        "oauth_issuer", "oauth_audience", "oauth_allowed", "oauth_scopes", "http_shared", "http_delete",
        "max_usd_per_person_per_day", "confirm_by", "events_url", "events_secret", "events_prompts",
    }
)  # fmt: skip
# Fields that are no variables, or are read with the keys.
_NOT_VARIABLES = frozenset(
    {"token", "token_hint", "token_variable", "agents_api_key", "agents_hint", "agents_key_variable", "notes"}
)
# RFC 6749, appendix A.4.
_SCOPE = re.compile(r"[!#-\[\]-~]+")
_EXAMPLES = {"http_public_url": "https://luma.example.com/mcp", "oauth_issuer": "https://login.example.com"}
# Without its path, Luma's API finds no generation.
_PATHS = {"api.lumalabs.ai": "/dream-machine/v1", "agents.lumalabs.ai": "/v1"}


class SettingsError(Exception):
    """A setting cannot be used. The message names it and states what it should be."""


class Settings(BaseModel):
    """The settings. The variable of a field is its name, in capitals, after LUMA_."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: SecretStr | None = Field(
        None,
        description="Your Luma API key. One that begins with luma-api- is for the Luma Agents API (ray-3.2, uni-1), "
        "any other for Dream Machine. LUMAAI_API_KEY and LUMA_API_KEY are read too.",
    )
    token_hint: str = Field("", exclude=True)
    """The hint for a missing or refused Dream Machine key."""
    agents_api_key: SecretStr | None = Field(
        None, description="A key of the Luma Agents API, in addition to one of Dream Machine in LUMA_TOKEN."
    )
    agents_hint: str = Field("", exclude=True)
    """The hint for a missing or refused Agents key."""
    token_variable: str = Field("", exclude=True)
    """The variable that the Dream Machine key came from."""
    agents_key_variable: str = Field("", exclude=True)
    """The variable that the Agents key came from."""
    notes: tuple[str, ...] = Field((), exclude=True)
    """Sentences for the user about variables that have no effect."""
    base_url: str = Field(
        _DREAM_MACHINE,
        description="Where Dream Machine is; the emulator's address, for one. The token is sent there. https, or "
        "loopback.",
    )
    agents_base_url: str = Field(
        _AGENTS, description="Where the Agents API is, likewise. An emulator in LUMA_BASE_URL is taken for both."
    )
    output_dir: Path | None = Field(
        None,
        description="The folder that files are downloaded to, and never outside it. Default: dream-machine in your "
        "folder for videos.",
    )
    output_template: str = Field(
        DEFAULT_TEMPLATE,
        description="What saved files are called, from {prompt}, {id}, {short_id}, {kind}, {model}, {date}, {time} and "
        "{asset}; a / makes a folder.",
    )
    input_dirs: tuple[Path, ...] = Field(
        (),
        description="Folders whose pictures and clips may be sent to Luma, separated as in PATH. The output folder is "
        "one of them anyway.",
    )
    upload_url: str | None = Field(
        None,
        description="A bucket of yours where local files are put so that Luma can read them: s3://bucket/folder, "
        "gs://bucket/folder or az://container/folder; ?endpoint= and ?region= may follow. Needs the extra `uploads`.",
    )
    inline_images: bool = Field(True, description="0 keeps view_generation from showing pictures to the model.")
    ledger: SecretStr | None = Field(
        None,
        description="The purchase ledger: a file, or postgresql://user:password@host/database (extra `postgres`). "
        "Servers that share one share the caps. Default: purchases.sqlite3 in your folder for application data.",
    )
    max_usd_per_call: FiniteFloat | None = Field(None, ge=0, description="The most that one call may cost, in dollars.")
    max_usd_per_day: FiniteFloat | None = Field(
        None, ge=0, description="The most that may be spent in a day, in dollars, by all servers of one ledger."
    )
    max_usd_per_person_per_day: FiniteFloat | None = Field(
        None, ge=0, description="The most that one person may spend in a day, in dollars, with `serve --http`."
    )
    min_credit_usd: FiniteFloat | None = Field(
        None, ge=0, description="What must stay in the Luma account after a purchase, in dollars."
    )
    confirm_above_usd: FiniteFloat | None = Field(
        None, ge=0, description="Ask the person before anything that costs more, in dollars; refuse where none can ask."
    )
    confirm_by: Literal["question", "quote"] = Field(
        "question",
        description="How a client that cannot ask gets the person's yes: by nothing, or by `quote`: a dry run answers "
        "a quote_id, and the model shows you the price before it buys with it.",
    )
    max_concurrent: int | None = Field(
        None, ge=1, le=1000, description="How many generations Luma makes for you at once. Default: what Luma says."
    )
    save: Literal["all", "films", "none"] | None = Field(
        None, description="What is saved as it ends, also with no client. Default: films; all if a database is shared."
    )
    read_only: bool = Field(False, description="1 offers only the tools that read: nothing is bought, deleted, saved.")
    toolsets: tuple[Toolset, ...] = Field(
        TOOLSETS, description="Which tools are offered, separated by commas: " + ", ".join(TOOLSETS) + "."
    )
    events_url: str | None = Field(
        None, description="An https URL that this server POSTs its events to (docs/team.md). Needs LUMA_EVENTS_SECRET."
    )
    events_secret: SecretStr | None = Field(
        None, description="The secret that signs events: `whsec_` and 24 to 64 random bytes in base64."
    )
    events_prompts: bool = Field(False, description="1 puts prompts, and reasons of failures, into events.")
    callback_url: str | None = Field(None, description="An https URL that Luma shall POST every change of state to.")
    http_host: str = Field("127.0.0.1", description="With `serve --http`: the address to listen on.")
    http_port: int = Field(8080, ge=0, le=65535, description="With `serve --http`: the port. 0 takes a free one.")
    http_tokens: tuple[SecretStr, ...] = Field(
        (),
        description="With `serve --http`: tokens that clients may have, each with the name of its person, as in "
        "`anna:the-token,ci:another`. Whoever has one without a name is the owner, and sees everything. On a "
        "non-loopback address tokens or an issuer are demanded.",
    )
    http_public_url: str | None = Field(
        None, description="With `serve --http`: the address that people paste, as in `https://luma.example.com/mcp`."
    )
    oauth_issuer: str | None = Field(
        None, description="With `serve --http`: where people sign in, as the `iss` of its tokens says."
    )
    oauth_audience: str | None = Field(
        None, description="The audience that a token must be for. Default: LUMA_HTTP_PUBLIC_URL."
    )
    oauth_allowed: tuple[str, ...] = Field(
        (),
        description="Who may sign in, separated by commas: subjects, verified e-mail addresses, `@example.com` for all "
        "of a domain, `sub:` and a subject with an @, `*` for everybody whom the issuer knows. Default: nobody.",
    )
    oauth_scopes: tuple[str, ...] = Field(
        SCOPES,
        description="The scopes that a token must have to read, to spend and to delete, in this order. Nobody may do "
        "what has none.",
    )
    http_shared: bool = Field(
        False, description="With `serve --http`: 1 lets every person see, join and delete what the others made."
    )
    http_delete: bool = Field(
        False,
        description="With `serve --http`: 1 lets clients without a scope for it delete generations.",
    )
    http_allowed_hosts: tuple[str, ...] = Field(
        (),
        description="With `serve --http`: names that it is reached by, as in `luma.example.com`, separated by commas.",
    )
    http_allowed_origins: tuple[str, ...] = Field(
        (), description="With `serve --http`: origins of web pages that may call it, separated by commas."
    )
    log_level: LogLevel = Field("WARNING", description="How much is logged to stderr.")

    @field_validator("base_url", "agents_base_url", "http_public_url", "oauth_issuer")
    @classmethod
    def _https_or_loopback(cls, value: str, info: ValidationInfo) -> str:
        url = urlsplit(value)
        if url.username or url.password or url.query or url.fragment or not url.hostname or url.port == 0:
            example = _EXAMPLES.get(info.field_name or "", _DREAM_MACHINE)
            raise ValueError(f"it must be a plain URL such as {example}")
        if url.path.rstrip("/") != _PATHS.get(url.hostname, url.path.rstrip("/")):
            raise ValueError(
                f"its path must be {_PATHS[url.hostname]}, as in https://{url.hostname}{_PATHS[url.hostname]}"
            )
        if not is_https_or_loopback(url):
            raise ValueError("it must begin with https://, for the token is sent there (http:// only on loopback)")
        # The name of an issuer and the public URL are compared to the last letter.
        return value if info.field_name in _EXAMPLES else value.rstrip("/")

    @field_validator("callback_url")
    @classmethod
    def _is_https_url(cls, value: str) -> str:
        url = urlsplit(value)
        if not url.hostname or url.port == 0 or not is_https_or_loopback(url):
            raise ValueError("it must be an https URL, for prompts and links are sent there (http:// only on loopback)")
        return value

    @field_validator("events_url")
    @classmethod
    def _is_events_url(cls, value: str) -> str:
        check_events_url(value)
        return value

    @field_validator("events_secret")
    @classmethod
    def _is_events_secret(cls, value: SecretStr) -> SecretStr:
        check_events_secret(value.get_secret_value())
        return value

    @field_validator("oauth_scopes")
    @classmethod
    def _at_most_three(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not 1 <= len(value) <= len(SCOPES) or not all(_SCOPE.fullmatch(scope) for scope in value):
            raise ValueError("it must be one to three scopes: to read, to spend, to delete")
        return value

    @field_validator("ledger")
    @classmethod
    def _file_or_database(cls, value: SecretStr) -> SecretStr:
        return SecretStr(ledger_address(value.get_secret_value()))

    @field_validator("output_dir")
    @classmethod
    def _absolute_folder(cls, value: Path | None) -> Path | None:
        return None if value is None else default_paths.absolute(value)

    @field_validator("input_dirs", mode="before")
    @classmethod
    def _separated_as_in_path(cls, value: object) -> object:
        return tuple(path for path in value.split(os.pathsep) if path.strip()) if isinstance(value, str) else value

    @field_validator("input_dirs")
    @classmethod
    def _all_absolute(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(default_paths.absolute(Path(str(folder).strip())) for folder in value)

    @field_validator("output_template")
    @classmethod
    def _fills_in(cls, value: str) -> str:
        check_template(value)
        return value

    @field_validator("upload_url")
    @classmethod
    def _is_a_bucket(cls, value: str) -> str:
        check_bucket_address(value)
        return value

    @field_validator("http_tokens")
    @classmethod
    def _long_enough(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        check_tokens([token.get_secret_value() for token in value])
        return value

    @field_validator(
        "toolsets", "http_tokens", "http_allowed_hosts", "http_allowed_origins", "oauth_allowed", mode="before"
    )
    @classmethod
    def _separated_by_commas(cls, value: object) -> object:
        return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value

    @field_validator("oauth_scopes", mode="before")
    @classmethod
    def _separated_by_spaces_or_commas(cls, value: object) -> object:
        return tuple(re.split(r"[\s,]+", value.strip(" ,"))) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_what_signing_in_needs(self) -> Self:
        if self.oauth_issuer and not self.http_public_url:
            raise ValueError("LUMA_OAUTH_ISSUER needs LUMA_HTTP_PUBLIC_URL, the address that people paste")
        if bool(self.events_url) != bool(self.events_secret):
            raise ValueError("LUMA_EVENTS_URL and LUMA_EVENTS_SECRET need each other")
        if not self.oauth_issuer and (self.oauth_audience or self.oauth_allowed):
            raise ValueError("LUMA_OAUTH_AUDIENCE and LUMA_OAUTH_ALLOWED need LUMA_OAUTH_ISSUER")
        return self

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_capitals(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @property
    def named_tokens(self) -> tuple[tuple[str, str], ...]:
        """The name of a person, empty for the owner, and a token, for each token."""
        return tuple(named_token(token.get_secret_value()) for token in self.http_tokens)

    @property
    def output_folder(self) -> Path:
        """The folder for files. It is not made before there is a file for it."""
        return default_paths.output_folder() if self.output_dir is None else self.output_dir

    @property
    def readable_folders(self) -> tuple[Path, ...]:
        """The folders whose files may be sent to Luma."""
        return (*self.input_dirs, self.output_folder)

    @property
    def database_url(self) -> str | None:
        """The address of the purchase ledger if it is a database; with its password."""
        address = self.ledger.get_secret_value() if self.ledger else ""
        return address if address.startswith(DATABASE_SCHEME) else None

    @property
    def ledger_file(self) -> Path:
        """The file of the purchase ledger. It is not made before there is a purchase."""
        if self.ledger is None:
            return default_paths.ledger_file()
        return default_paths.absolute(Path(self.ledger.get_secret_value()))

    @property
    def key(self) -> str | None:
        """The Dream Machine key itself, for code that sends it or derives a secret from it."""
        return self.token.get_secret_value() if self.token else None

    @property
    def agents_key(self) -> str | None:
        """The Agents key itself, likewise."""
        return self.agents_api_key.get_secret_value() if self.agents_api_key else None

    @property
    def backends(self) -> tuple[BackendName, ...]:
        """The APIs that there is a key for, the Agents API first; both if there is no key at all."""
        names: tuple[BackendName, ...] = ("agents", "dream_machine")
        keys = (self.agents_api_key, self.token)
        return tuple(name for name, key in zip(names, keys, strict=True) if key) or names

    @property
    def accounts(self) -> dict[BackendName, str]:
        """The account of each API in the ledger: the same for every key, so that a renewed key opens no cap."""
        return {"dream_machine": _digest(self.base_url), "agents": _digest(self.agents_base_url)}

    @property
    def account(self) -> str:
        """A digest that identifies the account: the same for the same key at the same address."""
        return _digest(f"{self.base_url} {self.key or self.agents_key or ''}")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings.

        Raises:
            SettingsError: a setting has an invalid value. A missing or unusable token is no error: the first call
                that needs it states what to do.
        """
        variables = os.environ if environment is None else environment
        names = {f"LUMA_{field.upper()}": field for field in cls.model_fields if field not in _NOT_VARIABLES}
        values: dict[str, object] = {}
        notes = unknown_names(variables, names)
        for name, field in names.items():
            text = unquoted(variables.get(name, ""))
            if is_left_blank(text):
                if text and field in _SAFETY:
                    notes.append(f"{name} was left empty, so it has no effect.")
                continue
            # The braces of a template are not an unexpanded variable.
            part = None if field == "output_template" and "$" not in text else unexpanded_part(text)
            if part is None:
                values[field] = text
            elif field in _SAFETY:
                raise SettingsError(
                    f"{name} holds {part}, which the host did not replace by its value. Set it to the value itself, or "
                    "remove it."
                )
            else:
                notes.append(f"{name} holds {part}, which the host did not replace, so it has no effect.")
        address = unquoted(variables.get("LUMAAI_BASE_URL", ""))
        if "base_url" not in values and address and unexpanded_part(address) is None:
            values["base_url"] = address
        try:
            return cls.model_validate({**with_both_addresses(values), **read_keys(variables), "notes": tuple(notes)})
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            reason = first["msg"].removeprefix("Value error, ")
            if not first["loc"]:
                raise SettingsError(f"{reason}.") from None
            raise SettingsError(f"LUMA_{str(first['loc'][0]).upper()} cannot be used: {reason}.") from None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
