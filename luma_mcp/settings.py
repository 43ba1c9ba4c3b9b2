"""What the person decides, from the environment. The only reader of the environment in this package.

There is no settings file: a host hands its servers an environment, and a `.env` found by chance could belong to another
project. The table in the README is made from `Settings`.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from luma_mcp.domain.addresses import LOOPBACK, check_bucket_address, is_https_or_loopback
from luma_mcp.domain.file_names import DEFAULT_TEMPLATE, check_template

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
Toolset = Literal["video", "image", "generations", "assets", "account"]
TOOLSETS: tuple[Toolset, ...] = ("video", "image", "generations", "assets", "account")

TOKEN_NAMES = ("LUMA_TOKEN", "LUMAAI_API_KEY", "LUMA_API_KEY")
_KEYS_PAGE = "https://lumalabs.ai/dream-machine/api/keys"
# What a host leaves when it does not know the variable: ${LUMA_TOKEN}, $LUMA_TOKEN, ${env:LUMA_TOKEN}, {env:X}.
_UNEXPANDED = re.compile(r"\$?\{[A-Za-z_:. ]+\}|\$[A-Za-z_]+|\$\{\{.*\}\}")
_SHORTEST_HTTP_TOKEN = 16
_DATABASES = ("postgresql://", "postgres://")
_AGENTS_KEY_PREFIX = "luma-api-"


class SettingsError(Exception):
    """A setting cannot be used. The text says which one and what it should be."""


class Settings(BaseModel):
    """Each field's description says what it is; its variable is the field's name, in capitals, after LUMA_."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: SecretStr | None = Field(
        None,
        description="Your Dream Machine API key. LUMAAI_API_KEY and LUMA_API_KEY are read too.",
    )
    token_hint: str = Field("", exclude=True)
    """What to tell a person whose token is missing or refused."""
    base_url: str = Field(
        "https://api.lumalabs.ai/dream-machine/v1",
        description="Where the API is; the emulator's address, for one. The token is sent there. https, or loopback.",
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
    max_usd_per_call: float | None = Field(None, ge=0, description="The most that one call may cost, in dollars.")
    max_usd_per_day: float | None = Field(
        None, ge=0, description="The most that may be spent in a day, in dollars, by all servers of one ledger."
    )
    min_credit_usd: float | None = Field(
        None, ge=0, description="What must stay in the Luma account after a purchase, in dollars."
    )
    confirm_above_usd: float | None = Field(
        None, ge=0, description="Ask the person before anything that costs more, in dollars; refuse where none can ask."
    )
    read_only: bool = Field(False, description="1 offers only the tools that read: nothing is bought, deleted, saved.")
    toolsets: tuple[Toolset, ...] = Field(
        TOOLSETS, description="Which tools are offered, separated by commas: " + ", ".join(TOOLSETS) + "."
    )
    callback_url: str | None = Field(None, description="An https URL that Luma shall POST every change of state to.")
    http_host: str = Field("127.0.0.1", description="With `serve --http`: the address to listen on.")
    http_port: int = Field(8080, ge=0, le=65535, description="With `serve --http`: the port. 0 takes a free one.")
    http_tokens: tuple[SecretStr, ...] = Field(
        (),
        description="With `serve --http`: bearer tokens that clients may have, separated by commas. Demanded off "
        "loopback.",
    )
    http_allowed_hosts: tuple[str, ...] = Field(
        (),
        description="With `serve --http`: names that it is reached by, as in `luma.example.com`, separated by commas.",
    )
    http_allowed_origins: tuple[str, ...] = Field(
        (), description="With `serve --http`: origins of web pages that may call it, separated by commas."
    )
    log_level: LogLevel = Field("WARNING", description="How much is logged to stderr.")

    @field_validator("base_url")
    @classmethod
    def _https_or_loopback(cls, value: str) -> str:
        url = urlsplit(value)
        if url.username or url.password or url.query or url.fragment or not url.hostname or url.port == 0:
            raise ValueError("it must be a plain URL such as https://api.lumalabs.ai/dream-machine/v1")
        if not is_https_or_loopback(url):
            raise ValueError("it must begin with https://, for the token is sent there (http:// only on loopback)")
        return value.rstrip("/")

    @field_validator("callback_url")
    @classmethod
    def _is_https_url(cls, value: str) -> str:
        url = urlsplit(value)
        if not url.hostname or url.port == 0 or not is_https_or_loopback(url):
            raise ValueError("it must be an https URL, for prompts and links are sent there (http:// only on loopback)")
        return value

    @field_validator("ledger")
    @classmethod
    def _file_or_database(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(_DATABASES):
            _absolute(Path(value.get_secret_value()))
        return value

    @field_validator("output_dir")
    @classmethod
    def _absolute_folder(cls, value: Path | None) -> Path | None:
        return None if value is None else _absolute(value)

    @field_validator("input_dirs", mode="before")
    @classmethod
    def _separated_as_in_path(cls, value: object) -> object:
        return (
            tuple(folder for folder in value.split(os.pathsep) if folder.strip()) if isinstance(value, str) else value
        )

    @field_validator("input_dirs")
    @classmethod
    def _all_absolute(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(_absolute(Path(str(folder).strip())) for folder in value)

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
        if any(len(token.get_secret_value()) < _SHORTEST_HTTP_TOKEN for token in value):
            raise ValueError(f"each must have {_SHORTEST_HTTP_TOKEN} characters or more, and be random")
        return value

    @field_validator("toolsets", "http_tokens", "http_allowed_hosts", "http_allowed_origins", mode="before")
    @classmethod
    def _separated_by_commas(cls, value: object) -> object:
        return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_capitals(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @property
    def is_emulated(self) -> bool:
        """Whether the API is on this machine, which Luma's is not."""
        return urlsplit(self.base_url).hostname in LOOPBACK

    @property
    def output_folder(self) -> Path:
        """The folder for files. It is not made before there is a file for it."""
        if self.output_dir is not None:
            return self.output_dir
        import platformdirs  # noqa: PLC0415 - only a download needs it

        return platformdirs.user_videos_path() / "dream-machine"

    @property
    def readable_folders(self) -> tuple[Path, ...]:
        """The folders whose files may be sent to Luma."""
        return (*self.input_dirs, self.output_folder)

    @property
    def database_url(self) -> str | None:
        """The address of the purchase ledger if it is a database; with its password."""
        address = self.ledger.get_secret_value() if self.ledger else ""
        return address if address.startswith(_DATABASES) else None

    @property
    def ledger_file(self) -> Path:
        """The file of the purchase ledger. It is not made before there is a purchase."""
        if self.ledger is not None:
            return _absolute(Path(self.ledger.get_secret_value()))
        import platformdirs  # noqa: PLC0415 - only a purchase needs it

        return platformdirs.user_data_path("dream-machine-mcp", appauthor=False) / "purchases.sqlite3"

    @property
    def key(self) -> str | None:
        """The token itself, for those who send it or derive something from it."""
        return self.token.get_secret_value() if self.token else None

    @property
    def account(self) -> str:
        """Whose money it is: the same for the same key at the same address, and no way back to the key."""
        return hashlib.sha256(f"{self.base_url} {self.key or ''}".encode()).hexdigest()[:16]

    @property
    def ledger_account(self) -> str:
        """Whose money the ledger counts: the same for every key, so that a renewed key opens no cap."""
        return hashlib.sha256(self.base_url.encode()).hexdigest()[:16]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read them.

        Raises:
            SettingsError: one is set to what it cannot be. A missing or unusable token is no error: the first call
                that needs it says what to do.
        """
        variables = os.environ if environment is None else environment
        values: dict[str, object] = {}
        for field in cls.model_fields:
            if field in ("token", "token_hint"):
                continue
            text = variables.get(f"LUMA_{field.upper()}", "")
            # A template's own braces are no variable that was left unexpanded.
            text = _unquoted(text) if field == "output_template" and "$" not in text else _expanded(text)
            if text:
                values[field] = text
        if "base_url" not in values and _expanded(variables.get("LUMAAI_BASE_URL", "")):
            values["base_url"] = _expanded(variables["LUMAAI_BASE_URL"])
        token, hint = _token(variables)
        try:
            return cls.model_validate({**values, "token": token, "token_hint": hint})
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            reason = first["msg"].removeprefix("Value error, ")
            raise SettingsError(f"LUMA_{str(first['loc'][0]).upper()} cannot be used: {reason}.") from None


def _absolute(path: Path) -> Path:
    if not path.expanduser().is_absolute():
        raise ValueError("it must be an absolute path, for a host may start this server in any folder")
    return path.expanduser()


def _unquoted(text: str) -> str:
    return text.strip().strip("\"'").strip()


def _expanded(text: str) -> str:
    """The value without the spaces and quotes that copying adds; empty if the host left a variable unexpanded."""
    text = _unquoted(text)
    return "" if _UNEXPANDED.fullmatch(text) else text


def _token(variables: Mapping[str, str]) -> tuple[str | None, str]:
    """The token, and what to tell a person if there is none or it is refused."""
    advice = f"Get a Dream Machine API key at {_KEYS_PAGE}, set LUMA_TOKEN to it in this server's environment"
    problems: list[str] = []
    for name in TOKEN_NAMES:
        text = _unquoted(variables.get(name, ""))
        if not text:
            continue
        if _UNEXPANDED.fullmatch(text):
            problems.append(f"{name} holds the text {text}, which the host did not replace by its value.")
        elif not text.isascii() or not text.isprintable() or " " in text:
            problems.append(f"{name} holds characters that cannot be in a key.")
        else:
            return text, f"The token came from {name}. Check that it is a valid Dream Machine API key." + _agents(text)
    if variables.get("LUMA_AGENTS_API_KEY"):
        problems.append("LUMA_AGENTS_API_KEY is for the Luma Agents API, another product.")
    return None, " ".join([*problems, f"{advice} and restart it."])


def _agents(token: str) -> str:
    if not token.startswith(_AGENTS_KEY_PREFIX):
        return ""
    return " It looks like a key of the Luma Agents API, another product, which Dream Machine may refuse."
